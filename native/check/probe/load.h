// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_PROBE_LOAD_H
#define SIXCALL_PROBE_LOAD_H

#include <map>
#include <set>
#include <string>
#include <vector>

#include "session.h"

namespace probe {

struct LoadOptions {
  std::string tag = "load";
  uint64_t ms = 1000;        ///< for how long
  uint64_t batches = 2000;   ///< at most so many
  uint32_t window = 16;      ///< tickets in flight
  uint32_t keys = 200;       ///< different keys
  uint32_t most_keys = 12;   ///< in a batch
  uint64_t most_bytes = 9000;  ///< of a value
  uint32_t drain_cap = 64;
  bool deletes = true;
};

/// Random batches of all operations, many in flight, compared with a model: a map of
/// what must be stored. Keys of batches in flight are left alone, so that every
/// outcome is known.
class Workload {
 public:
  Workload(Session& session, const LoadOptions& options);
  /// Runs until the time or the batches are used up and nothing is in flight.
  void Run();
  /// Submits one random batch if the window has room; false if there was none.
  bool Step();
  void DrainSome(int ms);
  uint64_t done() const { return done_; }
  uint64_t keys_done() const { return keys_done_; }

 private:
  struct Pending {
    uint32_t op;
    std::vector<uint32_t> keys;
    std::vector<uint64_t> versions;
  };
  struct Stored {
    uint64_t version = 0;  // 0 = absent
    uint64_t len = 0;
  };

  void Check(const Result& result, const Pending& pending);
  std::string KeyOf(uint32_t i) const;
  uint64_t LenOf(uint64_t version) const;

  Session& s_;
  LoadOptions options_;
  Random random_;
  std::vector<Stored> model_;
  std::set<uint32_t> busy_;
  std::map<uint64_t, Pending> pending_;
  uint64_t version_ = 0, done_ = 0, keys_done_ = 0;
};

/// Runs random load; the usual way.
uint64_t RandomLoad(Session& session, const LoadOptions& options);

}  // namespace probe

#endif  // SIXCALL_PROBE_LOAD_H
