// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_REDIS_TEST_REDIS_H
#define SIXCALL_REDIS_TEST_REDIS_H

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "fake_server.h"
#include "harness/basics.h"
#include "harness/connection.h"
#include "harness/threads.h"

namespace sixcall_test {

using Status = std::vector<uint8_t>;
constexpr uint8_t kMiss = SIXCALL_STATUS_MISS;
constexpr uint8_t kHit = SIXCALL_STATUS_HIT;
constexpr uint8_t kError = SIXCALL_STATUS_ERROR;
constexpr uint8_t kSize = SIXCALL_STATUS_SIZE;
constexpr uint8_t kCancelled = SIXCALL_STATUS_CANCELLED;
constexpr uint8_t kTimeout = SIXCALL_STATUS_TIMEOUT;
constexpr uint8_t kRefused = SIXCALL_STATUS_REFUSED;

// The library under test, loaded once.
inline const sixcall_api *Redis() {
  static const sixcall_api *api = LoadLibrary(SIXCALL_TEST_REDIS);
  return api;
}

// One connection and no other workers, so that a test knows where its requests go.
inline OpenOptions RedisOptions(const std::string &members, const std::string &pauses = "\"reconnect_min_ms\":1,\"reconnect_max_ms\":5") {
  OpenOptions options;
  options.config = "{\"workers\":1," + pauses + "," + members + "}";
  return options;
}

inline std::vector<std::string> Keys(size_t n, const std::string &name = "k") {
  std::vector<std::string> keys;
  for (size_t i = 0; i < n; ++i) keys.push_back(name + std::to_string(i));
  return keys;
}

// A value of n bytes that tells its key.
inline std::string ValueOf(const std::string &key, size_t n) {
  std::string value;
  for (uint32_t x = 2166136261u; value.size() < n; x = x * 16777619u + 1) {
    for (const char c : key) x = (x ^ static_cast<unsigned char>(c)) * 16777619u;
    value.append(reinterpret_cast<const char *>(&x), sizeof(x));
  }
  value.resize(n);
  return value;
}

inline std::vector<std::string> ValuesOf(const std::vector<std::string> &keys, size_t n) {
  std::vector<std::string> values;
  for (const std::string &key : keys) values.push_back(ValueOf(key, n));
  return values;
}

}  // namespace sixcall_test

#endif  // SIXCALL_REDIS_TEST_REDIS_H
