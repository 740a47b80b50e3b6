// SPDX-License-Identifier: Apache-2.0
#include "mooncake_backend.h"

#include <algorithm>
#include <string>

namespace mooncake {
namespace {

using Clock = std::chrono::steady_clock;
using Millis = std::chrono::milliseconds;

/// How often a waiting worker looks whether the connection closes.
constexpr Millis kLook{20};
/// A set-up that hangs cannot be ended and costs threads, so there are never more
/// at a time in a process, however often a host tries to open.
constexpr int kMostSetups = 32;
/// How long Shutdown waits for an attempt that runs.
constexpr Millis kAttemptWait{100};

}  // namespace

std::shared_ptr<Store> Backend::Acquire(const std::function<bool()>& stop) {
  const auto end = Clock::now() + Millis(settings_.setup_timeout_ms);
  std::unique_lock<std::mutex> lock(mu_);
  if (ready_.load()) return store_;
  if (!attempting_) {
    attempting_ = true;
    try {
      sixcall::detail::StartThread("mooncake", [self = shared_from_this()] { self->Attempt(); }).detach();
    } catch (...) {
      attempting_ = false;
      throw;
    }
  }
  while (attempting_) {
    if (stop()) throw sixcall::Error(SIXCALL_E_CANCELLED, "closed while connecting");
    if (Clock::now() >= end) {
      throw sixcall::Error(SIXCALL_E_TIMEOUT, "the Mooncake client and the master at " + settings_.master.text + " gave no answer within " +
                                                  std::to_string(settings_.setup_timeout_ms) + " ms; still trying");
    }
    changed_.wait_until(lock, std::min(end, Clock::now() + kLook));
  }
  if (!ready_.load()) throw sixcall::Error(error_);
  return store_;
}

void Backend::Attempt() {
  std::shared_ptr<Store> store;
  {
    std::lock_guard<std::mutex> lock(mu_);
    store = store_;
  }
  sixcall::Error error(SIXCALL_E_CONNECT, "");
  bool ok = false;
  try {
    // Let go of it before this is announced: then the last to hold it is Shutdown.
    Prove(std::move(store)).reset();
    ok = true;
  } catch (...) {
    error = sixcall::Error::Current(SIXCALL_E_CONNECT);
  }
  std::lock_guard<std::mutex> lock(mu_);
  attempting_ = false;
  error_ = error;
  ready_.store(ok && !closed_);
  changed_.notify_all();
}

std::shared_ptr<Store> Backend::Prove(std::shared_ptr<Store> store) {
  const std::string local = CheckMaster(settings_.master, Millis(settings_.connect_timeout_ms));
  if (store != nullptr && failed_probes_ < kProbesBeforeAnew) {
    try {
      store->Probe();
      failed_probes_ = 0;
      return store;
    } catch (const sixcall::Error& e) {
      // A frozen master is no reason to give the client up.
      if (e.code() != SIXCALL_E_TIMEOUT) failed_probes_++;
      throw;
    }
  }
  return MakeStore(local);
}

std::shared_ptr<Store> Backend::MakeStore(const std::string& local_hostname) {
  static std::atomic<int> running{0};
  struct Count {
    Count() : n(running.fetch_add(1) + 1) {}
    ~Count() { running.fetch_sub(1); }
    int n;
  } const count;
  if (count.n > kMostSetups) {
    throw sixcall::Error(SIXCALL_E_TIMEOUT, std::to_string(kMostSetups) + " set-ups of Mooncake clients already wait in this process for masters "
                                            "that take connections and do not answer");
  }
  auto store = std::make_shared<Store>(library_);
  store->Setup(settings_, local_hostname);
  setups_.fetch_add(1);
  std::shared_ptr<Store> old;  // destroyed after the locks, here or by the last worker that uses it
  {
    std::lock_guard<std::mutex> memory_lock(memory_mu_);
    for (const auto& entry : memory_) store->Register(entry.second.base, entry.second.len);
    std::lock_guard<std::mutex> lock(mu_);
    if (closed_) throw sixcall::Error(SIXCALL_E_CLOSED, "closed while connecting");
    old = std::exchange(store_, store);
  }
  failed_probes_ = 0;
  return store;
}

void Backend::Suspect() {
  std::lock_guard<std::mutex> lock(mu_);
  if (!attempting_) ready_.store(false);  // an attempt that runs finds out by itself
}

uint64_t Backend::Register(void* base, uint64_t len) {
  std::lock_guard<std::mutex> memory_lock(memory_mu_);
  std::shared_ptr<Store> store;
  {
    std::lock_guard<std::mutex> lock(mu_);
    store = store_;
  }
  if (store != nullptr) store->Register(base, len);
  const uint64_t handle = next_memory_++;
  memory_[handle] = {base, len};
  return handle;
}

void Backend::Unregister(uint64_t handle) {
  std::lock_guard<std::mutex> memory_lock(memory_mu_);
  const auto it = memory_.find(handle);
  if (it == memory_.end()) return;
  std::shared_ptr<Store> store;
  {
    std::lock_guard<std::mutex> lock(mu_);
    store = store_;
  }
  if (store != nullptr) store->Unregister(it->second.base);
  memory_.erase(it);
}

void Backend::Shutdown(Millis wait) {
  std::shared_ptr<Store> store;
  std::map<uint64_t, Range> memory;
  {
    std::lock_guard<std::mutex> memory_lock(memory_mu_);
    memory.swap(memory_);
    std::lock_guard<std::mutex> lock(mu_);
    closed_ = true;
    ready_.store(false);
    store = std::move(store_);
  }
  struct Done {
    std::mutex mu;
    std::condition_variable changed;
    bool done = false;
  };
  const auto done = std::make_shared<Done>();
  const auto end = Clock::now() + wait;
  if (store != nullptr) {
    for (const auto& entry : memory) store->Unregister(entry.second.base);
    sixcall::detail::StartThread("mooncake", [done, store = std::move(store)]() mutable {
      store.reset();
      std::lock_guard<std::mutex> lock(done->mu);
      done->done = true;
      done->changed.notify_all();
    }).detach();
    std::unique_lock<std::mutex> lock(done->mu);
    done->changed.wait_until(lock, end, [&] { return done->done; });
  }
  // An attempt ends soon or takes minutes: it sees closed_ and cleans up by itself.
  std::unique_lock<std::mutex> lock(mu_);
  changed_.wait_for(lock, kAttemptWait, [&] { return !attempting_; });
}

}  // namespace mooncake
