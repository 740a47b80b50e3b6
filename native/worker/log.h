// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_WORKER_LOG_H
#define SIXCALL_WORKER_LOG_H

#include <atomic>
#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>

namespace sixcall::worker {

/// Where a library's log lines go. Lines may come from any of its threads at any
/// time, also after close, against the contract: a sink is never destroyed.
class LogSink {
 public:
  /// Takes a line, or returns false when it has no room for it now. Any thread.
  using Writer = std::function<bool(int32_t level, std::string_view text, uint64_t dropped)>;

  LogSink(int32_t level, Writer writer) : level_(level), writer_(std::move(writer)) {}

  /// What sixcall_host.log points to. The library's log_ctx is not believed: the
  /// sink is the one of Install.
  static void OnLine(void* log_ctx, int32_t level, const char* text, uint64_t len);
  void Install();
  /// No line is taken any more.
  void Stop() { stopped_.store(true, std::memory_order_relaxed); }

  int32_t level() const { return level_; }

 private:
  void Take(int32_t level, const char* text, uint64_t len);

  const int32_t level_;  // lines above it are not wanted
  const Writer writer_;
  std::atomic<bool> stopped_{false};
  std::atomic<int64_t> second_{0};  // the second that taken_ counts
  std::atomic<uint32_t> taken_{0};
  std::atomic<uint64_t> dropped_{0};
};

}  // namespace sixcall::worker

#endif
