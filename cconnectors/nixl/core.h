// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_NIXL_CORE_H
#define SIXCALL_NIXL_CORE_H

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

#include "ask.h"
#include "files.h"
#include "lot.h"
#include "objects.h"
#include "settings.h"

namespace nixl {

/// What is counted; shown by stats_text.
struct Counters {
  std::atomic<uint64_t> requests[2] = {};  ///< posted, by Direction
  std::atomic<uint64_t> failures[2] = {};  ///< ended with a result below 0
  std::atomic<uint64_t> results[7] = {};   ///< ... by that result, -1 to -6; 0 for others
  std::atomic<uint64_t> refused{0};        ///< requests that NIXL did not make or post
  std::atomic<uint64_t> agents{0};         ///< made
  std::atomic<uint64_t> agent_errors{0};   ///< that could not be made
  std::atomic<uint64_t> retired{0};        ///< given up
  std::atomic<uint64_t> timeouts{0};       ///< requests over request_timeout_ms
  std::atomic<int64_t> stuck{0};           ///< requests of retired agents still in progress
  std::atomic<uint64_t> bad_seals{0};

  void Failed(Direction direction, int rc) {
    failures[direction].fetch_add(1, std::memory_order_relaxed);
    results[rc >= kNotFound && rc < 0 ? -rc : 0].fetch_add(1, std::memory_order_relaxed);
  }
};

/// What the threads of a connection share. It lives as long as the last of them,
/// which may be longer than the connection: a request that NIXL does not finish
/// keeps its thread. Safe for concurrent use.
class Core {
 public:
  Core(Settings s, sixcall::AsyncConnector* host) : settings(std::move(s)), host_(host) {}

  Settings settings;
  std::shared_ptr<const Api> api;
  std::optional<Files> files;      ///< one of these two
  std::optional<Objects> objects;
  LotQueue bulk, lookups;
  AskQueue asks;  ///< lookups of objects
  Counters counters;
  std::atomic<uint32_t> engines_up{0};  ///< that have an agent
  std::atomic<bool> suspect{false};     ///< the backend failed lately: look whether it is there before asking
  std::atomic<bool> abort{false};       ///< close has waited its grace: answer what can be answered

  /// Calls fn(host) unless the connection is gone.
  template <class F>
  void WithHost(F&& fn) {
    std::shared_lock<std::shared_mutex> lock(host_mu_);
    if (host_ != nullptr) fn(*host_);
  }
  /// From here on nothing reaches the host.
  void Leave() {
    std::unique_lock<std::shared_mutex> lock(host_mu_);
    host_ = nullptr;
  }

  void Warn(const std::string& text) {
    WithHost([&](auto& host) { host.log().Parts(SIXCALL_LOG_WARN, {"nixl", text}); });
  }
  void Info(const std::string& text) {
    WithHost([&](auto& host) { host.log().Parts(SIXCALL_LOG_INFO, {"nixl", text}); });
  }

  /// Answers every settled transfer of the lot, or all of it with one error.
  void Answer(Lot& lot);
  void AnswerAll(Lot& lot, const sixcall::Error& error);

  /// The reason why the backend cannot be there, or "". Blocks for a quarter of a second at most.
  std::string WhyNotReachable() const;

  /// Makes an agent with a name of its own. Throws Error.
  std::unique_ptr<Agent> MakeAgent();

  /// How the first attempt to reach the backend ended; open waits for it.
  void Prove(const sixcall::Error* failed);
  /// Throws what went wrong, or that it takes too long.
  void AwaitProof(std::chrono::milliseconds limit);

  /// Threads announce their beginning and their end here.
  void ThreadBegins();
  void ThreadEnds();
  bool AwaitThreads(std::chrono::milliseconds limit);

  // Registered memory of the host.
  uint64_t AddArena(void* base, uint64_t len);
  void RemoveArena(uint64_t handle);
  /// Every agent that moves the host's memory, so that arenas reach it.
  void Enroll(Agent* agent);
  void Dismiss(Agent* agent);

  void Stats(std::string& out) const;

 private:
  struct Arena {
    uint64_t handle;
    void* base;
    uint64_t len;
  };
  std::shared_mutex host_mu_;  // guards host_
  sixcall::AsyncConnector* host_;

  std::mutex life_mu_;  // guards the three below
  std::condition_variable life_;
  uint32_t threads_ = 0;
  std::optional<sixcall::Error> proof_;  // code 0: reached

  std::mutex arenas_mu_;  // guards the three below; held while NIXL registers
  std::vector<Arena> arenas_;
  std::vector<Agent*> agents_;
  uint64_t next_arena_ = 0;
  static std::atomic<uint64_t> next_agent_;
};

}  // namespace nixl

#endif  // SIXCALL_NIXL_CORE_H
