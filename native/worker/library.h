// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_WORKER_LIBRARY_H
#define SIXCALL_WORKER_LIBRARY_H

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sixcall/connector.h"
#include "text.h"

namespace sixcall::worker {

/// Which file a path led to.
struct FileIdentity {
  uint64_t dev, ino;
  int64_t size, mtime_ns;
};

/// A loaded connector library. Constant after LoadLibrary. It is never unloaded:
/// its threads and thread-locals may outlive any close.
struct Library {
  std::string path;
  sixcall_api api = {};  // the part that the library has, else zero
  uint32_t table_size = 0;
  uint64_t caps = 0;     // known bits whose slots are there
  uint32_t threads = 0;  // SIXCALL_THREADS_
  std::string name, version, vendor, schema;
  std::vector<std::string> changed;   // what loading changed in the process
  std::vector<std::string> warnings;  // rules that the table breaks without harm

  bool Has(uint64_t cap) const { return (caps & cap) != 0; }
};

struct LoadOptions {
  std::optional<FileIdentity> identity;  // the file that was checked before
  bool keep_handlers = false;
};

/// Loads the library and checks its table, as the host would in its own process.
/// Runs code of the library, which may do anything.
std::optional<Failure> LoadLibrary(const std::string& path, const LoadOptions& options, Library* out);

/// How libraries see this host; version outlives the process.
void SetHostVersion(const std::string& version);

/// A host struct without a log, for entry points, and the start of one for open.
const sixcall_host& EntryHost();

/// The name of a capability bit, as in the host's reports.
const char* CapName(uint64_t cap);

}  // namespace sixcall::worker

#endif
