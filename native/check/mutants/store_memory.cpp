// SPDX-License-Identifier: Apache-2.0
#include <sched.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>

#include "mutant.h"
#include "store.h"

namespace mutant {

uint64_t Hash(const std::string& bytes, uint64_t seed) {
  uint64_t h = 0xCBF29CE484222325 ^ seed;
  for (const char c : bytes) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  h ^= h >> 32;
  return h * 0x9E3779B97F4A7C15;
}

bool AddEntry(sixcall_page* page, const std::string& key, uint64_t len) {
  const uint64_t size = 16 + (key.size() + 7) / 8 * 8;
  if (size > page->cap - page->used) return false;
  uint8_t* to = page->buf + page->used;
  const uint32_t key_len = static_cast<uint32_t>(key.size());
  memset(to, 0, size);
  memcpy(to, &key_len, 4);
  memcpy(to + 8, &len, 8);
  memcpy(to + 16, key.data(), key.size());
  page->used += size;
  page->n++;
  return true;
}

namespace {

/// What a key becomes: itself, unless the mistake is about keys.
std::string Mangle(const std::string& key) {
  if (Is("key_nul")) return key.substr(0, key.find('\0'));
  if (Is("key_cut")) return key.substr(0, 64);
  if (Is("key_case")) {
    std::string lower = key;
    for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    return lower;
  }
  if (Is("key_hash24")) return std::to_string(Hash(key) & 0xFFFFFF);
  return key;
}

class MemoryStore final : public Store {
 public:
  uint8_t Get(const std::string& given, uint8_t* buf, uint64_t len, uint64_t* stored) override {
    const std::string key = Mangle(given);
    std::shared_ptr<std::string> value;
    {
      std::lock_guard<std::mutex> lock(mu_);
      const auto it = map_.find({Hash(key), key});
      if (it == map_.end()) {
        if (Is("miss_writes") && len > 0) buf[len / 2] = 0;
        if (Is("miss_error")) return SIXCALL_STATUS_ERROR;
        return Is("miss_hit") ? SIXCALL_STATUS_HIT : SIXCALL_STATUS_MISS;
      }
      value = it->second;
      *stored = value->size();
      if (value->size() != len && !Is("size_ignored")) return SIXCALL_STATUS_SIZE;
    }
    if (Is("write_past_buf")) memcpy(buf, value->data(), len), buf[len] = 0;
    if (Is("read_before_key")) hash_ += Hash(std::string(given.data(), 1));
    memcpy(buf, value->data(), std::min<uint64_t>(len, value->size()));
    if (Is("large_wrong") && len > 65536) buf[len - 1] ^= 1;
    if (Is("length_511") && len == 511) buf[510] = buf[509];
    if (Is("unaligned_fails") && reinterpret_cast<uintptr_t>(buf) % 512 != 0) return SIXCALL_STATUS_ERROR;
    return SIXCALL_STATUS_HIT;
  }

  uint8_t Set(const std::string& given, const uint8_t* bytes, uint64_t len) override {
    const std::string key = Mangle(given);
    if (Is("torn")) return SetTorn(key, bytes, len);
    auto value = std::make_shared<std::string>(reinterpret_cast<const char*>(bytes), len);
    std::lock_guard<std::mutex> lock(mu_);
    std::shared_ptr<std::string>& slot = map_[{Hash(key), key}];
    if (Is("shrinks_once") && slot != nullptr && slot->size() == 20000 && len < 64) return SIXCALL_STATUS_HIT;  // keeps the old one
    if (Is("stale_tail") && slot != nullptr && slot->size() > len) {
      auto mixed = std::make_shared<std::string>(*slot);
      mixed->replace(0, len, *value);
      value = mixed;
    }
    slot = value;
    return SIXCALL_STATUS_HIT;
  }

