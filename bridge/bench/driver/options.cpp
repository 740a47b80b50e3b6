// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <iterator>
#include <string_view>

#include "error.h"

namespace driver {
namespace {

constexpr uint64_t kMaxBatch = 1 << 20;                     // keys
constexpr uint64_t kMaxDepth = 1 << 16;                     // batches
constexpr uint64_t kMaxValueBytes = uint64_t{1} << 32;      // 4 GiB
constexpr uint64_t kMaxLentBytes = uint64_t{1} << 38;       // 256 GiB
constexpr uint64_t kMaxWorkingSet = uint64_t{1} << 30;      // keys
constexpr uint64_t kDefaultSetBytes = uint64_t{256} << 20;  // 256 MiB
constexpr uint64_t kDefaultSetKeys = 4096;

std::string Quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

uint64_t ParseCount(const std::string &option, const std::string &text, uint64_t low, uint64_t high) {
  char *end = nullptr;
  errno = 0;
  const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  const uint64_t value = digits ? std::strtoull(text.c_str(), &end, 10) : 0;
  if (!digits || errno != 0 || value < low || value > high) {
    throw UsageError(option + " is " + Quoted(text) + ", want a whole number from " + std::to_string(low) + " to " +
                     std::to_string(high));
  }
  return value;
}

double ParseSeconds(const std::string &option, const std::string &text) {
  char *end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !(value >= 0.01 && value <= 86400)) {
    throw UsageError(option + " is " + Quoted(text) + ", want seconds from 0.01 to 86400");
  }
  return value;
}

Op ParseOp(const std::string &option, const std::string &text) {
  for (const Op op : {Op::kLookup, Op::kLoad, Op::kStore}) {
    if (text == OpName(op)) return op;
  }
  throw UsageError(option + " is " + Quoted(text) + ", want lookup, load or store");
}

// Reads "0", "0,2" or "0-3,8".
std::vector<int> ParseCpus(const std::string &option, const std::string &text) {
  std::vector<int> cpus;
  size_t begin = 0;
  while (begin <= text.size()) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    const std::string part = text.substr(begin, comma - begin);
    const size_t dash = part.find('-');
    const uint64_t first = ParseCount(option, part.substr(0, dash), 0, CPU_SETSIZE - 1);
    const uint64_t last =
        dash == std::string::npos ? first : ParseCount(option, part.substr(dash + 1), first, CPU_SETSIZE - 1);
    for (uint64_t cpu = first; cpu <= last; ++cpu) cpus.push_back(static_cast<int>(cpu));
    begin = comma + 1;
  }
  return cpus;
}

bool IsKnown(const std::string &name) {
  static const char *const kNames[] = {"--lib",     "--params", "--op",   "--batch", "--value-bytes", "--depth",
                                       "--seconds", "--rounds", "--keys", "--cpu", "--verify"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

void Apply(Options &options, const std::string &name, const std::string &value) {
  if (name == "--lib") {
    options.lib = value;
  } else if (name == "--params") {
    options.params = value;
  } else if (name == "--op") {
    options.op = ParseOp(name, value);
  } else if (name == "--batch") {
    options.batch = static_cast<uint32_t>(ParseCount(name, value, 1, kMaxBatch));
  } else if (name == "--value-bytes") {
    options.value_bytes = ParseCount(name, value, 1, kMaxValueBytes);
  } else if (name == "--depth") {
    options.depth = static_cast<uint32_t>(ParseCount(name, value, 1, kMaxDepth));
  } else if (name == "--seconds") {
    options.seconds = ParseSeconds(name, value);
  } else if (name == "--rounds") {
    options.rounds = static_cast<uint32_t>(ParseCount(name, value, 1, 1000000));
  } else if (name == "--keys") {
    options.keys = ParseCount(name, value, 1, kMaxWorkingSet);
  } else if (name == "--verify") {
    options.verify = ParseCount(name, value, 0, 1) == 1;
  } else {
    options.cpus = ParseCpus(name, value);
  }
}

void Validate(const Options &options) {
  if (options.lib.empty()) throw UsageError("--lib is missing, want the path of a connector library");
  const uint64_t in_flight = uint64_t{options.batch} * options.depth;
  if (options.keys != 0 && options.keys < in_flight) {
    throw UsageError("--keys is " + std::to_string(options.keys) + ", want at least --batch times --depth = " +
                     std::to_string(in_flight));
  }
  if (in_flight > kMaxLentBytes / options.value_bytes) {
    throw UsageError("--batch times --depth times --value-bytes is over 256 GiB of lent memory");
  }
}

}  // namespace

uint64_t Options::WorkingSet() const {
  if (keys != 0) return keys;
  return std::max(uint64_t{batch} * depth, std::min(kDefaultSetKeys, kDefaultSetBytes / value_bytes));
}

const char *OpName(Op op) {
  switch (op) {
    case Op::kLookup:
      return "lookup";
    case Op::kLoad:
      return "load";
    case Op::kStore:
      return "store";
  }
  return "?";
}

const char *HelpText() {
  return R"(usage: sixcall-driver --lib PATH [options]

Drives a connector library directly through the C ABI, one thread, no bridge:
the speed limit of everything that is built on the library. Prints one line of
JSON per round.

  --lib PATH        the connector, a shared library
  --params JSON     its configuration object            default {}
  --op OP           lookup, load or store               default lookup
  --batch N         keys per batch                      default 1
  --value-bytes N   bytes per value                     default 4096
  --depth N         batches in flight                   default 1
  --seconds S       length of a round                   default 1
  --rounds N        rounds; each prints a line          default 1
  --keys N          working set, stored first for lookup and load
                    default 256 MiB of values, at most 4096 keys, at least
                    batch times depth
  --cpu LIST        CPUs of the driver and of the connector's threads, such as
                    0 or 0,2-3                          default as started
  --verify N        0: do not compare what a load reads with what was stored,
                    for connectors that move nothing   default 1
  --help            this text

The keys have 90 bytes and are serialised before the clock starts. Every status
byte of every batch is checked; before the rounds of a load the content of the
whole working set is checked once.

The fields of a line:
  op, batch, value_bytes, depth   as asked for
  ops_per_s, keys_per_s           completed batches and keys per second
  p50_us, p99_us, p999_us         from before submit to after the drain
  gb_per_s                        value bytes moved, 1e9 bytes per second; 0 for lookup
  cpu_us_per_op                   CPU time per batch, threads of the connector included

Exit code: 0 done, 1 the library, the system or a batch failed, 2 wrong usage.
)";
}

Options ParseOptions(int argc, const char *const *argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    std::string name = argv[i];
    if (name == "--help" || name == "-h") {
      options.help = true;
      return options;
    }
    if (name.rfind("--", 0) != 0) throw UsageError("unexpected argument " + Quoted(name));
    const size_t equals = name.find('=');
    std::string value;
    if (equals != std::string::npos) value = name.substr(equals + 1);
    name.resize(std::min(equals, name.size()));
    if (!IsKnown(name)) throw UsageError("unknown option " + Quoted(name));
    if (equals == std::string::npos) {
      if (i + 1 == argc) throw UsageError(name + " needs a value");
      value = argv[++i];
    }
    Apply(options, name, value);
  }
  Validate(options);
  return options;
}

}  // namespace driver
