// SPDX-License-Identifier: Apache-2.0
//
// The client library of a storage system: here a stand-in that keeps values in
// memory. Yours takes its place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace shelf {

enum class Found { kNo, kYes, kOtherSize };

/// Safe for concurrent use.
class Client {
 public:
  explicit Client(uint64_t max_keys) : max_keys_(max_keys) {}

  /// Copies the value out if it has exactly size bytes. *len is what is stored.
  Found Read(std::string_view key, uint8_t* out, size_t size, size_t* len) {
    const Value value = Find(key);
    if (value == nullptr) return Found::kNo;
    *len = value->size();
    if (value->size() != size) return Found::kOtherSize;
    if (size != 0) std::memcpy(out, value->data(), size);
    return Found::kYes;
  }
  /// Stores a copy; false when the store is full.
  bool Write(std::string_view key, const uint8_t* data, size_t size) {
    auto value = std::make_shared<const std::vector<uint8_t>>(data, data + size);  // a reader keeps the one that it has found
    const std::lock_guard<std::mutex> lock(mu_);
    const auto at = values_.find(std::string(key));
    if (at != values_.end()) {
      at->second = std::move(value);
      return true;
    }
    if (values_.size() >= max_keys_) return false;
    values_.emplace(key, std::move(value));
    return true;
  }
  bool Has(std::string_view key, size_t* len) {
    const Value value = Find(key);
    if (value == nullptr) return false;
    *len = value->size();
    return true;
  }
  bool Remove(std::string_view key) {
    const std::lock_guard<std::mutex> lock(mu_);
    return values_.erase(std::string(key)) != 0;
  }

 private:
  using Value = std::shared_ptr<const std::vector<uint8_t>>;
  Value Find(std::string_view key) {
    const std::lock_guard<std::mutex> lock(mu_);
    const auto at = values_.find(std::string(key));
    return at == values_.end() ? nullptr : at->second;
  }

  const uint64_t max_keys_;
  std::mutex mu_;
  std::unordered_map<std::string, Value> values_;  // guarded by mu_
};

}  // namespace shelf
