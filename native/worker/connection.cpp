// SPDX-License-Identifier: Apache-2.0
#include "connection.h"

#include <fcntl.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "fd.h"
#include "guard.h"

namespace sixcall::worker {
namespace {

constexpr uint32_t kCloseAfterFailureMs = 1000;
constexpr uint64_t kMaxStats = 4 << 20;  // bytes

/// Tries fd with epoll, as the pump will. Returns an errno.
int Pollable(int fd) {
  const Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  epoll_event event = {};
  event.events = EPOLLIN;
  return epoll && epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

const char* OrDone(int rc) { return rc == 0 ? "done" : strerrordesc_np(errno); }

}  // namespace

Failure Connection::TextFailure(const char* call, int32_t rc, const sixcall_err& err) const {
  const size_t len = strnlen(err.msg, std::min<size_t>(err.len, sizeof(err.msg)));
  std::string text = Printable({err.msg, len});
  text.erase(0, text.find_first_not_of(' '));
  text.erase(text.find_last_not_of(' ') + 1);
  if (text.empty()) text = Format("%s of %s returned %d and no text", call, Quote(library_.path).c_str(), rc);
  return {rc, text, err.vendor_code};
}

std::optional<Failure> Connection::Require(uint64_t cap) const {
  if (library_.Has(cap)) return std::nullopt;
  return Failure{SIXCALL_E_UNSUPPORTED, Format("%s does not have the capability %s", Quote(library_.name).c_str(), CapName(cap))};
}

std::optional<Failure> Connection::Open(const OpenRequest& request, LogSink* log) {
  const ServiceCall here("open");
  host_ = EntryHost();
  if (log != nullptr) {
    log->Install();
    host_.log = LogSink::OnLine;
    host_.log_ctx = log;
    host_.log_level = log->level();
  }
  instance_ = request.instance;
  sixcall_open_args args = {};
  args.struct_size = sizeof(args);
  args.config_json = request.config.data();
  args.config_len = request.config.size();
  args.instance = instance_.empty() ? nullptr : instance_.c_str();
  args.max_inflight = request.max_inflight;
  args.max_batch = request.max_batch;
  args.value_len_hint = request.value_len_hint;
  args.open_timeout_ms = request.open_timeout_ms;
  sixcall_err err = {};
  err.struct_size = sizeof(err);
  int32_t rc = 0;
  changed_ = Guard(request.keep_handlers, [&] { rc = api().open(&host_, &args, &conn_, &err); });
  if (rc < 0) {
    Failure failure = TextFailure("open", rc, err);
    if (!changed_.empty()) {  // nobody will see what a failed open changed
      failure.text += "; " + Quote(library_.path) + " also changed " + Join(changed_, ", ");
      if (!request.keep_handlers) failure.text += "; all of it was put back";
    }
    return failure;
  }
  if (conn_ == nullptr) {
    return Failure{SIXCALL_E_INTERNAL, Format("open of %s returned %d, which is success, but no connection", Quote(library_.path).c_str(), rc)};
  }
  auto failure = CheckEventFd();
  if (!failure) failure = AskLimits();
  if (!failure) return std::nullopt;
  if (const auto also = Close(kCloseAfterFailureMs, kCloseAfterFailureMs)) failure->text += "; then " + also->text;
  return failure;
}

std::optional<Failure> Connection::CheckEventFd() {
  const ServiceCall here("event_fd");
  const std::string path = Quote(library_.path);
  const auto wrong = [](std::string text) { return Failure{SIXCALL_E_INTERNAL, std::move(text)}; };
  const int32_t fd = Locked([&] { return api().event_fd(conn_); });
  const int32_t again = Locked([&] { return api().event_fd(conn_); });
  if (fd < 0) return wrong(Format("event_fd of %s returned %d, want a descriptor", path.c_str(), fd));
  if (again != fd) return wrong(Format("event_fd of %s returned %d and then %d, want a constant", path.c_str(), fd, again));
  int flags = fcntl(fd, F_GETFD);
  if (flags < 0) return wrong(Format("event_fd of %s returned %d, which is not an open descriptor", path.c_str(), fd));
  if (const int error = Pollable(fd)) {
    return wrong(Format("event_fd of %s returned %d, which cannot be polled: %s", path.c_str(), fd, ErrnoText(error).c_str()));
  }
  if ((flags & FD_CLOEXEC) == 0) {
    warnings_.push_back(Format("its event fd was not close-on-exec, which was set (%s)", OrDone(fcntl(fd, F_SETFD, flags | FD_CLOEXEC))));
  }
  flags = fcntl(fd, F_GETFL);
  if (flags >= 0 && (flags & O_NONBLOCK) == 0) {
    warnings_.push_back(Format("its event fd was blocking, which was changed (%s)", OrDone(fcntl(fd, F_SETFL, flags | O_NONBLOCK))));
  }
  event_fd_ = fd;
  return std::nullopt;
}

std::optional<Failure> Connection::AskLimits() {
  if (!library_.Has(SIXCALL_CAP_LIMITS)) return std::nullopt;
  const ServiceCall here("limits");
  sixcall_limits limits = {};
  limits.struct_size = sizeof(limits);
  const int32_t rc = Locked([&] { return api().limits(conn_, &limits); });
  if (rc < 0) return Failure{rc, Format("limits of %s failed", Quote(library_.path).c_str())};
  if ((limits.buf_align & (limits.buf_align - 1)) != 0) {
    return Failure{SIXCALL_E_INTERNAL, Format("limits of %s: buf_align is %u, want a power of two", Quote(library_.path).c_str(), limits.buf_align)};
  }
  if (limits.max_value_len > INT64_MAX) limits.max_value_len = 0;
  limits_ = limits;
  return std::nullopt;
}

std::optional<Failure> Connection::Close(uint32_t grace_ms, uint32_t asked_ms) {
  const ServiceCall here("close");
  const int32_t rc = Locked([&] { return api().close(conn_, grace_ms); });
  if (rc >= 0) return std::nullopt;
  if (rc == SIXCALL_E_BUSY) {
    return Failure{SIXCALL_E_BUSY, Format("%s could not stop everything within %u ms", Quote(library_.path).c_str(), asked_ms)};
  }
  return Failure{SIXCALL_E_BUSY, Format("close of %s returned %d, want 0 or SIXCALL_E_BUSY", Quote(library_.path).c_str(), rc)};
}

std::optional<Failure> Connection::Register(const sixcall_memory& memory, uint64_t* handle) {
  if (auto failure = Require(SIXCALL_CAP_REGISTER_MEMORY)) return failure;
  const ServiceCall here("register_memory");
  sixcall_err err = {};
  err.struct_size = sizeof(err);
  const int32_t rc = Locked([&] { return api().register_memory(conn_, &memory, handle, &err); });
  if (rc < 0) return TextFailure("register", rc, err);
  if (*handle != 0) return std::nullopt;
  return Failure{SIXCALL_E_INTERNAL, Format("register_memory of %s returned success, but the handle 0", Quote(library_.path).c_str())};
}

std::optional<Failure> Connection::Unregister(uint64_t handle) {
  if (auto failure = Require(SIXCALL_CAP_REGISTER_MEMORY)) return failure;
  const ServiceCall here("unregister_memory");
  const int32_t rc = Locked([&] { return api().unregister_memory(conn_, handle); });
  if (rc >= 0) return std::nullopt;
  return Failure{rc, Format("%s refused the handle %llu", Quote(library_.name).c_str(), static_cast<unsigned long long>(handle))};
}

std::optional<Failure> Connection::Usage(sixcall_usage* out) {
  if (auto failure = Require(SIXCALL_CAP_USAGE)) return failure;
  const ServiceCall here("usage");
  *out = {sizeof(*out), 0, SIXCALL_LEN_UNKNOWN, SIXCALL_LEN_UNKNOWN, SIXCALL_LEN_UNKNOWN};
  const int32_t rc = Locked([&] { return api().usage(conn_, out); });
  if (rc >= 0) return std::nullopt;
  return Failure{rc, Format("usage of %s failed", Quote(library_.path).c_str())};
}

std::optional<Failure> Connection::Stats(std::string* out) {
  if (auto failure = Require(SIXCALL_CAP_STATS_TEXT)) return failure;
  const ServiceCall here("stats_text");
  for (uint64_t size = 16 << 10;;) {
    out->resize(size);
    const int64_t full = Locked([&] { return api().stats_text(conn_, out->data(), size); });
    if (full < 0) return Failure{static_cast<int32_t>(std::max<int64_t>(full, INT32_MIN)), Format("stats_text of %s failed", Quote(library_.path).c_str())};
    if (static_cast<uint64_t>(full) <= size) {
      out->resize(static_cast<size_t>(full));
      return std::nullopt;
    }
    if (static_cast<uint64_t>(full) > kMaxStats) {
      return Failure{SIXCALL_E_NOSPACE, Format("stats_text of %s has %lld bytes, want at most %llu", Quote(library_.path).c_str(),
                                               static_cast<long long>(full), static_cast<unsigned long long>(kMaxStats))};
    }
    size = static_cast<uint64_t>(full) + 4096;  // it may grow before the next call
  }
}

}  // namespace sixcall::worker
