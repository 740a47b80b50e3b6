// SPDX-License-Identifier: Apache-2.0
#include "connection.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <time.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace sixcall_test {
namespace {

constexpr auto kPatience = std::chrono::seconds(60);  // far above what any test needs
constexpr size_t kRetired = 32;                       // batches, bounded by the mappings of a process
constexpr uint8_t kGap = 0xD7;                        // between completion records

uint64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec);
}

auto SubmitCall(const sixcall_api &api, uint32_t op) {
  switch (op) {
    case SIXCALL_OP_GET:
      return api.submit_batch_get;
    case SIXCALL_OP_SET:
      return api.submit_batch_set;
    case SIXCALL_OP_EXISTS:
      return api.submit_batch_exists;
    case SIXCALL_OP_DELETE:
      return api.submit_batch_delete;
    default:
      return api.submit_ping;
  }
}

}  // namespace

const sixcall_api *LoadLibrary(const std::string &path) {
  void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error(dlerror());
  void *symbol = dlsym(library, SIXCALL_ENTRY_SYMBOL);
  if (symbol == nullptr) throw std::runtime_error(path + ": no entry point");
  sixcall_connector_entry_fn entry;
  std::memcpy(&entry, &symbol, sizeof(entry));
  sixcall_host host = {};
  host.struct_size = sizeof(host);
  host.abi_major = SIXCALL_ABI_MAJOR;
  host.abi_minor = SIXCALL_ABI_MINOR;
  host.name = "test";
  host.version = "0";
  const sixcall_api *api = entry(&host);
  if (api == nullptr) throw std::runtime_error(path + ": the connector refuses this host");
  return api;
}

Connection::Connection(const sixcall_api *api, OpenOptions options)
    : api_(api),
      options_(std::move(options)),
      host_memory_(sizeof(sixcall_host), options_.edge, "host struct"),
      completions_(size_t{options_.completion_stride} * (options_.drain_cap - 1) + sizeof(sixcall_completion),
                   options_.edge, "completions") {
  auto *host = reinterpret_cast<sixcall_host *>(host_memory_.data());
  host->struct_size = sizeof(*host);
  host->abi_major = SIXCALL_ABI_MAJOR;
  host->abi_minor = SIXCALL_ABI_MINOR;
  host->name = "test";
  host->version = "0";
  host->log_ctx = log_.get();
  host->log = OnLog;
  log_->level = options_.log_level;
  host->log_level = options_.log_level;
  host_memory_.Protect(Access::kRead);
  completions_.Protect(Access::kNone);

  // The configuration has no NUL behind it, and nothing of the call outlives it.
  GuardedMemory config(options_.config.size(), options_.edge, "config_json");
  std::memcpy(config.data(), options_.config.data(), options_.config.size());
  config.Protect(Access::kRead);
  GuardedMemory args_memory(sizeof(sixcall_open_args), options_.edge, "open args");
  auto *args = reinterpret_cast<sixcall_open_args *>(args_memory.data());
  args->struct_size = sizeof(*args);
  args->config_json = reinterpret_cast<const char *>(config.data());
  args->config_len = options_.config.size();
  args->instance = options_.instance;
  args->max_inflight = options_.max_inflight;
  args->max_batch = options_.max_batch;
  args->value_len_hint = options_.value_len_hint;
  args->open_timeout_ms = options_.open_timeout_ms;
  args_memory.Protect(Access::kRead);
  GuardedMemory err_memory(sizeof(sixcall_err), options_.edge, "err of open");
  auto *err = reinterpret_cast<sixcall_err *>(err_memory.data());
  err->struct_size = sizeof(*err);

  open_rc_ = api_->open(host, args, &conn_, err);
  open_code_ = err->code;
  if (open_rc_ < 0) {
    conn_ = nullptr;
    EXPECT_LT(err->len, sizeof(err->msg)) << "err.len of open leaves no room for the NUL";
    if (err->len < sizeof(err->msg)) open_error_.assign(err->msg, err->len);
    EXPECT_EQ(std::strlen(err->msg), open_error_.size()) << "err.msg of open is not NUL-terminated at len";
    EXPECT_EQ(err->code, open_rc_) << "err.code of open differs from the result; text: " << open_error_;
    EXPECT_FALSE(open_error_.empty()) << "open failed without a word";
    return;
  }
  EXPECT_EQ(open_rc_, SIXCALL_OK);
  if (conn_ == nullptr) throw std::runtime_error("open returned 0 and no handle");
  fd_ = api_->event_fd(conn_);
  EXPECT_GE(fd_, 0) << "event_fd";
}

