// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_MEM_STORE_H
#define SIXCALL_MEM_STORE_H

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "sixcall/connector.hpp"

namespace mem {

/// A pool of value memory. Freed blocks are kept by size class and used again,
/// because touching fresh pages costs ten times a copy. Safe for concurrent use.
class Pool {
 public:
  /// Keeps at most keep_bytes of free blocks of 64 KiB and more; the rest goes
  /// back to the system.
  explicit Pool(uint64_t keep_bytes) : keep_bytes_(keep_bytes) {}
  Pool(const Pool&) = delete;
  ~Pool();

  /// A block of at least len bytes; page-aligned from 4 KiB on. *size_class is
  /// what Free wants back. Throws std::bad_alloc.
  uint8_t* Allocate(uint64_t len, uint32_t* size_class);
  void Free(uint8_t* block, uint32_t size_class) noexcept;

  /// Bytes of the blocks of a class.
  static uint64_t ClassBytes(uint32_t size_class);

 private:
  static constexpr uint32_t kClasses = 4 * 48;
  struct List {
    std::mutex mu;  // guards blocks
    std::vector<uint8_t*> blocks;
  };
  void Carve(List& list, uint64_t size);  // under list.mu

  const uint64_t keep_bytes_;
  std::atomic<uint64_t> kept_bytes_{0};
  List lists_[kClasses];
  std::mutex slabs_mu_;  // guards slabs_; taken under a List's mu
  std::vector<uint8_t*> slabs_;
};

using sixcall::Status;

/// A map from keys to values with an optional cap on the bytes of its values.
/// Values are immutable and counted: a reader copies one outside of any lock, and
/// an overwrite replaces it whole. Safe for concurrent use.
class Store {
 public:
  /// capacity is in bytes of values, 0 = unlimited.
  explicit Store(uint64_t capacity);
  Store(const Store&) = delete;
  ~Store();

  /// Copies the value to buf if its size is len. Always sets *stored_len on kHit and kSize.
  Status Get(std::string_view key, uint8_t* buf, uint64_t len, uint64_t* stored_len);
  /// Stores a copy. Makes room by removing the values that were stored first;
  /// the sum of all stored values never exceeds the capacity, not even for a
  /// moment. kRefused: larger than the capacity.
  Status Set(std::string_view key, const uint8_t* value, uint64_t len);
  Status Exists(std::string_view key, uint64_t* stored_len);
  Status Erase(std::string_view key);

  struct Entry {
    uint64_t hash;
    uint64_t len;
    std::string key;
  };
  /// The keys are walked in the order of their hashes, in kParts parts. Appends the
  /// entries of from's part whose hash is at least from, in that order; a key that
  /// is stored during the whole walk is seen.
  void List(uint64_t from, std::vector<Entry>* out);
  /// The first hash of the part after from's; 0 = there is none.
  static uint64_t NextPart(uint64_t from) { return ((from >> 58) + 1) << 58; }

  uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  uint64_t keys() const { return keys_.load(std::memory_order_relaxed); }
  uint64_t capacity() const { return capacity_; }

 private:
  static constexpr uint32_t kShards = 64;  // the top six bits of a hash

  struct Value {
    std::atomic<uint32_t> refs{1};
    uint32_t size_class = 0;
    uint8_t* data = nullptr;
    uint64_t len = 0;
  };
  /// One stored key; the bytes of the key follow the struct.
  struct Node {
    uint64_t hash;
    Node* next;  // in its bucket
    Node *older, *newer;  // in its shard, by time of storing
    uint64_t order;  // of storing, over all shards
    Value* value;
    uint32_t key_len;
    char* key() { return reinterpret_cast<char*>(this + 1); }
  };
  struct alignas(64) Shard {
    std::mutex mu;  // guards all but oldest_order
    std::vector<Node*> buckets;
    size_t n = 0;
    Node *oldest = nullptr, *newest = nullptr;
    std::atomic<uint64_t> oldest_order{UINT64_MAX};  // hint for Evict
  };

  uint64_t Hash(std::string_view key) const noexcept;
  Shard& ShardOf(uint64_t hash) { return shards_[hash >> 58]; }
  static Node** Find(Shard& s, std::string_view key, uint64_t hash);
  Value* MakeValue(const uint8_t* from, uint64_t len);
  void Release(Value* v) noexcept;
  bool Reserve(uint64_t more) noexcept;
  void Append(Shard& s, Node* n);
  void Unlink(Shard& s, Node* n);
  void Grow(Shard& s);
  bool Evict();

  const uint64_t capacity_;
  const uint64_t seed_;
  Pool pool_;
  std::atomic<uint64_t> bytes_{0};
  std::atomic<uint64_t> keys_{0};
  std::atomic<uint64_t> order_{0};
  Shard shards_[kShards];
};

/// Fills one page of a listing. The cursor is the hash at which the page begins.
void ListPage(Store& store, sixcall::Page& page);

}  // namespace mem

#endif  // SIXCALL_MEM_STORE_H
