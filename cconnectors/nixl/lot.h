// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_NIXL_LOT_H
#define SIXCALL_NIXL_LOT_H

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "sixcall/connector.hpp"
#include "transfer.h"

namespace nixl {

/// A range of the keys of one batch that one engine runs. Until it is answered the
/// host's memory behind the batch is lent to us; after that nothing of it may be
/// touched.
struct Lot {
  Lot(const sixcall::AsyncBatch& b, size_t first, size_t count) : batch(b), from(first), n(count), born_ns(sixcall::NowNs()) {}

  sixcall::AsyncBatch batch;  ///< not to be used once answered
  size_t from, n;             ///< keys
  uint64_t bytes = 0;         ///< of values
  uint64_t born_ns;
  bool answered = false;

  // Of the engine that runs it.
  std::vector<Transfer> transfers;
  void* registered = nullptr;  ///< NIXL's list of what is stored
  size_t in_progress = 0;      ///< requests
  uint64_t bounced = 0;        ///< bytes of bounce memory
  bool bounced_all = false;    ///< no request touches the host's memory
  bool writes = false;
  bool late = false;  ///< took longer than request_timeout_ms
  uint64_t began_ns = 0;
};

using LotPtr = std::unique_ptr<Lot>;

/// The lots that wait for a thread. Safe for concurrent use.
class LotQueue {
 public:
  void Push(std::vector<LotPtr>&& lots) {
    const size_t n = lots.size();
    {
      std::lock_guard<std::mutex> lock(mu_);
      for (auto& lot : lots) lots_.push_back(std::move(lot));
    }
    n == 1 ? cv_.notify_one() : cv_.notify_all();
  }

  /// The first lot, if it has at most so many keys and bytes; NULL if not.
  LotPtr TryTake(size_t max_keys, uint64_t max_bytes) {
    std::lock_guard<std::mutex> lock(mu_);
    if (lots_.empty() || lots_.front()->n > max_keys || lots_.front()->bytes > max_bytes) return nullptr;
    LotPtr lot = std::move(lots_.front());
    lots_.pop_front();
    return lot;
  }

  /// The lots of one ticket, or of all with kEvery.
  static constexpr uint64_t kEvery = UINT64_MAX;
  std::vector<LotPtr> Withdraw(uint64_t ticket) {
    std::vector<LotPtr> out;
    std::lock_guard<std::mutex> lock(mu_);
    for (auto it = lots_.begin(); it != lots_.end();) {
      if (ticket != kEvery && (*it)->batch.ticket() != ticket) {
        ++it;
        continue;
      }
      out.push_back(std::move(*it));
      it = lots_.erase(it);
    }
    return out;
  }

  /// Sleeps until there is a lot, Stop was called, or it is late. False = stopped
  /// and empty.
  bool Wait(std::chrono::steady_clock::time_point until = std::chrono::steady_clock::time_point::max()) {
    std::unique_lock<std::mutex> lock(mu_);
    const auto ready = [&] { return stop_ || !lots_.empty(); };
    if (until == std::chrono::steady_clock::time_point::max()) {
      cv_.wait(lock, ready);
    } else {
      cv_.wait_until(lock, until, ready);
    }
    return !stop_ || !lots_.empty();
  }

  bool empty() const {
    std::lock_guard<std::mutex> lock(mu_);
    return lots_.empty();
  }
  bool stopped() const {
    std::lock_guard<std::mutex> lock(mu_);
    return stop_;
  }
  void Stop() {
    {
      std::lock_guard<std::mutex> lock(mu_);
      stop_ = true;
    }
    cv_.notify_all();
  }

 private:
  mutable std::mutex mu_;  // guards the two below; nothing is called under it
  std::deque<LotPtr> lots_;
  bool stop_ = false;
  std::condition_variable cv_;
};

}  // namespace nixl

#endif  // SIXCALL_NIXL_LOT_H
