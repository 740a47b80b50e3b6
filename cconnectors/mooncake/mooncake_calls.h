// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_MOONCAKE_CALLS_H
#define SIXCALL_MOONCAKE_CALLS_H

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "mooncake_backend.h"
#include "mooncake_batch.h"
#include "sixcall/connector.hpp"

namespace mooncake {

/// What became of SETs of keys that were stored already.
struct ExistingCounters {
  std::atomic<uint64_t> equal{0}, replaced{0}, refused{0};
};

/// Turns tiles into calls of the library and its results into statuses. One per
/// worker; not safe for concurrent use, while Backend, KeyLocks and the counters
/// are shared by all.
///
/// Every call throws SIXCALL_E_CONNECT or SIXCALL_E_TIMEOUT when the master did not
/// answer for a key, after every other key of the tile has its status.
class Calls {
 public:
  Calls(std::shared_ptr<Backend> backend, std::shared_ptr<Store> store, KeyLocks* locks, ExistingCounters* counters)
      : backend_(std::move(backend)), store_(std::move(store)), locks_(locks), counters_(counters) {
    arrays_.SetPrefix(settings().key_prefix);
  }

  void Get(sixcall::Tile& tile);
  void Set(sixcall::Tile& tile);
  void Exists(sixcall::Tile& tile);
  void Erase(sixcall::Tile& tile);
  void Ping();

 private:
  /// Memory for stored values that are compared with new ones; registered unless
  /// the transport is TCP, which does not ask for it.
  class Scratch {
   public:
    ~Scratch() { Release(); }
    /// Returns size bytes or more.
    void* Get(const std::shared_ptr<Store>& store, bool registered, size_t size);

   private:
    void Release() noexcept;
    std::shared_ptr<Store> registered_with_;
    std::vector<uint8_t> bytes_;
  };

  /// Throws if another worker has found the master gone.
  void CheckMasterThere();
  void GetOnce(sixcall::Tile& tile);
  void GetEmpty(sixcall::Tile& tile);
  void SetOnce(sixcall::Tile& tile);
  /// Sorts out the keys of now_ that are stored already; put_ gets those to put.
  void CompareExisting(sixcall::Tile& tile);
  /// Reads the stored values of a range of stored_now_ and compares them.
  void CompareGroup(sixcall::Tile& tile, size_t from, size_t to);
  void RemoveExisting(sixcall::Tile& tile);
  /// Removes a key whose value is to be replaced; else fails it and returns false.
  bool RemoveForPut(sixcall::Tile& tile, size_t i);
  /// Asks how long the value of a key is for which the buffer was too small.
  void TooSmall(sixcall::Tile& tile, size_t i);
  const char* OneKey(sixcall::Key key);
  /// Fails a key; a code that says that the master is gone is kept for the end instead.
  void FailKey(sixcall::Tile& tile, size_t i, const char* what, int64_t code);
  void Refuse(sixcall::Tile& tile, size_t i, const sixcall::Error& e);
  void ThrowIfMasterGone();

  const Settings& settings() const { return backend_->settings(); }

  std::shared_ptr<Backend> backend_;
  std::shared_ptr<Store> store_;
  KeyLocks* locks_;
  ExistingCounters* counters_;

  CallArrays arrays_;
  KeySet seen_;
  std::vector<size_t> now_, later_, next_, put_, stored_now_;
  std::vector<std::string_view> locked_;
  std::string key_;          // of single calls
  Scratch stored_;           // values that are compared
  int64_t master_gone_ = 0;  // the code, or 0
  const char* master_gone_in_ = "";
};

}  // namespace mooncake

#endif  // SIXCALL_MOONCAKE_CALLS_H
