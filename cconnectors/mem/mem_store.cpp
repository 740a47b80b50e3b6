// SPDX-License-Identifier: Apache-2.0
#include "mem_store.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <random>
#include <thread>

namespace mem {

namespace {

constexpr uint64_t kMapBytes = 64 << 10;  // blocks from here on are mapped one by one
constexpr uint64_t kSlabBytes = 1 << 20;  // smaller ones are cut from slabs
constexpr uint64_t kNobody = UINT64_MAX;

/// Fresh pages. A block that is written whole at once is populated in one call,
/// which costs about half of what its faults one by one would.
uint8_t* Map(uint64_t size, bool populate) {
  void* p = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | (populate ? MAP_POPULATE : 0), -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  return static_cast<uint8_t*>(p);
}

/// Four classes to a power of two: at most a fifth of a block is wasted.
/// 64, 80, 96, 112, 128, 160, ... and from 4 KiB on rounded up to pages.
uint32_t ClassOf(uint64_t len) {
  if (len <= 64) return 0;
  const auto top = static_cast<uint32_t>(63 - __builtin_clzll(len - 1));  // 2^top <= len-1
  const uint64_t step = uint64_t{1} << (top - 2);
  return (top - 6) * 4 + static_cast<uint32_t>((len - 1 - (uint64_t{1} << top)) / step) + 1;
}

}  // namespace

uint64_t Pool::ClassBytes(uint32_t size_class) {
  const uint32_t top = size_class / 4 + 6;
  const uint64_t size = (uint64_t{1} << top) + (size_class % 4) * (uint64_t{1} << (top - 2));
  return size > 4096 ? (size + 4095) & ~uint64_t{4095} : size;
}

Pool::~Pool() {
  for (uint32_t c = 0; c < kClasses; c++) {
    if (ClassBytes(c) < kMapBytes) continue;
    for (uint8_t* block : lists_[c].blocks) munmap(block, ClassBytes(c));
  }
  for (uint8_t* slab : slabs_) munmap(slab, kSlabBytes);
}

void Pool::Carve(List& list, uint64_t size) {
  uint8_t* slab = Map(kSlabBytes, false);
  {
    std::lock_guard<std::mutex> lock(slabs_mu_);
    slabs_.push_back(slab);
  }
  list.blocks.reserve(list.blocks.size() + kSlabBytes / size);
  for (uint64_t at = kSlabBytes / size * size; at > 0; at -= size) list.blocks.push_back(slab + at - size);
}

uint8_t* Pool::Allocate(uint64_t len, uint32_t* size_class) {
  if (len > uint64_t{1} << 46) throw std::bad_alloc();
  const uint32_t c = *size_class = ClassOf(len);
  const uint64_t size = ClassBytes(c);
  List& list = lists_[c];
  {
    std::lock_guard<std::mutex> lock(list.mu);
    if (list.blocks.empty() && size < kMapBytes) Carve(list, size);
    if (!list.blocks.empty()) {
      uint8_t* block = list.blocks.back();  // the one used last is warm
      list.blocks.pop_back();
      if (size >= kMapBytes) kept_bytes_.fetch_sub(size, std::memory_order_relaxed);
      return block;
    }
  }
  return Map(size, true);
}

void Pool::Free(uint8_t* block, uint32_t size_class) noexcept {
  const uint64_t size = ClassBytes(size_class);
  List& list = lists_[size_class];
  if (size >= kMapBytes && kept_bytes_.fetch_add(size, std::memory_order_relaxed) + size > keep_bytes_) {
    kept_bytes_.fetch_sub(size, std::memory_order_relaxed);
    munmap(block, size);
    return;
  }
  try {
    std::lock_guard<std::mutex> lock(list.mu);
    list.blocks.push_back(block);
  } catch (...) {  // no memory for the list: only a mapped block can be given back
    if (size >= kMapBytes) munmap(block, size);
  }
}

Store::Store(uint64_t capacity)
    : capacity_(capacity), seed_(std::random_device{}() * uint64_t{0x9E3779B97F4A7C15}), pool_(std::max<uint64_t>(256 << 20, capacity / 4)) {
  for (Shard& s : shards_) s.buckets.assign(64, nullptr);
}

Store::~Store() {
  for (Shard& s : shards_) {
    for (Node* n = s.oldest; n != nullptr;) {
      Node* next = n->newer;
      Release(n->value);
      std::free(n);
      n = next;
    }
  }
}

/// Eight bytes at a time, multiply and fold. Seeded, so that nobody can choose
/// keys that all fall into one bucket.
uint64_t Store::Hash(std::string_view key) const noexcept {
  const auto mix = [](uint64_t a, uint64_t b) {
    __extension__ typedef unsigned __int128 Wide;
    const Wide m = static_cast<Wide>(a) * b;
    return static_cast<uint64_t>(m) ^ static_cast<uint64_t>(m >> 64);
  };
  const char* p = key.data();
  size_t n = key.size();
  uint64_t h = seed_ ^ n;
  for (; n >= 16; p += 16, n -= 16) {
    uint64_t a, b;
    std::memcpy(&a, p, 8);
    std::memcpy(&b, p + 8, 8);
    h = mix(a ^ 0xA0761D6478BD642F, b ^ h);
  }
  uint64_t a = 0, b = 0;
  std::memcpy(&a, p, std::min<size_t>(n, 8));
  if (n > 8) std::memcpy(&b, p + 8, n - 8);
  return mix(mix(a ^ 0xE7037ED1A0B428DB, b ^ h), 0x8EBC6AF09C88C6E3);
}

Store::Node** Store::Find(Shard& s, std::string_view key, uint64_t hash) {
  Node** at = &s.buckets[hash & (s.buckets.size() - 1)];
  for (; *at != nullptr; at = &(*at)->next) {
    Node* n = *at;
    if (n->hash == hash && n->key_len == key.size() && std::memcmp(n->key(), key.data(), key.size()) == 0) break;
  }
  return at;
}

Store::Value* Store::MakeValue(const uint8_t* from, uint64_t len) {
  auto v = std::make_unique<Value>();
  v->data = pool_.Allocate(len, &v->size_class);
  v->len = len;
  if (len != 0) std::memcpy(v->data, from, len);
  return v.release();
}

void Store::Release(Value* v) noexcept {
  if (v->refs.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  pool_.Free(v->data, v->size_class);
  delete v;
}

bool Store::Reserve(uint64_t more) noexcept {
  uint64_t now = bytes_.load(std::memory_order_relaxed);
  do {
    if (capacity_ != 0 && (more > capacity_ || now > capacity_ - more)) return false;
  } while (!bytes_.compare_exchange_weak(now, now + more, std::memory_order_relaxed));
  return true;
}

void Store::Append(Shard& s, Node* n) {
  n->order = order_.fetch_add(1, std::memory_order_relaxed);
  n->older = s.newest;
  n->newer = nullptr;
  (s.newest == nullptr ? s.oldest : s.newest->newer) = n;
  s.newest = n;
  if (s.oldest == n) s.oldest_order.store(n->order, std::memory_order_relaxed);
}

void Store::Unlink(Shard& s, Node* n) {
  (n->older == nullptr ? s.oldest : n->older->newer) = n->newer;
  (n->newer == nullptr ? s.newest : n->newer->older) = n->older;
  s.oldest_order.store(s.oldest == nullptr ? kNobody : s.oldest->order, std::memory_order_relaxed);
}

void Store::Grow(Shard& s) {
  std::vector<Node*> larger(s.buckets.size() * 2, nullptr);
  for (Node* n = s.oldest; n != nullptr; n = n->newer) {
    Node*& head = larger[n->hash & (larger.size() - 1)];
    n->next = head;
    head = n;
  }
  s.buckets.swap(larger);
}

Status Store::Get(std::string_view key, uint8_t* buf, uint64_t len, uint64_t* stored_len) {
  const uint64_t hash = Hash(key);
  Shard& s = ShardOf(hash);
  Value* v;
  {
    std::lock_guard<std::mutex> lock(s.mu);
    Node* n = *Find(s, key, hash);
    if (n == nullptr) return Status::kMiss;
    v = n->value;
    *stored_len = v->len;
    if (v->len != len) return Status::kSize;
    v->refs.fetch_add(1, std::memory_order_relaxed);
  }
  if (len != 0) std::memcpy(buf, v->data, len);
  Release(v);
  return Status::kHit;
}

Status Store::Set(std::string_view key, const uint8_t* value, uint64_t len) {
  if (capacity_ != 0 && len > capacity_) return Status::kRefused;
  Value* v = MakeValue(value, len);  // copied before any lock is taken
  const uint64_t hash = Hash(key);
  Shard& s = ShardOf(hash);
  Value* old = nullptr;
  for (;;) {
    {
      std::lock_guard<std::mutex> lock(s.mu);
      Node** at = Find(s, key, hash);
      Node* n = *at;
      const uint64_t old_len = n != nullptr ? n->value->len : 0;
      // Only growth needs room; what shrinks is given back after the exchange.
      if (len <= old_len || Reserve(len - old_len)) {
        if (n == nullptr) {
          n = static_cast<Node*>(std::malloc(sizeof(Node) + key.size()));
          if (n == nullptr) {
            bytes_.fetch_sub(len, std::memory_order_relaxed);
            Release(v);
            throw std::bad_alloc();
          }
          n->hash = hash;
          n->next = nullptr;
          n->key_len = static_cast<uint32_t>(key.size());
          std::memcpy(n->key(), key.data(), key.size());
          *at = n;
          s.n++;
          keys_.fetch_add(1, std::memory_order_relaxed);
        } else {
          old = n->value;
          Unlink(s, n);
        }
        n->value = v;
        Append(s, n);
        if (len < old_len) bytes_.fetch_sub(old_len - len, std::memory_order_relaxed);
        if (s.n > s.buckets.size()) {
          try {
            Grow(s);
          } catch (const std::bad_alloc&) {  // longer chains still work
          }
        }
        break;
      }
    }
    if (!Evict()) std::this_thread::yield();  // another thread is about to link what it reserved
  }
  if (old != nullptr) Release(old);
  return Status::kHit;
}

/// Removes the value that was stored first, as far as a glance at all shards can
/// tell. False if there was none.
bool Store::Evict() {
  Shard* first = nullptr;
  uint64_t order = kNobody;
  for (Shard& s : shards_) {
    const uint64_t o = s.oldest_order.load(std::memory_order_relaxed);
    if (o < order) order = o, first = &s;
  }
  if (first == nullptr) return false;
  Node* n;
  {
    std::lock_guard<std::mutex> lock(first->mu);
    n = first->oldest;
    if (n == nullptr) return false;
    Node** at = &first->buckets[n->hash & (first->buckets.size() - 1)];
    while (*at != n) at = &(*at)->next;
    *at = n->next;
    Unlink(*first, n);
    first->n--;
  }
  keys_.fetch_sub(1, std::memory_order_relaxed);
  const uint64_t len = n->value->len;
  Release(n->value);
  std::free(n);
  bytes_.fetch_sub(len, std::memory_order_relaxed);
  return true;
}

Status Store::Exists(std::string_view key, uint64_t* stored_len) {
  const uint64_t hash = Hash(key);
  Shard& s = ShardOf(hash);
  std::lock_guard<std::mutex> lock(s.mu);
  Node* n = *Find(s, key, hash);
  if (n == nullptr) return Status::kMiss;
  *stored_len = n->value->len;
  return Status::kHit;
}

Status Store::Erase(std::string_view key) {
  const uint64_t hash = Hash(key);
  Shard& s = ShardOf(hash);
  Node* n;
  {
    std::lock_guard<std::mutex> lock(s.mu);
    Node** at = Find(s, key, hash);
    n = *at;
    if (n == nullptr) return Status::kMiss;
    *at = n->next;
    Unlink(s, n);
    s.n--;
  }
  keys_.fetch_sub(1, std::memory_order_relaxed);
  const uint64_t len = n->value->len;
  Release(n->value);
  std::free(n);
  bytes_.fetch_sub(len, std::memory_order_relaxed);
  return Status::kHit;
}

void Store::List(uint64_t from, std::vector<Entry>* out) {
  Shard& s = ShardOf(from);
  {
    std::lock_guard<std::mutex> lock(s.mu);
    for (Node* n = s.oldest; n != nullptr; n = n->newer) {
      if (n->hash >= from) out->push_back({n->hash, n->value->len, std::string(n->key(), n->key_len)});
    }
  }
  std::sort(out->begin(), out->end(), [](const Entry& a, const Entry& b) { return a.hash < b.hash; });
}

void ListPage(Store& store, sixcall::Page& page) {
  uint64_t from = 0;
  if (page.cursor().size() == sizeof(from)) std::memcpy(&from, page.cursor().data(), sizeof(from));
  std::vector<Store::Entry> entries;
  for (;;) {
    entries.clear();
    store.List(from, &entries);
    for (const auto& e : entries) {
      if (page.Add(e.key, e.len)) continue;
      page.SetCursor({reinterpret_cast<const char*>(&e.hash), sizeof(e.hash)});
      return;
    }
    from = Store::NextPart(from);
    if (from == 0) return page.SetLast();
  }
}

}  // namespace mem
