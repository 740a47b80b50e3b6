// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_MOONCAKE_TEST_HOST_H
#define SIXCALL_MOONCAKE_TEST_HOST_H

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "sixcall/connector.h"

namespace mooncake_test {

/// One batch and its memory. Fill it, Start it, Wait for it; then read it.
struct Call {
  explicit Call(size_t n) : items(n), status(n), lens(n) {}
  void Set(size_t i, const std::string& key, void* buf, uint64_t len);

  std::vector<sixcall_item> items;
  std::vector<uint8_t> status;
  std::vector<uint64_t> lens;
  std::vector<std::string> keys;
  sixcall_err err = {};
  sixcall_completion completion = {};

 private:
  friend class Host;
  std::mutex mu;
  std::condition_variable changed;
  bool done = true;
};

/// A host for programs that test or measure a connector with the real library,
/// which do not want a test framework in the process. Start and Wait are safe for
/// concurrent use.
class Host {
 public:
  /// Loads the connector at path; throws std::runtime_error.
  explicit Host(const std::string& path);
  ~Host();

  /// Returns 0, or the connector's code with its text in *error.
  int32_t Open(const std::string& config, uint32_t timeout_ms, std::string* error);
  /// Returns what close returned.
  int32_t Close(uint32_t grace_ms);
  bool is_open() const { return conn_ != nullptr; }
  const sixcall_api& api() const { return *api_; }
  sixcall_conn* conn() const { return conn_; }

  /// Submits; a full queue is tried again. Returns the code of a refusal, or 0.
  int32_t Start(uint32_t op, Call& call, uint64_t mem_handle = 0);
  /// Waits for the end; false when that takes longer than limit.
  static bool Wait(Call& call, std::chrono::seconds limit);

 private:
  void DrainLoop();

  const sixcall_api* api_ = nullptr;
  sixcall_conn* conn_ = nullptr;
  int fd_ = -1;
  std::thread drainer_;
  std::atomic<bool> stop_{false};
};

/// The n bytes that belong to a key: no two keys, and no two versions of a key, have the same.
void FillValue(const std::string& key, uint64_t version, uint8_t* out, size_t n);
bool IsValue(const std::string& key, uint64_t version, const uint8_t* bytes, size_t n);

}  // namespace mooncake_test

#endif  // SIXCALL_MOONCAKE_TEST_HOST_H
