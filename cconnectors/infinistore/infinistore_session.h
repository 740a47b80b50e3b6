// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_INFINISTORE_SESSION_H
#define SIXCALL_INFINISTORE_SESSION_H

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "infinistore_exchange.h"
#include "infinistore_keys.h"
#include "infinistore_reaper.h"
#include "infinistore_socket.h"
#include "sixcall/connector.hpp"

namespace infinistore {

/// The configuration that sessions need.
struct Settings {
  std::string host;
  uint16_t port = 0;
  bool trailer = true;
  uint64_t max_value_bytes = 0;
  uint32_t connect_timeout_ms = 0;
  uint32_t request_timeout_ms = 0;
};

/// What happened, for stats_text.
struct Counters {
  std::atomic<uint64_t> connects{0}, lost{0}, no_room{0}, corrupt{0}, cut_puts{0}, healed{0};
};

/// How long a call may take: until its tile's deadline, a time of its own, or until
/// somebody ends it.
class Patience {
 public:
  /// deadline_ns: CLOCK_MONOTONIC, 0 = none. cancelled is asked at every step, tick about every kSliceMs.
  Patience(uint64_t deadline_ns, uint64_t limit_ms, std::function<bool()> cancelled, std::function<void()> tick)
      : deadline_ns_(deadline_ns), limit_ms_(limit_ms), cancelled_(std::move(cancelled)), tick_(std::move(tick)) {}

  void Begin() {
    started_ns_ = sixcall::NowNs();
    next_tick_ns_ = started_ns_ + uint64_t{kSliceMs} * 1000000;
  }
  bool GoOn();
  /// After GoOn has returned false: why, for what.
  sixcall::Error Why(const std::string& what) const;

 private:
  enum class End { kNone, kDeadline, kLimit, kCancelled };
  uint64_t deadline_ns_, limit_ms_;
  std::function<bool()> cancelled_;
  std::function<void()> tick_;
  uint64_t started_ns_ = 0, next_tick_ns_ = 0;
  End end_ = End::kNone;
};

/// A key that cannot be stored, with the reason; status REFUSED.
struct Refusal : sixcall::Error {
  using sixcall::Error::Error;
};

/// One connection with at most one request in flight. One thread.
class Session {
 public:
  /// Connects, and asks one question: a server that accepts and does not answer is
  /// none. Throws sixcall::Error.
  Session(const Settings& settings, std::shared_ptr<Reaper> reaper, Counters& counters, Patience& patience);

  /// Makes the connection ready for a request: replaces one that the server has closed
  /// meanwhile. look: ask the kernel about it. Throws sixcall::Error (CONNECT).
  void Ready(Patience& patience, bool look);

  // Each needs Ready first, takes part in the locks of its key, and throws
  // sixcall::Error when it could not be completed. The connection may be gone then.
  sixcall::Result Get(sixcall::Key key, sixcall::MutableBytes value, Patience& patience);
  void Put(sixcall::Key key, sixcall::Bytes value, Patience& patience);
  sixcall::Result Exists(sixcall::Key key, Patience& patience);
  sixcall::Status Delete(sixcall::Key key, Patience& patience);
  /// Returns when the server answered.
  void Ping(Patience& patience);

 private:
  void Connect(Patience& patience);
  /// Replaces and removes keys whose put was cut, so that nobody stumbles over them.
  void HealCut(Patience& patience);
  void Heal(const std::string& key, Keys::Lock& lock, Patience& patience);
  /// Runs exchange_ to its end. Leaves it to the reaper when patience ends first.
  void Perform(Keys::Lock& lock, Patience& patience, bool probe = false);
  sixcall::Error Unexpected(const char* what) const;
  std::string Where() const { return settings_.host + ":" + std::to_string(settings_.port); }

  const Settings& settings_;
  const std::shared_ptr<Reaper> reaper_;
  Counters& counters_;
  Keys& keys_ = Keys::OfProcess();
  Socket socket_;
  uint32_t server_ = 0;
  std::unique_ptr<Exchange> exchange_ = std::make_unique<Exchange>();
  std::unique_ptr<uint8_t[]> scratch_{new uint8_t[Exchange::kScratchBytes]};
};

}  // namespace infinistore

#endif  // SIXCALL_INFINISTORE_SESSION_H
