// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_TEST_HARNESS_SHARED_HOST_H
#define SIXCALL_TEST_HARNESS_SHARED_HOST_H

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "sixcall/connector.h"

namespace sixcall_test {

// A host for many threads: whoever likes submits, one thread of its own polls
// the event fd and drains. For stress and speed it uses ordinary memory; see
// Connection for the strict one. Fails the running test on a completion of a
// ticket that is not in flight, and when the event fd stays silent for long
// while a completion waits. Safe for concurrent use.
class SharedHost {
 public:
  // One batch and its memory. The caller fills items before Start and reads the
  // rest after Wait.
  struct Call {
    explicit Call(uint32_t n);
    void SetKey(uint32_t i, const std::string &key);
    void SetBuf(uint32_t i, void *buf, uint64_t len);

    std::vector<sixcall_item> items;
    std::vector<uint8_t> status;
    std::vector<uint64_t> value_lens;
    int32_t rc = 0;
    uint32_t n_ok = 0;

   private:
    friend class SharedHost;
    std::mutex mutex;  // guards done
    std::condition_variable changed;
    bool done = true;
    std::atomic<bool> in_flight{false};
  };

  // drain_cap is how many completions one drain may take.
  SharedHost(const sixcall_api *api, const std::string &config, uint32_t drain_cap = 64);
  SharedHost(const SharedHost &) = delete;
  SharedHost &operator=(const SharedHost &) = delete;
  ~SharedHost();

  const sixcall_api &api() const { return *api_; }
  sixcall_conn *handle() const { return conn_; }
  uint64_t completions() const { return completions_.load(); }
  uint64_t drains() const { return drains_.load(); }

  // Submits, again and again while the connector's queue is full. Throws
  // std::runtime_error on any other refusal.
  void Start(uint32_t op, Call &call);
  static void Wait(Call &call);
  void Run(uint32_t op, Call &call) {
    Start(op, call);
    Wait(call);
  }

 private:
  void DrainLoop();

  const sixcall_api *api_;
  sixcall_conn *conn_ = nullptr;
  int fd_ = -1;
  int stop_fd_ = -1;
  uint32_t drain_cap_;
  std::atomic<uint64_t> started_{0};
  std::atomic<uint64_t> completions_{0};
  std::atomic<uint64_t> drains_{0};
  std::thread drainer_;
};

}  // namespace sixcall_test

#endif  // SIXCALL_TEST_HARNESS_SHARED_HOST_H
