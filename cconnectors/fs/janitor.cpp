// SPDX-License-Identifier: Apache-2.0
#include "janitor.h"

#include "scan.h"

namespace fs {

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kInline = std::chrono::seconds(2);   // that Watch takes for a folder of many files
constexpr uint32_t kFew = 1024;                     // entries that are read however long it takes
constexpr auto kEndWait = std::chrono::seconds(2);  // for a thread that hangs in the file system
constexpr auto kRetry = std::chrono::seconds(10);   // after a scan that failed

/// False when go_on ended it.
bool CleanAndCount(Janitor::State& state, const Folder& folder, const std::function<bool()>& go_on) {
  RemoveDeadTemps(folder, state.counters, go_on);
  if (!go_on()) return false;
  state.usage.BeginCount();
  const auto totals = CountFiles(folder, go_on);
  if (!totals) return false;
  state.usage.EndCount(*totals);
  state.counters.free_bytes.store(folder.FreeBytes(), std::memory_order_relaxed);
  Count(state.counters.scans);
  return true;
}

void RunThread(Janitor::State& state, std::chrono::seconds rescan) {
  std::unique_lock<std::mutex> lock(state.mu);
  auto next = Clock::time_point::max();
  const Folder* last = nullptr;
  for (;;) {
    if (state.folder.get() != last) {
      last = state.folder.get();
      next = !state.counted ? Clock::now() : rescan.count() == 0 ? Clock::time_point::max() : Clock::now() + rescan;
    }
    if (state.stop) return;
    if (Clock::now() < next) {
      if (next == Clock::time_point::max()) {
        state.changed.wait(lock);
      } else {
        state.changed.wait_until(lock, next);
      }
      continue;
    }
    const std::shared_ptr<Folder> folder = state.folder;
    lock.unlock();
    bool done = false, failed = false;
    try {
      done = CleanAndCount(state, *folder, [&] {
        std::lock_guard<std::mutex> guard(state.mu);
        return !state.stop && state.folder == folder;
      });
    } catch (...) {  // the folder may be gone; those who use it will say so
      failed = true;
    }
    lock.lock();
    if (state.folder != folder) continue;
    state.counted = state.counted || done;
    next = failed ? Clock::now() + kRetry : rescan.count() == 0 ? Clock::time_point::max() : Clock::now() + rescan;
  }
}

}  // namespace

Janitor::Janitor(const std::string& name, std::chrono::seconds rescan, std::shared_ptr<State> state) : state_(std::move(state)) {
  thread_ = sixcall::detail::StartThread(name, [kept = state_, rescan] {
    RunThread(*kept, rescan);
    std::lock_guard<std::mutex> lock(kept->mu);
    kept->folder = nullptr;
    kept->ended = true;
    kept->changed.notify_all();
  });
}

Janitor::~Janitor() {
  bool ended;
  {
    std::unique_lock<std::mutex> lock(state_->mu);
    state_->stop = true;
    state_->changed.notify_all();
    ended = state_->changed.wait_for(lock, kEndWait, [&] { return state_->ended; });
  }
  if (ended) {
    thread_.join();
  } else {
    thread_.detach();
  }
}

void Janitor::Watch(std::shared_ptr<Folder> folder) {
  state_->usage.Forget();
  const auto end = Clock::now() + kInline;
  uint32_t entries = 0;
  const bool counted = CleanAndCount(*state_, *folder, [&] { return ++entries % kFew != 0 || Clock::now() < end; });
  std::lock_guard<std::mutex> lock(state_->mu);
  state_->folder = std::move(folder);
  state_->counted = counted;
  state_->changed.notify_all();
}

}  // namespace fs
