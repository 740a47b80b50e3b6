// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_MOONCAKE_BATCH_H
#define SIXCALL_MOONCAKE_BATCH_H

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace mooncake {

/// Appends the key as the library takes it: a text that ends with NUL, so that
/// bytes 0 and 1 become the pairs 1 1 and 1 2. Different keys stay different, and a
/// key without these two bytes stays as it is.
void AppendKey(std::string_view key, std::string* out);

/// The arrays of one call of the library. Their memory is used again by the next.
class CallArrays {
 public:
  void Clear();
  /// What comes before every key, as the library takes it.
  void SetPrefix(const std::string& prefix) { prefix_ = prefix; }
  /// Adds a key of the caller's number `index`, with its memory if the call has any.
  void Add(size_t index, std::string_view key, const void* buf = nullptr, size_t size = 0);
  /// Finishes the arrays and presets the results to kNoResult.
  void Seal();

  size_t size() const { return index_.size(); }
  bool empty() const { return index_.empty(); }
  size_t index(size_t i) const { return index_[i]; }
  const char** keys() { return keys_.data(); }
  void** bufs() { return bufs_.data(); }
  const size_t* sizes() const { return sizes_.data(); }
  int* codes() { return codes_.data(); }
  int64_t* lengths() { return lengths_.data(); }

  /// What a result holds that the library has not written.
  static constexpr int kNoResult = -2147483647;

 private:
  std::string prefix_;
  std::string text_;
  std::vector<size_t> at_;  // of the key in text_
  std::vector<size_t> index_;
  std::vector<const char*> keys_;
  std::vector<void*> bufs_;
  std::vector<size_t> sizes_;
  std::vector<int> codes_;
  std::vector<int64_t> lengths_;
};

/// Finds keys that occur twice. Holds views: the keys must stay in place.
class KeySet {
 public:
  /// Forgets all keys and makes room for n.
  void Clear(size_t n);
  /// Adds a key; false if it is there already.
  bool Insert(std::string_view key);

 private:
  std::vector<std::string_view> slots_;  // a power of two; an empty view is free
};

/// The keys that are being stored at this moment, by any worker. A put of a key
/// whose put has begun and not ended reports success at once, before anything is
/// stored, so two must not run together. Safe for concurrent use.
class KeyLocks {
 public:
  /// Takes a key; false if somebody has it.
  bool TryLock(std::string_view key);
  void Unlock(const std::vector<std::string_view>& keys);
  /// Waits until something was unlocked after `seen`, at most `time`. seen is what Unlocks gave before.
  void WaitUnlock(uint64_t seen, std::chrono::milliseconds time);
  /// How often Unlock ran.
  uint64_t Unlocks();

 private:
  std::mutex mu_;  // guards all below
  std::condition_variable unlocked_;
  std::unordered_set<std::string_view> keys_;  // of the host's memory, which stays while they are locked
  uint64_t unlocks_ = 0;
};

}  // namespace mooncake

#endif  // SIXCALL_MOONCAKE_BATCH_H
