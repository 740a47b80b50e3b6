// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_DRIVER_OPTIONS_H
#define SIXCALL_DRIVER_OPTIONS_H

#include <cstdint>
#include <string>
#include <vector>

namespace driver {

enum class Op { kLookup, kLoad, kStore };

struct Options {
  std::string lib;           // path of the connector
  std::string params = "{}";  // its configuration, one JSON object
  Op op = Op::kLookup;
  uint32_t batch = 1;           // keys per batch
  uint64_t value_bytes = 4096;  // bytes per value
  uint32_t depth = 1;           // batches in flight
  double seconds = 1;           // per round
  uint32_t rounds = 1;
  uint64_t keys = 0;      // working set; 0 = WorkingSet()
  std::vector<int> cpus;  // allowed CPUs of the process; empty = as started
  bool verify = true;     // compare the content of the working set before a load
  bool help = false;

  // Keys that are stored before the first round: keys, or by default 256 MiB of
  // values and at most 4096 keys, but never fewer than are in flight at a time.
  uint64_t WorkingSet() const;
};

const char *OpName(Op op);

// The text of --help.
const char *HelpText();

// Reads the command line. Throws UsageError that names the option, the value
// and what is accepted.
Options ParseOptions(int argc, const char *const *argv);

}  // namespace driver

#endif  // SIXCALL_DRIVER_OPTIONS_H
