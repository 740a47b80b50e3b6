// SPDX-License-Identifier: Apache-2.0
#include "pool.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>

namespace nixl_peer {

namespace {

constexpr uint64_t kAlign = 64;
constexpr uint64_t kNowhere = UINT64_MAX;

uint64_t Rounded(uint64_t len) { return len == 0 ? kAlign : (len + kAlign - 1) / kAlign * kAlign; }

uint64_t Mix(uint64_t a, uint64_t b) {
  __extension__ typedef unsigned __int128 Wide;
  const Wide m = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(m) ^ static_cast<uint64_t>(m >> 64);
}

uint64_t Feed(uint64_t h, const uint8_t* p, uint64_t n) {
  h ^= n * uint64_t{0x9E3779B97F4A7C15};
  uint64_t a = 0, b = 0;
  for (; n >= 16; p += 16, n -= 16) {
    std::memcpy(&a, p, 8);
    std::memcpy(&b, p + 8, 8);
    h = Mix(a ^ 0xA0761D6478BD642F, b ^ h ^ 0x589965CC75374CC3) + h;
  }
  a = b = 0;
  std::memcpy(&a, p, n < 8 ? n : 8);
  if (n > 8) std::memcpy(&b, p + 8, n - 8);
  return Mix(a ^ 0xE7037ED1A0B428DB, b ^ h ^ 0x1D8E4E27C47D124F) + h;
}

}  // namespace

uint64_t HashOf(std::string_view key, const uint8_t* value, uint64_t len) {
  return Feed(Feed(0x8EBC6AF09C88C6E3, reinterpret_cast<const uint8_t*>(key.data()), key.size()), value, len);
}

Pool::Pool(uint64_t bytes) : bytes_(Rounded(bytes)) {
  void* memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw sixcall::Error(SIXCALL_E_NOMEM, "no memory for a pool of " + std::to_string(bytes) + " bytes; see pool_bytes", errno);
  base_ = static_cast<uint8_t*>(memory);
  holes_[0] = bytes_;
}

Pool::~Pool() {
  index_.clear();  // frees into holes_
  munmap(base_, bytes_);
}

/// A block without a place; it gives its place back when nobody has it any more.
std::shared_ptr<Block> Pool::NewBlock() {
  return std::shared_ptr<Block>(new Block{kNowhere, 0, 0}, [this](const Block* b) {
    if (b->offset != kNowhere) Free(*b);
    delete b;
  });
}

/// Finds a place. Under mu_.
bool Pool::Place(Block& block, uint64_t len) {
  const uint64_t want = Rounded(len);
  for (auto hole = holes_.begin(); hole != holes_.end(); ++hole) {
    if (hole->second < want) continue;
    const uint64_t at = hole->first, rest = hole->second - want;
    if (rest != 0) holes_[at + want] = rest;  // may throw; nothing has changed then
    holes_.erase(hole);
    block.offset = at;
    block.len = len;
    return true;
  }
  return false;
}

void Pool::Free(const Block& block) noexcept {
  std::lock_guard<std::mutex> lock(mu_);
  try {
    auto [hole, fresh] = holes_.emplace(block.offset, Rounded(block.len));
    if (!fresh) return;
    if (auto next = std::next(hole); next != holes_.end() && hole->first + hole->second == next->first) {
      hole->second += next->second;
      holes_.erase(next);
    }
    if (hole != holes_.begin()) {
      if (auto before = std::prev(hole); before->first + before->second == hole->first) {
        before->second += hole->second;
        holes_.erase(hole);
      }
    }
  } catch (const std::bad_alloc&) {  // the place is lost, nothing else
  }
}

sixcall::Status Pool::Set(std::string_view key, const uint8_t* value, uint64_t len) {
  if (len > bytes_) return sixcall::Status::kRefused;
  const std::shared_ptr<Block> block = NewBlock();
  for (;;) {
    Lease oldest;  // ends outside of the lock
    std::lock_guard<std::mutex> lock(mu_);
    if (Place(*block, len)) break;
    if (order_.empty()) return sixcall::Status::kRefused;
    const auto at = index_.find(order_.front());
    oldest = std::move(at->second.block);
    used_ -= oldest->len;
    index_.erase(at);
    order_.pop_front();
  }
  if (len != 0) std::memcpy(base_ + block->offset, value, len);
  block->hash = HashOf(key, value, len);
  std::list<std::string> name;
  name.emplace_back(key);
  Lease old;
  std::lock_guard<std::mutex> lock(mu_);
  if (const auto at = index_.find(key); at != index_.end()) {
    old = std::move(at->second.block);
    at->second.block = block;
    order_.splice(order_.end(), order_, at->second.order);
    used_ -= old->len;
  } else {
    index_.emplace(name.front(), Entry{block, name.begin()});
    order_.splice(order_.end(), name);
  }
  used_ += len;
  return sixcall::Status::kHit;
}

Lease Pool::Find(std::string_view key) const {
  std::lock_guard<std::mutex> lock(mu_);
  const auto at = index_.find(key);
  return at == index_.end() ? nullptr : at->second.block;
}

bool Pool::Erase(std::string_view key) {
  Lease old;
  std::lock_guard<std::mutex> lock(mu_);
  const auto at = index_.find(key);
  if (at == index_.end()) return false;
  old = std::move(at->second.block);
  used_ -= old->len;
  const auto order = at->second.order;
  index_.erase(at);
  order_.erase(order);
  return true;
}

uint64_t Pool::keys() const {
  std::lock_guard<std::mutex> lock(mu_);
  return index_.size();
}

uint64_t Pool::used() const {
  std::lock_guard<std::mutex> lock(mu_);
  return used_;
}

}  // namespace nixl_peer
