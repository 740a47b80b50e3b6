// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_INFINISTORE_REAPER_H
#define SIXCALL_INFINISTORE_REAPER_H

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "infinistore_exchange.h"
#include "infinistore_keys.h"
#include "infinistore_socket.h"

namespace infinistore {

/// Runs to their end the exchanges that workers had to leave: it receives answers
/// into nowhere, sends the rest of values, deletes what was put after its ticket had
/// failed, and closes each connection only when nothing is outstanding on it. One
/// thread. Safe for concurrent use.
class Reaper : public std::enable_shared_from_this<Reaper> {
 public:
  struct Parked {
    Socket socket;
    std::unique_ptr<Exchange> exchange;  // detached
    Keys::Lock lock;                     // of its key; may be empty
    uint32_t server = 0;
    bool probe = false;  // the first question of a new connection
  };

  static std::shared_ptr<Reaper> Start(const std::string& connector);

  void Park(Parked parked);

  /// Whether a server has accepted a connection and not answered its first question.
  bool probe_waits() const { return probes_.load(std::memory_order_acquire) != 0; }
  size_t parked() const { return count_.load(std::memory_order_acquire); }
  uint64_t parked_total() const { return total_.load(std::memory_order_relaxed); }

  /// Waits until nothing is left, and joins the thread. Probes are cut: a server
  /// survives that. False: not until then; the thread goes on by itself. Once.
  bool Stop(std::chrono::steady_clock::time_point until);

  ~Reaper();

 private:
  Reaper();
  void Loop();
  void Wake();
  /// Goes on with one exchange; true when it is over.
  static bool Advance(Parked& p, uint8_t* scratch);

  const std::unique_ptr<uint8_t[]> scratch_;  // the thread's
  int wake_fd_ = -1;
  std::thread thread_;
  std::atomic<size_t> count_{0};
  std::atomic<size_t> probes_{0};
  std::atomic<uint64_t> total_{0};

  std::mutex mu_;  // guards the three below
  std::condition_variable changed_;
  std::vector<Parked> arriving_;
  bool stop_ = false;
  bool ended_ = false;
};

}  // namespace infinistore

#endif  // SIXCALL_INFINISTORE_REAPER_H
