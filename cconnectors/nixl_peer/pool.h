// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_NIXL_PEER_POOL_H
#define SIXCALL_NIXL_PEER_POOL_H

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "sixcall/connector.hpp"

namespace nixl_peer {

/// Where a value lies in the pool, and what proves it whole.
struct Block {
  uint64_t offset, len;  ///< bytes
  uint64_t hash;         ///< of key and value
};

/// Keeps a value in its place for as long as it is held, whatever is stored or
/// removed in between.
using Lease = std::shared_ptr<const Block>;

/// A hash of a key and its value that tells damage, not attacks.
uint64_t HashOf(std::string_view key, const uint8_t* value, uint64_t len);

/// Values in one piece of memory that peers read. The oldest go first. Safe for use
/// from any thread. Leases have to end before the pool.
class Pool {
 public:
  explicit Pool(uint64_t bytes);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  /// Stores a copy. kRefused: larger than what nobody reads at the moment.
  sixcall::Status Set(std::string_view key, const uint8_t* value, uint64_t len);
  /// NULL if the key is absent.
  Lease Find(std::string_view key) const;
  bool Erase(std::string_view key);

  uint8_t* base() const { return base_; }
  const uint8_t* At(const Block& block) const { return base_ + block.offset; }
  uint64_t capacity() const { return bytes_; }
  uint64_t keys() const;
  uint64_t used() const;  ///< bytes of values

 private:
  struct Entry {
    Lease block;
    std::list<std::string>::iterator order;
  };

  std::shared_ptr<Block> NewBlock();
  bool Place(Block& block, uint64_t len);
  void Free(const Block& block) noexcept;

  uint8_t* base_ = nullptr;
  uint64_t bytes_;

  mutable std::mutex mu_;  // guards what follows; no lease ends under it
  std::map<uint64_t, uint64_t> holes_;  // offset and length of what is free
  std::list<std::string> order_;        // oldest first
  std::unordered_map<std::string_view, Entry> index_;  // keys are those of order_
  uint64_t used_ = 0;
};

}  // namespace nixl_peer

#endif  // SIXCALL_NIXL_PEER_POOL_H
