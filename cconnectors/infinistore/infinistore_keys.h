// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_INFINISTORE_KEYS_H
#define SIXCALL_INFINISTORE_KEYS_H

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace infinistore {

/// What this process does to which key of which server, over all connections and
/// handles. A server aborts when it is asked to get or delete a key whose put is
/// still arriving, on whatever connection. Safe for concurrent use.
class Keys {
 public:
  /// The one of the process. It is never destroyed: threads that close had to leave
  /// behind may still use it.
  static Keys& OfProcess();

  /// A small number for a server's numeric address.
  uint32_t Server(const std::string& address);

  // ---- locks: gets share a key, a put or a delete has it alone

  class Lock {
   public:
    Lock() = default;
    Lock(Lock&& other) noexcept { *this = std::move(other); }
    Lock& operator=(Lock&& other) noexcept {
      Release();
      keys_ = std::exchange(other.keys_, nullptr);
      id_ = other.id_;
      alone_ = other.alone_;
      return *this;
    }
    ~Lock() { Release(); }
    explicit operator bool() const { return keys_ != nullptr; }
    void Release();

   private:
    friend class Keys;
    Lock(Keys* keys, uint64_t id, bool alone) : keys_(keys), id_(id), alone_(alone) {}
    Keys* keys_ = nullptr;
    uint64_t id_ = 0;
    bool alone_ = false;
  };

  /// Waits until the key is free. wait is called under no lock about every 25 ms; when it returns
  /// false the result is empty.
  Lock Share(uint32_t server, std::string_view key, const std::function<bool()>& wait) { return Take(server, key, false, wait); }
  Lock Own(uint32_t server, std::string_view key, const std::function<bool()>& wait) { return Take(server, key, true, wait); }

  // ---- keys whose put was cut: they exist on the server, hold garbage, and abort it
  // when they are got or deleted. Only another put heals them.

  void AddCut(uint32_t server, std::string_view key);
  bool IsCut(uint32_t server, std::string_view key) const;
  void RemoveCut(uint32_t server, std::string_view key);
  /// One key of this server that was cut; false when there is none.
  bool AnyCut(uint32_t server, std::string* key) const;
  bool HasCut() const { return cut_count_.load(std::memory_order_acquire) != 0; }

 private:
  struct State {
    uint32_t sharing = 0;
    uint32_t waiting_alone = 0;
    bool alone = false;
  };
  struct Shard {
    std::mutex mu;  // guards the two below
    std::condition_variable changed;
    std::unordered_map<uint64_t, State> states;  // by hash: two keys of one hash wait for each other
  };
  static constexpr size_t kShards = 64;

  Shard& ShardOf(uint64_t id) { return shards_[id % kShards]; }
  Lock Take(uint32_t server, std::string_view key, bool alone, const std::function<bool()>& wait);
  void Give(uint64_t id, bool alone);

  Shard shards_[kShards];
  std::mutex servers_mu_;  // guards servers_
  std::unordered_map<std::string, uint32_t> servers_;
  mutable std::mutex cut_mu_;  // guards cut_
  std::set<std::pair<uint32_t, std::string>> cut_;
  std::atomic<size_t> cut_count_{0};
};

}  // namespace infinistore

#endif  // SIXCALL_INFINISTORE_KEYS_H
