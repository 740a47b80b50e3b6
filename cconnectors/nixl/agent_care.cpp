// SPDX-License-Identifier: Apache-2.0
//
// Engine: making agents, proving that they work, and giving them up.
#include <algorithm>
#include <cstring>
#include <thread>

#include "engine.h"

namespace nixl {

namespace {

using std::chrono::milliseconds;

/// An engine with so many retired agents whose requests do not end makes no more.
constexpr size_t kMostRetired = 4;
constexpr uint64_t kProbeBytes = 512;
constexpr milliseconds kFirstBackoff{50}, kLongestBackoff{5000};

}  // namespace

void Engine::KeepAgent() {
  if (current_.agent != nullptr || core_->bulk.stopped()) return;
  if (Clock::now() < retry_at_ || retired_.size() >= kMostRetired) return;
  try {
    current_.agent = core_->MakeAgent();
    core_->Enroll(current_.agent.get());
    if (core_->settings.probe && (index_ == 0 || failures_ > 0)) ProbeBackend(*current_.agent);
    if (failures_ > 0) core_->Info("connected again");
    core_->engines_up.fetch_add(1);
    core_->Prove(nullptr);
  } catch (...) {
    last_ = sixcall::Error::Current(SIXCALL_E_CONNECT);
    core_->counters.agent_errors.fetch_add(1);
    if (failures_ == 0) core_->Warn(last_.text());
    if (!current_.loose.empty()) {  // the probe is still in progress
      current_.retired = true;
      core_->counters.stuck.fetch_add(static_cast<int64_t>(current_.loose.size()));
      retired_.push_back(std::move(current_));
    } else {
      Drop(current_);
    }
    current_ = Shift();
    failures_ = std::max(failures_, 1u);
    retry_at_ = Clock::now() + NextPause();
    core_->Prove(&last_);
  }
}

Engine::Clock::duration Engine::NextPause() {
  const auto ms = std::min<int64_t>(kFirstBackoff.count() << std::min(failures_, 10u), kLongestBackoff.count());
  failures_++;
  return std::chrono::microseconds(std::uniform_int_distribution<int64_t>(ms * 500, ms * 1000)(random_));
}

/// Writes a little through NIXL and, where it can be removed again, reads it back.
void Engine::ProbeBackend(Agent& agent) {
  const uint64_t limit = std::min<uint64_t>(core_->settings.request_timeout_ns, 5000000000);
  Transfer t;
  t.bounce = agent.Take(2 * kProbeBytes + Objects::kSealBytes);
  t.len = kProbeBytes;
  for (uint64_t i = 0; i < kProbeBytes; i++) t.bounce.data[i] = static_cast<uint8_t>(i * 7 + 1);
  std::vector<Stored> stored(1);
  if (core_->files.has_value()) {
    t.data = t.bounce.data;
    core_->files->OpenToWrite(t);
    if (t.settled) {
      agent.Give(t.bounce);
      throw sixcall::Error(t.error);
    }
    stored[0] = {static_cast<uint64_t>(t.fd), kProbeBytes, ""};
  } else {
    t.place.path = ".sixcall-probe";
    stored[0] = {agent.NextDevice(), kProbeBytes, core_->objects->Name(t.place)};
  }
  t.device = stored[0].device;
  void* registered = nullptr;
  try {
    registered = agent.Register(stored);
    int status;
    t.request = agent.Start(kWrite, t.bounce.data, kProbeBytes, t.device, &status);
    status = t.request != nullptr ? AwaitProbe(agent, t, registered, limit) : status;
    if (status == kDone && core_->files.has_value()) {
      t.request = agent.Start(kRead, t.bounce.data + kProbeBytes, kProbeBytes, t.device, &status);
      status = t.request != nullptr ? AwaitProbe(agent, t, registered, limit) : status;
      if (status == kDone && std::memcmp(t.bounce.data, t.bounce.data + kProbeBytes, kProbeBytes) != 0) {
        throw sixcall::Error(SIXCALL_E_CORRUPT, "backend " + core_->settings.backend.name + " read back other bytes than it wrote");
      }
    }
    if (status != kDone) {
      sixcall::Error why(0, "");
      if (core_->files.has_value()) why = core_->files->WhyNotWritten(t);
      if (why.code() < 0) throw sixcall::Error(why);
      throw sixcall::Error(SIXCALL_E_CONNECT,
                           "a first write with backend " + core_->settings.backend.name + " failed: " + StatusText(status) +
                               (core_->files.has_value() ? "" : "; check bucket, credentials and endpoint") + "; NIXL writes the reason to stderr",
                           status);
    }
  } catch (...) {
    if (current_.loose.empty()) {
      agent.Forget(registered);
      if (core_->files.has_value()) core_->files->Discard(t);
      agent.Give(t.bounce);
    }
    throw;
  }
  agent.Forget(registered);
  if (core_->files.has_value()) core_->files->Discard(t);
  agent.Give(t.bounce);
}

/// Drives the probe's request to its end. One that does not end in time is left in
/// progress, with all that belongs to it, and an Error thrown.
int Engine::AwaitProbe(Agent& agent, Transfer& t, void* registered, uint64_t limit_ns) {
  const uint64_t end = sixcall::NowNs() + limit_ns;
  for (;;) {
    const int status = agent.Poll(t.request);
    if (status != kInProgress) {
      agent.Finish(t.request);
      t.request = nullptr;
      return status;
    }
    if (sixcall::NowNs() > end || core_->bulk.stopped()) break;
    std::this_thread::sleep_for(milliseconds(1));
  }
  current_.loose.push_back({std::move(t), registered});
  throw sixcall::Error(SIXCALL_E_TIMEOUT, "a first write with backend " + core_->settings.backend.name + " does not end");
}

/// Gives the current agent up. It keeps what is in progress.
void Engine::Retire(const sixcall::Error& why) {
  must_retire_ = false;
  faults_ = 0;
  if (current_.agent == nullptr) return;
  core_->engines_up.fetch_sub(1);
  core_->counters.retired.fetch_add(1);
  core_->Warn("an agent is replaced: " + why.text());
  last_ = sixcall::Error(SIXCALL_E_CONNECT, why.text(), why.vendor_code());
  // An agent that has worked is replaced at once.
  retry_at_ = Clock::now();
  if (failures_ == 0) {
    failures_ = 1;
  } else {
    retry_at_ += NextPause();
  }
  core_->counters.stuck.fetch_add(static_cast<int64_t>(InProgress(current_)));
  current_.retired = true;
  retired_.push_back(std::move(current_));
  current_ = Shift();
}

/// Ends an agent that has nothing in progress.
void Engine::Drop(Shift& shift) {
  if (shift.agent == nullptr) return;
  core_->Dismiss(shift.agent.get());
  shift.agent.reset();
}

}  // namespace nixl
