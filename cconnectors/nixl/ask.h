// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_NIXL_ASK_H
#define SIXCALL_NIXL_ASK_H

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "sixcall/connector.hpp"

namespace nixl {

/// A question about objects: which of them exist. NIXL answers it in a call that
/// may block for half a minute, so an ask has copies of all it needs and can be
/// answered by the clock while a thread still waits for NIXL.
struct Ask {
  enum class Why {
    kLookup,    ///< the host asks
    kFailed,    ///< a read failed: because the object is absent?
    kPing,      ///< is the backend there?
  };
  Why why = Why::kLookup;
  uint64_t ticket = 0;
  std::vector<size_t> index;       ///< of names in the batch
  std::vector<std::string> names;
  uint64_t expiry_ns = 0;
  sixcall::Error error = {0, ""};  ///< kFailed: what to say if the object is there

 private:
  friend class AskQueue;
  bool taken = false, answered = false;  // guarded by the queue's mutex
};
using AskPtr = std::shared_ptr<Ask>;

/// The asks that are not answered. Safe for concurrent use.
class AskQueue {
 public:
  void Push(AskPtr ask) {
    {
      std::lock_guard<std::mutex> lock(mu_);
      open_.push_back(std::move(ask));
    }
    cv_.notify_all();
  }

  /// Waits for an ask that no thread has taken; NULL = stopped.
  AskPtr Take() {
    std::unique_lock<std::mutex> lock(mu_);
    for (;;) {
      for (const AskPtr& ask : open_) {
        if (ask->taken) continue;
        ask->taken = true;
        return ask;
      }
      if (stop_) return nullptr;
      cv_.wait(lock);
    }
  }

  /// True for the one caller that may answer the ask.
  bool Claim(const AskPtr& ask) {
    std::lock_guard<std::mutex> lock(mu_);
    if (ask->answered) return false;
    ask->answered = true;
    open_.remove(ask);
    return true;
  }

  /// Waits for an ask to expire and claims it; NULL = stopped. The order of the
  /// asks is nearly that of their expiry.
  AskPtr AwaitExpired() {
    std::unique_lock<std::mutex> lock(mu_);
    while (!stop_) {
      if (open_.empty()) {
        cv_.wait(lock);
        continue;
      }
      const uint64_t now = sixcall::NowNs();
      uint64_t first = UINT64_MAX;
      for (auto it = open_.begin(); it != open_.end(); ++it) {
        first = std::min(first, (*it)->expiry_ns);
        if ((*it)->expiry_ns > now) continue;
        AskPtr ask = *it;
        ask->answered = ask->taken = true;
        open_.erase(it);
        return ask;
      }
      cv_.wait_for(lock, std::chrono::nanoseconds(first - now));
    }
    return nullptr;
  }

  /// Claims all asks of a ticket, or every one with UINT64_MAX.
  std::vector<AskPtr> Withdraw(uint64_t ticket) {
    std::vector<AskPtr> out;
    std::lock_guard<std::mutex> lock(mu_);
    for (auto it = open_.begin(); it != open_.end();) {
      if (ticket != UINT64_MAX && (*it)->ticket != ticket) {
        ++it;
        continue;
      }
      (*it)->answered = (*it)->taken = true;
      out.push_back(*it);
      it = open_.erase(it);
    }
    return out;
  }

  void Stop() {
    {
      std::lock_guard<std::mutex> lock(mu_);
      stop_ = true;
    }
    cv_.notify_all();
  }

 private:
  std::mutex mu_;  // guards the two below and the flags of asks
  std::list<AskPtr> open_;
  bool stop_ = false;
  std::condition_variable cv_;
};

}  // namespace nixl

#endif  // SIXCALL_NIXL_ASK_H