Connection::~Connection() {
  if (conn_ != nullptr) {
    const int32_t rc = Close();
    if (rc != SIXCALL_OK) ADD_FAILURE() << "close at the end of the test returned " << rc;
  }
}

int32_t Connection::TrySubmit(const Request &request, uint64_t *ticket) {
  uint64_t number;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    number = request.ticket.value_or(next_ticket_);
    if (!request.ticket) ++next_ticket_;
  }
  auto owned = std::make_unique<LentBatch>(request, number);
  GuardedMemory lent = owned->MakeStruct();
  sixcall_page *page = owned->page();
  owned->Lend();
  {
    // Before the submit: the completion may be drained before it returns.
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!in_flight_.emplace(number, std::move(owned)).second) throw std::logic_error("ticket is in flight already");
    submitted_ns_[number] = NowNs();
  }
  if (ticket != nullptr) *ticket = number;
  const auto *batch = reinterpret_cast<const sixcall_batch *>(lent.data());
  const int32_t rc = request.op == SIXCALL_OP_LIST ? api_->submit_list(conn_, batch, page)
                                                   : SubmitCall(*api_, request.op)(conn_, batch);
  // The struct is valid during the call only: a pointer that was kept is found.
  lent.Protect(Access::kReadWrite);
  std::memset(lent.data(), 0xAA, lent.size());
  lent.Protect(Access::kNone);
  const std::lock_guard<std::mutex> lock(mutex_);
  retired_structs_.push_back(std::move(lent));
  if (retired_structs_.size() > kRetired) retired_structs_.pop_front();
  if (rc == SIXCALL_OK) return rc;
  EXPECT_LT(rc, 0) << "a submit returned a positive number";
  auto it = in_flight_.find(number);
  if (it == in_flight_.end()) {
    ADD_FAILURE() << "ticket " << number << " was refused and has a completion";
    return rc;
  }
  const std::string violation = it->second->TakeBackRefused();
  EXPECT_EQ(violation, "") << "refused ticket " << number;
  Retire(std::move(it->second));
  in_flight_.erase(it);
  return rc;
}

uint64_t Connection::Submit(const Request &request) {
  uint64_t ticket = 0;
  const int32_t rc = TrySubmit(request, &ticket);
  if (rc != SIXCALL_OK) throw std::runtime_error("submit was refused with " + std::to_string(rc));
  return ticket;
}

Result Connection::Run(const Request &request) {
  uint64_t ticket = 0;
  int32_t rc;
  while ((rc = TrySubmit(request, &ticket)) == SIXCALL_E_AGAIN && in_flight() > 0) {
    if (Readable(1000)) Drain(options_.drain_cap);
  }
  if (rc != SIXCALL_OK) throw std::runtime_error("submit was refused with " + std::to_string(rc));
  return Wait(ticket);
}

Result Connection::Wait(uint64_t ticket) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    const auto it = finished_.find(ticket);
    if (it != finished_.end()) {
      Result result = std::move(it->second);
      finished_.erase(it);
      return result;
    }
    if (std::chrono::steady_clock::now() > until) {
      throw std::runtime_error("ticket " + std::to_string(ticket) + " has no completion after a minute");
    }
    if (Readable(1000)) Drain(options_.drain_cap);
  }
}

void Connection::WaitForAll() {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (in_flight() > 0) {
    if (std::chrono::steady_clock::now() > until) {
      throw std::runtime_error(std::to_string(in_flight()) + " tickets have no completion after a minute");
    }
    if (Readable(1000)) Drain(options_.drain_cap);
  }
}

bool Connection::Readable(int timeout_ms) const {
  pollfd ready = {fd_, POLLIN, 0};
  int n;
  do {
    n = poll(&ready, 1, timeout_ms);
  } while (n < 0 && errno == EINTR);
  EXPECT_EQ(ready.revents & ~POLLIN, 0) << "the event fd is in error";
  return n > 0 && (ready.revents & POLLIN) != 0;
}

