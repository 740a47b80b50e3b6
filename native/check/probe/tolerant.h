// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_PROBE_TOLERANT_H
#define SIXCALL_PROBE_TOLERANT_H

#include <map>
#include <string>

#include "session.h"

namespace probe {

/// A value that says whose it is: the key's name and a version make all its bytes.
std::string Sealed(const std::string& key, uint64_t version, uint64_t len);
/// The version of a sealed value, or 0 if its bytes are not those of any version.
uint64_t Unseal(const std::string& key, const std::string& value);

struct TolerantOptions {
  std::string tag = "fault";
  uint64_t ms = 1000;
  uint32_t keys = 12;
  uint32_t window = 8;
  uint64_t len = 3000;
  bool wrong_bytes_warn = false;  ///< a hit with wrong bytes is a warning
  const char* during = "faults";
};

/// Work while something is broken: any failure is accepted, but every ticket has to
/// complete, and a hit has to hold the bytes of a store of that key.
class Tolerant {
 public:
  Tolerant(Session& session, const TolerantOptions& options);
  /// For options.ms.
  void Run();
  /// Submits a few batches and waits for them.
  void Round();
  uint64_t hits() const { return hits_; }
  uint64_t failures() const { return failures_; }
  uint64_t done() const { return done_; }

 private:
  void Look(const Result& r, const std::vector<std::string>& keys);

  Session& s_;
  TolerantOptions options_;
  Random random_;
  uint64_t version_ = 0, hits_ = 0, failures_ = 0, done_ = 0;
};

/// The fault is over: works again within the patience?
void MustRecover(Session& session, const char* after);

}  // namespace probe

#endif  // SIXCALL_PROBE_TOLERANT_H
