// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_NIXL_ENGINE_H
#define SIXCALL_NIXL_ENGINE_H

#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core.h"

namespace nixl {

/// One worker: a thread with an agent of its own that takes lots, starts their
/// requests and drives them to their end.
///
/// NIXL has neither a callback nor a descriptor to wait on: get_xfer_status drives
/// the queue. So the thread polls while requests are in progress, at first at once
/// and then with longer and longer pauses, and sleeps when there are none.
///
/// A request that is in progress is never released: NIXL would go on with freed
/// memory. An agent whose requests do not end, or all fail, is retired: it keeps
/// its requests and is polled until they end, while a new agent takes the work.
class Engine {
 public:
  Engine(std::shared_ptr<Core> core, uint32_t index);
  /// The body of the thread. Returns when the queue was stopped, is empty, and no
  /// request is in progress.
  void Run();

 private:
  /// A request that belongs to no lot: the probe that was not answered in time.
  struct Loose {
    Transfer transfer;
    void* registered;
  };
  struct Shift {
    std::unique_ptr<Agent> agent;
    std::vector<LotPtr> lots;
    std::vector<Loose> loose;
    bool retired = false;
  };
  using Clock = std::chrono::steady_clock;

  // engine.cpp: the loop
  bool TakeLot();
  bool Poll(Shift& shift);
  bool PollLoose(Shift& shift);
  bool Pause();
  bool Expire(Shift& shift);
  void LookAtServer();
  size_t InProgress(const Shift& shift) const;

  // agent_care.cpp: making and retiring agents
  void KeepAgent();
  void ProbeBackend(Agent& agent);
  int AwaitProbe(Agent& agent, Transfer& t, void* registered, uint64_t limit_ns);
  void Retire(const sixcall::Error& why);
  void Drop(Shift& shift);
  Clock::duration NextPause();

  // run_lot.cpp: one lot from the beginning to its end
  void Begin(LotPtr lot);
  void Load(Lot& lot) const;
  void Open(Agent& agent, Lot& lot, Direction direction, std::vector<Stored>* stored);
  void Post(Agent& agent, Lot& lot, Direction direction);
  void Conclude(Shift& shift, Lot& lot);
  void ConcludeFile(Shift& shift, Lot& lot, Transfer& t, Direction direction);
  void ConcludeObject(Lot& lot, Transfer& t, Direction direction, std::vector<Transfer*>* unclear);
  void AskWhy(Lot& lot, const std::vector<Transfer*>& unclear);
  void Remove(Lot& lot) const;
  sixcall::Error Failure(const Transfer& t, Direction direction) const;
  void Succeeded(const Shift& shift);
  void AtFault(const Shift& shift);

  std::shared_ptr<Core> core_;
  const uint32_t index_;
  Shift current_;
  std::vector<Shift> retired_;
  uint32_t quiet_ = 0;      // rounds in which nothing happened
  bool blocked_ = false;    // a lot waits that does not fit
  uint32_t faults_ = 0;     // requests in a row that the backend failed
  uint32_t failures_ = 0;   // agents in a row that never did anything
  bool must_retire_ = false;
  sixcall::Error last_{SIXCALL_E_CONNECT, "not connected yet"};
  Clock::time_point retry_at_;
  uint64_t looked_ns_ = 0;  // when the endpoint was last looked at
  std::minstd_rand random_;
};

}  // namespace nixl

#endif  // SIXCALL_NIXL_ENGINE_H