uint32_t Connection::Drain(uint32_t cap) {
  if (cap > options_.drain_cap) throw std::logic_error("cap is over drain_cap");
  completions_.Protect(Access::kReadWrite);
  std::memset(completions_.data(), kGap, completions_.size());
  auto *out = reinterpret_cast<sixcall_completion *>(completions_.data());
  const int32_t n = api_->drain_completions(conn_, out, cap, options_.completion_stride);
  if (n < 0) throw std::runtime_error("drain returned " + std::to_string(n));
  if (static_cast<uint32_t>(n) > cap) throw std::runtime_error("drain returned more than cap");
  std::vector<sixcall_completion> records(static_cast<size_t>(n));
  for (size_t i = 0; i < completions_.size(); ++i) {
    const size_t record = i / options_.completion_stride;
    const size_t offset = i % options_.completion_stride;
    if (record < records.size() && offset < sizeof(sixcall_completion)) continue;
    EXPECT_EQ(completions_.data()[i], kGap) << "drain wrote between or behind records, at byte " << i;
    if (completions_.data()[i] != kGap) break;
  }
  for (size_t i = 0; i < records.size(); ++i) {
    std::memcpy(&records[i], completions_.data() + i * options_.completion_stride, sizeof(sixcall_completion));
  }
  EXPECT_TRUE(completions_.SlackIntact()) << "drain wrote beside the completions";
  completions_.Protect(Access::kNone);
  for (const sixcall_completion &completion : records) Finish(completion);
  return static_cast<uint32_t>(n);
}

void Connection::Finish(const sixcall_completion &completion) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto it = in_flight_.find(completion.ticket);
  if (it == in_flight_.end()) {
    ADD_FAILURE() << "a completion for ticket " << completion.ticket << ", which is not in flight";
    return;
  }
  EXPECT_LE(completion.rc, 0) << "rc of ticket " << completion.ticket;
  EXPECT_EQ(completion.flags, 0u) << "unknown flags of ticket " << completion.ticket;
  if (completion.done_ns != 0) {
    EXPECT_GE(completion.done_ns, submitted_ns_[completion.ticket]) << "done before it was submitted";
    EXPECT_LE(completion.done_ns, NowNs()) << "done in the future";
  }
  std::string violation;
  finished_[completion.ticket] = it->second->TakeBack(completion, &violation);
  EXPECT_EQ(violation, "") << "ticket " << completion.ticket;
  Retire(std::move(it->second));
  in_flight_.erase(it);
  submitted_ns_.erase(completion.ticket);
}

// Caller holds mutex_.
void Connection::Retire(std::unique_ptr<LentBatch> batch) {
  retired_.push_back(std::move(batch));
  if (retired_.size() > kRetired) retired_.pop_front();
}

size_t Connection::in_flight() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return in_flight_.size();
}

int32_t Connection::Close(uint32_t grace_ms) {
  sixcall_conn *conn = conn_;
  conn_ = nullptr;
  const int32_t rc = api_->close(conn, grace_ms);
  if (rc == SIXCALL_OK) {
    {
      const std::lock_guard<std::mutex> lock(log_->mutex);
      log_->closed = true;
    }
    // From here on any access is a fault: nothing is lent any more.
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto &entry : in_flight_) {
      entry.second->Close();
      retired_.push_back(std::move(entry.second));
    }
    in_flight_.clear();
    host_memory_.Protect(Access::kNone);
  } else {
    const std::lock_guard<std::mutex> lock(mutex_);
    // Lent for ever, and never freed: a static destructor would pull it away
    // from under the threads that could not be stopped.
    static auto &kept_batches = *new std::vector<std::unique_ptr<LentBatch>>;
    static auto &kept_hosts = *new std::vector<GuardedMemory>;
    static auto &kept_logs = *new std::vector<std::unique_ptr<Log>>;
    for (auto &entry : in_flight_) kept_batches.push_back(std::move(entry.second));
    in_flight_.clear();
    kept_hosts.push_back(std::move(host_memory_));
    kept_logs.push_back(std::exchange(log_, std::make_unique<Log>()));
  }
  return rc;
}

std::vector<std::string> Connection::log() const {
  const std::lock_guard<std::mutex> lock(log_->mutex);
  return log_->lines;
}

void Connection::OnLog(void *context, int32_t level, const char *text, uint64_t len) {
  auto *log = static_cast<Log *>(context);
  const std::lock_guard<std::mutex> lock(log->mutex);
  EXPECT_FALSE(log->closed) << "a log line after close: " << std::string(text, len);
  EXPECT_LE(level, log->level) << "an unwanted log line: " << std::string(text, len);
  EXPECT_EQ(std::memchr(text, '\n', len), nullptr) << "a log line holds a newline";
  log->lines.emplace_back(text, len);
}

}  // namespace sixcall_test
