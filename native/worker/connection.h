// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_WORKER_CONNECTION_H
#define SIXCALL_WORKER_CONNECTION_H

#include <cstdint>
#include <exception>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crash.h"
#include "library.h"
#include "log.h"
#include "sixcall/connector.h"
#include "text.h"

namespace sixcall::worker {

struct OpenRequest {
  std::string_view config;  // one JSON object with its secrets resolved
  std::string instance;
  uint32_t max_inflight = 0;
  uint32_t max_batch = 0;
  uint64_t value_len_hint = 0;
  uint32_t open_timeout_ms = 0;
  bool keep_handlers = false;
};

/// One open connection of a library. Each method calls the library, and may take
/// as long as it does.
class Connection {
 public:
  explicit Connection(const Library& library) : library_(library) {}

  /// After a failure nothing is open. What open changed is in changed().
  std::optional<Failure> Open(const OpenRequest& request, LogSink* log);
  /// asked_ms is what the host asked for, for the sentence; some of it may be gone.
  std::optional<Failure> Close(uint32_t grace_ms, uint32_t asked_ms);

  std::optional<Failure> Register(const sixcall_memory& memory, uint64_t* handle);
  std::optional<Failure> Unregister(uint64_t handle);
  std::optional<Failure> Usage(sixcall_usage* out);
  std::optional<Failure> Stats(std::string* out);

  /// A failure with the library's text, or one that says that it gave none.
  Failure TextFailure(const char* call, int32_t rc, const sixcall_err& err) const;
  /// A failure unless the library has the capability.
  std::optional<Failure> Require(uint64_t cap) const;

  /// Calls f under the lock that the thread model asks for.
  template <typename F>
  auto Locked(F&& f) {
    if (library_.threads == SIXCALL_THREADS_PARALLEL) return f();
    const std::lock_guard<std::mutex> lock(serial_);
    return f();
  }

  const Library& library() const { return library_; }
  const sixcall_api& api() const { return library_.api; }
  sixcall_conn* conn() const { return conn_; }
  int event_fd() const { return event_fd_; }
  const std::optional<sixcall_limits>& limits() const { return limits_; }
  const std::vector<std::string>& changed() const { return changed_; }
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  std::optional<Failure> CheckEventFd();
  std::optional<Failure> AskLimits();

  const Library& library_;
  sixcall_host host_ = {};
  std::string instance_;
  sixcall_conn* conn_ = nullptr;
  int event_fd_ = -1;
  std::optional<sixcall_limits> limits_;
  std::vector<std::string> changed_, warnings_;
  std::mutex serial_;  // held around each call but open, unless calls may run in parallel
};

/// Names the call that the service thread is in, for crash reports.
class ServiceCall {
 public:
  explicit ServiceCall(const char* call) { breadcrumbs.service.store(call, std::memory_order_relaxed); }
  ~ServiceCall() {
    // Not on the way to std::terminate, where the library's exceptions end.
    if (std::uncaught_exceptions() == 0) breadcrumbs.service.store(nullptr, std::memory_order_relaxed);
  }
  ServiceCall(const ServiceCall&) = delete;
  ServiceCall& operator=(const ServiceCall&) = delete;
};

}  // namespace sixcall::worker

#endif