  uint8_t Exists(const std::string& given, uint64_t* stored) override {
    const std::string key = Mangle(given);
    std::lock_guard<std::mutex> lock(mu_);
    const auto it = map_.find({Hash(key), key});
    if (it == map_.end()) return SIXCALL_STATUS_MISS;
    *stored = it->second->size();
    if (Is("length_of_first")) *stored = first_.emplace(key, *stored).first->second;
    return SIXCALL_STATUS_HIT;
  }

  uint8_t Delete(const std::string& given) override {
    if (Is("delete_lies")) return SIXCALL_STATUS_HIT;
    const std::string key = Mangle(given);
    std::lock_guard<std::mutex> lock(mu_);
    if (Is("delete_keeps")) return map_.count({Hash(key), key}) != 0 ? SIXCALL_STATUS_HIT : SIXCALL_STATUS_MISS;
    return map_.erase({Hash(key), key}) != 0 ? SIXCALL_STATUS_HIT : SIXCALL_STATUS_MISS;
  }

  int32_t List(sixcall_page* page) override {
    uint64_t from = 0;
    if (page->cursor_len == sizeof(from)) memcpy(&from, page->cursor, sizeof(from));
    page->n = 0;
    page->used = 0;
    page->flags = 0;
    std::lock_guard<std::mutex> lock(mu_);
    auto it = map_.lower_bound({from, std::string()});
    for (; it != map_.end(); ++it) {
      if (Is("list_misses") && it->first.first % 7 == 0) continue;
      if (AddEntry(page, it->first.second, it->second->size())) continue;
      if (page->n == 0) return SIXCALL_E_NOSPACE;
      const uint64_t next = Is("list_endless") ? from : it->first.first;
      memcpy(page->cursor, &next, sizeof(next));
      page->cursor_len = sizeof(next);
      return 0;
    }
    page->flags = SIXCALL_PAGE_LAST;
    return 0;
  }

  uint64_t keys() override {
    std::lock_guard<std::mutex> lock(mu_);
    return map_.size();
  }

 private:
  /// In place, in pieces, without the lock.
  uint8_t SetTorn(const std::string& key, const uint8_t* bytes, uint64_t len) {
    std::shared_ptr<std::string> value;
    {
      std::lock_guard<std::mutex> lock(mu_);
      std::shared_ptr<std::string>& slot = map_[{Hash(key), key}];
      if (slot == nullptr || slot->size() != len) slot = std::make_shared<std::string>(len, '\0');
      value = slot;
    }
    for (uint64_t at = 0; at < len; at += 512) {
      memcpy(&(*value)[at], bytes + at, std::min<uint64_t>(512, len - at));
      sched_yield();
    }
    return SIXCALL_STATUS_HIT;
  }

  std::mutex mu_;
  std::map<std::pair<uint64_t, std::string>, std::shared_ptr<std::string>> map_;  // by hash, so that a cursor is 8 bytes
  uint64_t hash_ = 0;
  std::map<std::string, uint64_t> first_;  // for the mistake length_of_first
};

/// Forwards to one store for the whole process.
class SharedStore final : public Store {
 public:
  uint8_t Get(const std::string& k, uint8_t* b, uint64_t n, uint64_t* s) override { return One().Get(k, b, n, s); }
  uint8_t Set(const std::string& k, const uint8_t* v, uint64_t n) override { return One().Set(k, v, n); }
  uint8_t Exists(const std::string& k, uint64_t* s) override { return One().Exists(k, s); }
  uint8_t Delete(const std::string& k) override { return One().Delete(k); }
  int32_t List(sixcall_page* p) override { return One().List(p); }
  uint64_t keys() override { return One().keys(); }

 private:
  static MemoryStore& One() {
    static auto* const store = new MemoryStore;
    return *store;
  }
};

}  // namespace

std::unique_ptr<Store> MakeMemoryStore(const Config&) {
  if (Is("namespace_ignored")) return std::make_unique<SharedStore>();
  return std::make_unique<MemoryStore>();
}

}  // namespace mutant
