// SPDX-License-Identifier: Apache-2.0
#include "log.h"

#include <time.h>

#include <algorithm>

namespace sixcall::worker {
namespace {

constexpr uint64_t kMaxLine = 4096;     // bytes; longer lines are cut
constexpr uint32_t kMaxPerSecond = 1000;

std::atomic<LogSink*> installed{nullptr};

}  // namespace

void LogSink::Install() { installed.store(this, std::memory_order_release); }

void LogSink::OnLine(void*, int32_t level, const char* text, uint64_t len) {
  if (LogSink* sink = installed.load(std::memory_order_acquire)) sink->Take(level, text, len);
}

void LogSink::Take(int32_t level, const char* text, uint64_t len) {
  if (level > level_ || text == nullptr || stopped_.load(std::memory_order_relaxed)) return;
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  if (second_.exchange(now.tv_sec, std::memory_order_relaxed) != now.tv_sec) taken_.store(0, std::memory_order_relaxed);
  if (taken_.fetch_add(1, std::memory_order_relaxed) >= kMaxPerSecond) {
    dropped_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  const uint64_t dropped = dropped_.exchange(0, std::memory_order_relaxed);
  if (!writer_(std::max(level, 0), {text, std::min(len, kMaxLine)}, dropped)) {
    dropped_.fetch_add(dropped + 1, std::memory_order_relaxed);
  }
}

}  // namespace sixcall::worker
