// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_MOONCAKE_BACKEND_H
#define SIXCALL_MOONCAKE_BACKEND_H

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "mooncake_store.h"

namespace mooncake {

/// The one client that all workers of a connection share, and its life: made when
/// first needed, asked again after the master was gone, made anew when it does not
/// come back by itself. Safe for concurrent use.
///
/// Calls that may block for minutes (setup, a probe of a frozen master) run on a
/// thread of their own, one at a time. Whoever needs the result waits for it with
/// a bound, and the thread goes on: a setup that ends late is not lost.
class Backend : public std::enable_shared_from_this<Backend> {
 public:
  /// After so many probes in a row that failed although the master takes
  /// connections, the client is made anew.
  static constexpr int kProbesBeforeAnew = 5;

  Backend(const Library& library, Settings settings) : library_(library), settings_(std::move(settings)) {}

  /// Returns the client, ready for work; makes or probes it if need be. Throws the
  /// reason why there is none, SIXCALL_E_TIMEOUT after setup_timeout_ms, or
  /// SIXCALL_E_CANCELLED soon after stop() is true.
  std::shared_ptr<Store> Acquire(const std::function<bool()>& stop);

  /// Says that the master did not answer this client: the next Acquire asks it.
  void Suspect();
  /// A hint for workers that have a client: the master did not answer another one.
  bool suspect() const { return !ready_.load(std::memory_order_relaxed); }

  /// Registers memory with the client, and with every later one. Returns a handle.
  uint64_t Register(void* base, uint64_t len);
  void Unregister(uint64_t handle);

  /// Destroys the client, for at most `wait`; what is stuck in the library by then
  /// stays behind and touches nothing of the host's. No Acquire runs or follows.
  void Shutdown(std::chrono::milliseconds wait);

  const Settings& settings() const { return settings_; }
  const Library& library() const { return library_; }
  uint64_t setups() const { return setups_.load(); }

 private:
  struct Range {
    void* base;
    uint64_t len;
  };

  void Attempt();
  /// Probes `store`, or makes a new one if it is NULL or beyond hope.
  std::shared_ptr<Store> Prove(std::shared_ptr<Store> store);
  std::shared_ptr<Store> MakeStore(const std::string& local_hostname);

  const Library& library_;
  const Settings settings_;
  std::atomic<bool> ready_{false};
  std::atomic<uint64_t> setups_{0};
  int failed_probes_ = 0;  // of the attempt's thread

  std::mutex mu_;  // guards the five below; nothing blocks under it
  std::condition_variable changed_;
  std::shared_ptr<Store> store_;
  bool attempting_ = false;
  bool closed_ = false;
  sixcall::Error error_{SIXCALL_E_CONNECT, "not connected"};

  std::mutex memory_mu_;  // guards the two below and the store that gets them; taken before mu_
  std::map<uint64_t, Range> memory_;
  uint64_t next_memory_ = 1;
};

}  // namespace mooncake

#endif  // SIXCALL_MOONCAKE_BACKEND_H
