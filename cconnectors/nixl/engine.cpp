// SPDX-License-Identifier: Apache-2.0
#include "engine.h"

#include <algorithm>
#include <thread>

namespace nixl {

namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

/// Rounds without news that are not followed by a pause, but for a yield.
constexpr uint32_t kEagerRounds = 64;
constexpr microseconds kFirstPause{20}, kLongestPause{1000};
/// Requests of a retired agent are in no hurry.
constexpr milliseconds kRetiredPause{10};
/// After so long a request of an object backend is a reason to look at the server.
constexpr uint64_t kLookAfterNs = 1000000000;

}  // namespace

Engine::Engine(std::shared_ptr<Core> core, uint32_t index)
    : core_(std::move(core)), index_(index), random_(static_cast<uint32_t>(sixcall::NowNs()) + 7919u * index) {}

void Engine::Run() {
  for (;;) {
    KeepAgent();
    bool news = TakeLot();
    news = Poll(current_) || news;
    if (Expire(current_)) {
      core_->suspect.store(true);
      Retire(sixcall::Error(SIXCALL_E_TIMEOUT, "requests to backend " + core_->settings.backend.name + " do not end"));
    }
    LookAtServer();
    if (must_retire_) Retire(last_);
    for (size_t i = 0; i < retired_.size();) {
      Shift& shift = retired_[i];
      news = Poll(shift) || news;
      Expire(shift);
      if (!shift.lots.empty() || !shift.loose.empty()) {
        i++;
        continue;
      }
      Drop(shift);
      retired_.erase(retired_.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (news) {
      quiet_ = 0;
    } else if (!Pause()) {
      break;
    }
  }
  if (current_.agent != nullptr) core_->engines_up.fetch_sub(1);
  Drop(current_);
}

size_t Engine::InProgress(const Shift& shift) const {
  size_t n = 0;
  for (const auto& lot : shift.lots) n += lot->in_progress;
  return n;
}

/// Takes one lot, so that what it starts is polled before the next.
bool Engine::TakeLot() {
  blocked_ = false;
  if (current_.agent == nullptr) {
    // Others can do it. If nobody can, it fails fast.
    if (core_->engines_up.load() > 0 && !core_->bulk.stopped()) return false;
    LotPtr lot = core_->bulk.TryTake(SIZE_MAX, UINT64_MAX);
    if (lot == nullptr) return false;
    core_->AnswerAll(*lot, last_);
    return true;
  }
  size_t keys = SIZE_MAX;
  uint64_t bytes = UINT64_MAX;
  if (!current_.lots.empty()) {
    const size_t busy = InProgress(current_);
    uint64_t bounced = 0;
    for (const auto& lot : current_.lots) bounced += lot->bounced;
    keys = core_->settings.queue_depth - std::min<size_t>(busy, core_->settings.queue_depth);
    if (bounced > 0) bytes = core_->settings.bounce_bytes - std::min(bounced, core_->settings.bounce_bytes);
  }
  LotPtr lot = core_->bulk.TryTake(keys, bytes);
  if (lot == nullptr) {
    blocked_ = !core_->bulk.empty();
    return false;
  }
  Begin(std::move(lot));
  return true;
}

bool Engine::Poll(Shift& shift) {
  bool news = PollLoose(shift);
  for (size_t i = 0; i < shift.lots.size();) {
    Lot& lot = *shift.lots[i];
    const Direction direction = lot.writes ? kWrite : kRead;
    for (Transfer& t : lot.transfers) {
      if (t.request == nullptr) continue;
      const int status = shift.agent->Poll(t.request);
      if (status == kInProgress) continue;
      shift.agent->Finish(t.request);
      t.request = nullptr;
      t.status = status;
      if (status < 0) core_->counters.Failed(direction, status);
      if (shift.retired) core_->counters.stuck.fetch_sub(1);
      lot.in_progress--;
      news = true;
    }
    if (lot.in_progress != 0) {
      i++;
      continue;
    }
    Conclude(shift, lot);
    shift.lots.erase(shift.lots.begin() + static_cast<std::ptrdiff_t>(i));
    news = true;
  }
  return news;
}

bool Engine::PollLoose(Shift& shift) {
  for (size_t i = 0; i < shift.loose.size(); i++) {
    Loose& loose = shift.loose[i];
    if (shift.agent->Poll(loose.transfer.request) == kInProgress) continue;
    shift.agent->Finish(loose.transfer.request);
    shift.agent->Forget(loose.registered);
    if (core_->files.has_value()) core_->files->Discard(loose.transfer);
    shift.agent->Give(loose.transfer.bounce);
    shift.loose.erase(shift.loose.begin() + static_cast<std::ptrdiff_t>(i));
    core_->counters.stuck.fetch_sub(1);
    return true;
  }
  return false;
}

/// Answers, where the requests cannot touch the host's memory, what takes too long
/// and what close does not wait for. True = something takes too long.
bool Engine::Expire(Shift& shift) {
  if (shift.lots.empty()) return false;
  const uint64_t now = sixcall::NowNs();
  const bool abort = core_->abort.load(std::memory_order_relaxed);
  bool late = false;
  for (const auto& lot : shift.lots) {
    if (abort && lot->bounced_all) core_->AnswerAll(*lot, sixcall::Error(SIXCALL_E_CANCELLED, "the connection is closed"));
    if (lot->late || now - lot->began_ns < core_->settings.request_timeout_ns) continue;
    lot->late = late = true;
    core_->counters.timeouts.fetch_add(lot->in_progress);
    if (lot->bounced_all) core_->AnswerAll(*lot, sixcall::Error(SIXCALL_E_TIMEOUT, "no answer from backend " + core_->settings.backend.name + " within request_timeout_ms"));
  }
  return late;
}

/// Asks a slow server for a sign of life. Where none is, the client library would
/// try again for half a minute.
void Engine::LookAtServer() {
  if (current_.lots.empty() || core_->settings.endpoint.empty()) return;
  const uint64_t now = sixcall::NowNs();
  if (now - current_.lots.front()->began_ns < kLookAfterNs || now - looked_ns_ < kLookAfterNs) return;
  looked_ns_ = now;
  const std::string away = core_->WhyNotReachable();
  if (away.empty()) return;
  const sixcall::Error error(SIXCALL_E_CONNECT, away);
  core_->suspect.store(true);
  for (const auto& lot : current_.lots) {
    if (lot->bounced_all) core_->AnswerAll(*lot, error);
  }
  Retire(error);
}

bool Engine::Pause() {
  const bool stopped = core_->bulk.stopped();
  const auto now = Clock::now();
  if (current_.lots.empty() && retired_.empty()) {
    if (stopped && core_->bulk.empty()) return false;
    if (current_.agent != nullptr) return core_->bulk.Wait();
    const auto until = std::min(retry_at_, now + milliseconds(50));
    if (core_->engines_up.load() == 0) {
      core_->bulk.Wait(until);  // to fail what comes
    } else if (until > now) {
      std::this_thread::sleep_for(until - now);
    }
    return true;
  }
  quiet_++;
  if (quiet_ <= kEagerRounds && !current_.lots.empty()) {
    std::this_thread::yield();
    return true;
  }
  auto pause = std::chrono::duration_cast<Clock::duration>(kRetiredPause);
  if (!current_.lots.empty()) {
    // An eighth of the time that they took so far: late by little, whatever they need.
    const uint64_t age = sixcall::NowNs() - current_.lots.back()->began_ns;
    pause = std::clamp<Clock::duration>(std::chrono::nanoseconds(age / 8), kFirstPause, kLongestPause);
  }
  if (stopped || blocked_ || current_.agent == nullptr) {
    std::this_thread::sleep_for(pause);
  } else {
    core_->bulk.Wait(now + pause);
  }
  return true;
}

}  // namespace nixl
