// SPDX-License-Identifier: Apache-2.0
#include "library.h"

#include <dlfcn.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "guard.h"
#include "peek.h"

namespace sixcall::worker {
namespace {

constexpr size_t kMaxName = 256;         // bytes
constexpr size_t kMaxSchema = 1 << 20;   // bytes
constexpr uint64_t kHostFeatures = 0;    // 1.0 defines none
constexpr uint64_t kSlotCaps = (uint64_t{1} << 9) - 1;
constexpr uint64_t kKnownCaps = kSlotCaps | SIXCALL_CAP_READ_YOUR_WRITES | SIXCALL_CAP_DEADLINE | SIXCALL_CAP_PERSISTENT | SIXCALL_CAP_VALUE_LENS;

struct Slot {
  const char* name;
  size_t offset;
  uint64_t cap;  // the capability that announces it, 0 = required
};

constexpr Slot kSlots[] = {
    {"open", offsetof(sixcall_api, open), 0},
    {"event_fd", offsetof(sixcall_api, event_fd), 0},
    {"submit_batch_get", offsetof(sixcall_api, submit_batch_get), 0},
    {"submit_batch_set", offsetof(sixcall_api, submit_batch_set), 0},
    {"submit_batch_exists", offsetof(sixcall_api, submit_batch_exists), 0},
    {"drain_completions", offsetof(sixcall_api, drain_completions), 0},
    {"close", offsetof(sixcall_api, close), 0},
    {"submit_batch_delete", offsetof(sixcall_api, submit_batch_delete), SIXCALL_CAP_DELETE},
    {"limits", offsetof(sixcall_api, limits), SIXCALL_CAP_LIMITS},
    {"submit_ping", offsetof(sixcall_api, submit_ping), SIXCALL_CAP_PING},
    {"cancel", offsetof(sixcall_api, cancel), SIXCALL_CAP_CANCEL},
    {"register_memory", offsetof(sixcall_api, register_memory), SIXCALL_CAP_REGISTER_MEMORY},
    {"unregister_memory", offsetof(sixcall_api, unregister_memory), SIXCALL_CAP_REGISTER_MEMORY},
    {"usage", offsetof(sixcall_api, usage), SIXCALL_CAP_USAGE},
    {"submit_list", offsetof(sixcall_api, submit_list), SIXCALL_CAP_LIST},
    {"stats_text", offsetof(sixcall_api, stats_text), SIXCALL_CAP_STATS_TEXT},
    {"get_extension", offsetof(sixcall_api, get_extension), SIXCALL_CAP_EXTENSIONS},
};

sixcall_host entry_host = {};

bool Identify(const std::string& path, FileIdentity* out) {
  struct stat st;
  if (stat(path.c_str(), &st) != 0) return false;
  *out = {st.st_dev, st.st_ino, st.st_size, int64_t{st.st_mtim.tv_sec} * 1000000000 + st.st_mtim.tv_nsec};
  return true;
}

bool SameFile(const std::string& path, const FileIdentity& want) {
  FileIdentity now;
  return Identify(path, &now) && now.dev == want.dev && now.ino == want.ino && now.size == want.size && now.mtime_ns == want.mtime_ns;
}

std::string BitNumbers(uint64_t mask) {
  std::string out;
  for (; mask != 0; mask &= mask - 1) {
    if (!out.empty()) out += ' ';
    out += std::to_string(__builtin_ctzll(mask));
  }
  return "[" + out + "]";
}

bool IsThere(const sixcall_api& api, const Slot& slot) {
  uintptr_t address = 0;
  std::memcpy(&address, reinterpret_cast<const char*>(&api) + slot.offset, sizeof(address));
  return address != 0;
}

/// Calls the entry point, twice, since its answer must be constant.
std::optional<Failure> CallEntry(void* handle, uintptr_t* table) {
  dlerror();
  void* symbol = dlsym(handle, SIXCALL_ENTRY_SYMBOL);
  if (symbol == nullptr) {
    const char* why = dlerror();
    return Failure{SIXCALL_E_CONFIG, Format("not a connector: %s", why != nullptr ? why : "the entry point is NULL")};
  }
  sixcall_connector_entry_fn entry;
  std::memcpy(&entry, &symbol, sizeof(entry));
  const auto first = reinterpret_cast<uintptr_t>(entry(&entry_host));
  const auto again = reinterpret_cast<uintptr_t>(entry(&entry_host));
  *table = first;
  if (first == again) return std::nullopt;
  return Failure{SIXCALL_E_CONFIG, Format("%s returned two different tables, %#zx and %#zx", SIXCALL_ENTRY_SYMBOL, static_cast<size_t>(first), static_cast<size_t>(again))};
}

std::string WrongMajor(uint16_t major, uint16_t minor) {
  return Format("implements ABI %u.%u, this host speaks ABI %d.%d; %s", major, minor, SIXCALL_ABI_MAJOR, SIXCALL_ABI_MINOR,
                major < SIXCALL_ABI_MAJOR ? "it is too old: rebuild it with this release's connector.h"
                                          : "the host is too old for it: update the host, or use a build of the library for ABI 1");
}

std::optional<Failure> Negotiate(Library* lib) {
  std::vector<std::string> missing;
  for (const Slot& slot : kSlots) {
    if (slot.cap == 0 && !IsThere(lib->api, slot)) missing.push_back(slot.name);
  }
  if (!missing.empty()) return Failure{SIXCALL_E_INTERNAL, "its table has NULL for the required " + Join(missing, ", ")};
  if (const uint64_t unknown = lib->api.needs & ~kHostFeatures) {
    return Failure{SIXCALL_E_VERSION, Format("it needs host features that this host does not have: bits %s of needs (%#zx); update the host",
                                             BitNumbers(unknown).c_str(), static_cast<size_t>(unknown))};
  }
  lib->caps = lib->api.caps & kKnownCaps;
  for (const Slot& slot : kSlots) {
    if (slot.cap == 0) continue;
    const bool there = IsThere(lib->api, slot);
    if (lib->Has(slot.cap) && !there) {
      lib->caps &= ~slot.cap;
      lib->warnings.push_back(Format("claims the capability %s, but its slot %s is missing", CapName(slot.cap), slot.name));
    } else if ((lib->api.caps & slot.cap) == 0 && there) {
      lib->warnings.push_back(Format("has the slot %s, but does not claim the capability %s", slot.name, CapName(slot.cap)));
    }
  }
  lib->threads = lib->api.thread_model;
  if (lib->threads > SIXCALL_THREADS_PARALLEL) {
    lib->warnings.push_back(Format("thread model %u is unknown, so its calls are made one at a time", lib->threads));
    lib->threads = SIXCALL_THREADS_SERIAL;
  }
  return std::nullopt;
}

std::optional<Failure> ReadTexts(Peeker* peeker, Library* lib) {
  const struct {
    const char* field;
    const char* address;
    size_t limit;
    std::string* to;
  } texts[] = {
      {"name", lib->api.name, kMaxName, &lib->name},
      {"version", lib->api.version, kMaxName, &lib->version},
      {"vendor", lib->api.vendor, kMaxName, &lib->vendor},
      {"config_schema", lib->api.config_schema, kMaxSchema, &lib->schema},
  };
  for (const auto& text : texts) {
    if (text.address == nullptr) {
      if (text.to == &lib->name) return Failure{SIXCALL_E_INTERNAL, "its table has NULL for name"};
      continue;
    }
    if (!peeker->Text(reinterpret_cast<uintptr_t>(text.address), text.limit, text.to)) {
      return Failure{SIXCALL_E_INTERNAL, Format("%s of its table is not a string of at most %zu bytes: %s", text.field, text.limit, peeker->error().c_str())};
    }
    if (text.to != &lib->schema) *text.to = Printable(*text.to);
  }
  if (lib->name.empty() || lib->name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") != std::string::npos) {
    return Failure{SIXCALL_E_INTERNAL, "its table has the name " + Quote(lib->name) + ", want characters of [a-z0-9_-]"};
  }
  return std::nullopt;
}

std::optional<Failure> ReadTable(uintptr_t address, Library* lib) {
  if (address % 8 != 0) {
    return Failure{SIXCALL_E_INTERNAL, Format("%s returned %#zx, which is not the address of a table", SIXCALL_ENTRY_SYMBOL, static_cast<size_t>(address))};
  }
  Peeker peeker;
  if (!peeker.Read(address, 8, &lib->api)) {
    return Failure{SIXCALL_E_INTERNAL, Format("%s returned the address of no table: %s", SIXCALL_ENTRY_SYMBOL, peeker.error().c_str())};
  }
  if (lib->api.abi_major != SIXCALL_ABI_MAJOR) return Failure{SIXCALL_E_VERSION, WrongMajor(lib->api.abi_major, lib->api.abi_minor)};
  const uint32_t size = lib->table_size = lib->api.struct_size;
  if (size < SIXCALL_API_REQUIRED_SIZE) {
    return Failure{SIXCALL_E_VERSION, Format("its table has %u bytes, ABI %d needs at least %u (up to and with close)", size, SIXCALL_ABI_MAJOR, SIXCALL_API_REQUIRED_SIZE)};
  }
  // A field that is cut by the end counts as missing.
  const size_t whole = std::min<size_t>(size & ~7u, sizeof(lib->api));
  if (!peeker.Read(address, whole, &lib->api)) {
    return Failure{SIXCALL_E_INTERNAL, Format("its table declares %u bytes, but %s", size, peeker.error().c_str())};
  }
  if (auto failure = Negotiate(lib)) return failure;
  return ReadTexts(&peeker, lib);
}

}  // namespace

const char* CapName(uint64_t cap) {
  switch (cap) {
    case SIXCALL_CAP_DELETE: return "delete";
    case SIXCALL_CAP_LIMITS: return "limits";
    case SIXCALL_CAP_PING: return "ping";
    case SIXCALL_CAP_CANCEL: return "cancel";
    case SIXCALL_CAP_REGISTER_MEMORY: return "register_memory";
    case SIXCALL_CAP_USAGE: return "usage";
    case SIXCALL_CAP_LIST: return "list";
    case SIXCALL_CAP_STATS_TEXT: return "stats_text";
    case SIXCALL_CAP_EXTENSIONS: return "extensions";
    case SIXCALL_CAP_READ_YOUR_WRITES: return "read_your_writes";
    case SIXCALL_CAP_DEADLINE: return "deadline";
    case SIXCALL_CAP_PERSISTENT: return "persistent";
    case SIXCALL_CAP_VALUE_LENS: return "value_lens";
    default: return "?";
  }
}

void SetHostVersion(const std::string& version) {
  entry_host.struct_size = sizeof(entry_host);
  entry_host.abi_major = SIXCALL_ABI_MAJOR;
  entry_host.abi_minor = SIXCALL_ABI_MINOR;
  entry_host.features = kHostFeatures;
  entry_host.name = "sixcall";
  entry_host.version = strdup(version.c_str());  // libraries may keep it, so the one before is not freed
  entry_host.log_level = SIXCALL_LOG_ERROR;
}

const sixcall_host& EntryHost() { return entry_host; }

std::optional<Failure> LoadLibrary(const std::string& path, const LoadOptions& options, Library* out) {
  out->path = path;
  const Failure replaced = {SIXCALL_E_CONFIG, "the file was replaced while it was being checked; try again"};
  if (options.identity && !SameFile(path, *options.identity)) return replaced;
  std::optional<Failure> failure;
  uintptr_t table = 0;
  out->changed = Guard(options.keep_handlers, [&] {
    void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
      const char* why = dlerror();
      failure = Failure{SIXCALL_E_CONFIG, Printable(why != nullptr ? why : "dlopen failed")};
    } else if (options.identity && !SameFile(path, *options.identity)) {
      failure = replaced;  // which of the two was loaded nobody knows
    } else {
      failure = CallEntry(handle, &table);
    }
  });
  if (failure) return failure;
  if (table == 0) {
    return Failure{SIXCALL_E_VERSION, Format("%s returned NULL: the library refuses this host (%s, ABI %d.%d)", SIXCALL_ENTRY_SYMBOL,
                                             entry_host.name, SIXCALL_ABI_MAJOR, SIXCALL_ABI_MINOR)};
  }
  return ReadTable(table, out);
}

}  // namespace sixcall::worker
