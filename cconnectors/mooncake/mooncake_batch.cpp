// SPDX-License-Identifier: Apache-2.0
#include "mooncake_batch.h"

#include <functional>

namespace mooncake {

void AppendKey(std::string_view key, std::string* out) {
  if (key.find('\0') == key.npos && key.find('\1') == key.npos) {
    out->append(key);
    return;
  }
  for (const char c : key) {
    if (c == '\0' || c == '\1') {
      *out += '\1';
      *out += static_cast<char>(c + 1);
    } else {
      *out += c;
    }
  }
}

void CallArrays::Clear() {
  text_.clear();
  at_.clear();
  index_.clear();
  bufs_.clear();
  sizes_.clear();
}

void CallArrays::Add(size_t index, std::string_view key, const void* buf, size_t size) {
  index_.push_back(index);
  at_.push_back(text_.size());
  text_ += prefix_;
  AppendKey(key, &text_);
  text_ += '\0';
  bufs_.push_back(const_cast<void*>(buf));  // the library's put takes it so, and only reads
  sizes_.push_back(size);
}

void CallArrays::Seal() {
  keys_.resize(at_.size());
  for (size_t i = 0; i < at_.size(); i++) keys_[i] = text_.data() + at_[i];
  codes_.assign(at_.size(), kNoResult);
  lengths_.assign(at_.size(), kNoResult);
}

void KeySet::Clear(size_t n) {
  size_t size = 2;
  while (size < 2 * n) size *= 2;
  slots_.assign(size, {});
}

bool KeySet::Insert(std::string_view key) {
  const size_t mask = slots_.size() - 1;
  for (size_t at = std::hash<std::string_view>()(key) & mask;; at = (at + 1) & mask) {
    if (slots_[at].empty()) {
      slots_[at] = key;
      return true;
    }
    if (slots_[at] == key) return false;
  }
}

bool KeyLocks::TryLock(std::string_view key) {
  std::lock_guard<std::mutex> lock(mu_);
  return keys_.insert(key).second;
}

void KeyLocks::Unlock(const std::vector<std::string_view>& keys) {
  {
    std::lock_guard<std::mutex> lock(mu_);
    for (const auto& key : keys) keys_.erase(key);
    unlocks_++;
  }
  unlocked_.notify_all();
}

uint64_t KeyLocks::Unlocks() {
  std::lock_guard<std::mutex> lock(mu_);
  return unlocks_;
}

void KeyLocks::WaitUnlock(uint64_t seen, std::chrono::milliseconds time) {
  std::unique_lock<std::mutex> lock(mu_);
  unlocked_.wait_for(lock, time, [&] { return unlocks_ != seen; });
}

}  // namespace mooncake
