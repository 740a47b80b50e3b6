// SPDX-License-Identifier: Apache-2.0
#include "session.h"

#include <poll.h>

#include <cerrno>
#include <cstring>

namespace probe {
namespace {

constexpr size_t kRetired = 24;
constexpr uint8_t kGap = 0xD7;  // between completion records

}  // namespace

std::unique_ptr<Session> Session::TryOpen(const sixcall_api* api, const OpenOptions& options, OpenError* error) {
  std::unique_ptr<Session> session(new Session);
  if (!session->Open(api, options, error)) return nullptr;
  return session;
}

Session::Session(const sixcall_api* api, const OpenOptions& options) {
  OpenError error;
  if (!Open(api, options, &error)) {
    Fail("open returned %s: %s%s", CodeText(error.rc).c_str(), error.text.c_str(),
         Has("params") ? "" : " (no --params were given; does the connector need any?)");
  }
}

bool Session::Open(const sixcall_api* api, const OpenOptions& options, OpenError* error) {
  api_ = api;
  options_ = options;
  host_ = new Host(options.host);  // never freed: see Host
  {
    static std::mutex hosts_mu;
    static auto* const hosts = new std::vector<Host*>;  // so that leak checkers find them
    std::lock_guard<std::mutex> lock(hosts_mu);
    hosts->push_back(host_);
  }
  Guarded config(options.config.size(), Edge::kEnd, "config_json");
  memcpy(config.data(), options.config.data(), options.config.size());
  config.Protect(PROT_READ, ", which is read-only for the connector");
  Guarded args_memory(sizeof(sixcall_open_args) + options.tail, Edge::kEnd, "the open args", 8);
  memset(args_memory.data(), 0xEE, args_memory.size());
  auto* args = reinterpret_cast<sixcall_open_args*>(args_memory.data());
  memset(args, 0, sizeof(*args));
  args->struct_size = static_cast<uint32_t>(args_memory.size());
  args->config_json = reinterpret_cast<const char*>(config.data());
  args->config_len = options.config.size();
  args->instance = options.instance;
  args->open_timeout_ms = options.timeout_ms;
  args_memory.Protect(PROT_READ, ", which are read-only for the connector");
  Guarded err_memory(sizeof(sixcall_err), Edge::kEnd, "err of open", 8);
  auto* err = reinterpret_cast<sixcall_err*>(err_memory.data());
  err->struct_size = sizeof(*err);

  At("open%s", options.what.c_str());
  const uint64_t before = NowMs();
  sixcall_conn* conn = nullptr;
  const int32_t rc = api->open(host_->get(), args, &conn, err);
  error->took_ms = NowMs() - before;
  error->rc = rc;
  if (rc < 0) {
    error->code = err->code;
    if (err->len >= sizeof(err->msg)) {
      error->violation = Format("err.len is %u, want at most 239", err->len);
    } else {
      error->text.assign(err->msg, err->len);
      if (err->msg[err->len] != '\0') error->violation = "err.msg is not NUL-terminated at err.len";
      else if (error->text.empty()) error->violation = "err.msg is empty";
      else if (!IsUtf8(err->msg, err->len)) error->violation = "err.msg is not UTF-8: " + Show(error->text);
      else if (err->code != rc) error->violation = "err.code is " + CodeText(err->code) + ", but open returned " + CodeText(rc);
    }
    return false;
  }
  if (rc != 0) Fail("open returned %d, want 0 or a SIXCALL_E_ code", rc);
  if (conn == nullptr) Fail("open returned 0 but no handle");
  conn_ = conn;
  At("event_fd");
  fd_ = api->event_fd(conn_);
  if (fd_ < 0) Fail("event_fd returned %s", CodeText(fd_).c_str());
  limits_.struct_size = sizeof(limits_);
  if (PROBE_SLOT(api, limits) != nullptr) {
    At("limits");
    const int32_t got = api->limits(conn_, &limits_);
    if (got != 0) Fail("limits returned %s", CodeText(got).c_str());
  }
  completions_ = Guarded(size_t{options.stride} * (options.drain_cap - 1) + sizeof(sixcall_completion), Edge::kEnd, "the completion records", 8);
  completions_.Protect(PROT_NONE, " outside of a drain");
  return true;
}

Session::~Session() {
  if (conn_ == nullptr) return;
  const int32_t rc = Close();
  if (rc != 0) Fail("close returned %s with nothing wrong with the backend", CodeText(rc).c_str());
}

int32_t Session::Call(uint32_t op, const sixcall_batch* batch, sixcall_page* page) {
  switch (op) {
    case SIXCALL_OP_GET: return api_->submit_batch_get(conn_, batch);
    case SIXCALL_OP_SET: return api_->submit_batch_set(conn_, batch);
    case SIXCALL_OP_EXISTS: return api_->submit_batch_exists(conn_, batch);
    case SIXCALL_OP_DELETE: return api_->submit_batch_delete(conn_, batch);
    case SIXCALL_OP_PING: return api_->submit_ping(conn_, batch);
    default: return api_->submit_list(conn_, batch, page);
  }
}

Session::Prepared Session::Prepare(const Spec& given) {
  uint64_t number;
  {
    std::lock_guard<std::mutex> lock(mu_);
    number = given.own_ticket ? given.ticket : next_ticket_++;
  }
  Spec aligned;
  const Spec* spec = &given;
  if (given.align == 1 && align() != 1) {
    aligned = given;
    aligned.align = align();
    spec = &aligned;
  }
  Prepared prepared{std::make_unique<Lent>(*spec, number), Guarded(), number};
  prepared.batch = prepared.lent->MakeStruct();
  prepared.lent->Lend();
  return prepared;
}

size_t Session::SubmitAll(const std::vector<Spec>& specs) {
  std::vector<Prepared> all;
  for (const Spec& spec : specs) all.push_back(Prepare(spec));
  size_t accepted = 0;
  for (Prepared& p : all) {
    if (TrySubmit(std::move(p), nullptr) != 0) break;
    accepted++;
  }
  return accepted;
}

int32_t Session::TrySubmit(const Spec& spec, uint64_t* ticket) { return TrySubmit(Prepare(spec), ticket); }

int32_t Session::TrySubmit(Prepared prepared, uint64_t* ticket) {
  const uint64_t number = prepared.ticket;
  Guarded batch = std::move(prepared.batch);
  sixcall_page* page = prepared.lent->page();
  const uint32_t n = prepared.lent->n(), op = prepared.lent->op();
  prepared.lent->submitted_ns = NowNs();
  {
    // Before the submit: the completion may be drained before it returns.
    std::lock_guard<std::mutex> lock(mu_);
    if (!in_flight_.emplace(number, std::move(prepared.lent)).second) ToolError("ticket %llu is in flight already", static_cast<unsigned long long>(number));
  }
  if (ticket != nullptr) *ticket = number;
  At("submit of %s ticket %llu with %u keys", OpText(op), static_cast<unsigned long long>(number), n);
  const int32_t rc = Call(op, reinterpret_cast<const sixcall_batch*>(batch.data()), page);
  At("after submit of %s ticket %llu", OpText(op), static_cast<unsigned long long>(number));
  // The struct was valid during the call only: a kept pointer finds 0xAA, then a fault.
  batch.Protect(PROT_READ | PROT_WRITE, "");
  memset(batch.data(), 0xAA, batch.size());
  batch.Protect(PROT_NONE, " after the submit call; copy it");
  std::lock_guard<std::mutex> lock(mu_);
  retired_structs_.push_back(std::move(batch));
  if (retired_structs_.size() > kRetired) retired_structs_.pop_front();
  if (rc == 0) return 0;
  if (rc > 0) Fail("submit of %s returned %d, want 0 or a SIXCALL_E_ code", OpText(op), rc);
  const auto it = in_flight_.find(number);
  if (it == in_flight_.end()) Fail("ticket %llu was refused and completed as well", static_cast<unsigned long long>(number));
  const std::string wrong = it->second->TakeBackRefused();
  if (!wrong.empty()) Fail("a %s batch was refused with %s, but %s", OpText(op), CodeText(rc).c_str(), wrong.c_str());
  Retire(std::move(it->second));
  in_flight_.erase(it);
  return rc;
}

uint64_t Session::Submit(const Spec& spec) {
  const Deadline end(PatienceMs());
  for (;;) {
    uint64_t ticket = 0;
    const int32_t rc = TrySubmit(spec, &ticket);
    if (rc == 0) return ticket;
    if (rc != SIXCALL_E_AGAIN || InFlight() == 0 || end.passed()) {
      Fail("submit of %s with %zu keys was refused with %s", OpText(spec.op), spec.keys.size(), CodeText(rc).c_str());
    }
    if (Readable(100)) Drain(options_.drain_cap);
  }
}

bool Session::Readable(int timeout_ms) const {
  pollfd ready = {fd_, POLLIN, 0};
  const Deadline end(static_cast<uint64_t>(timeout_ms));
  for (;;) {
    const int n = poll(&ready, 1, timeout_ms == 0 ? 0 : end.left_ms());
    if (n >= 0) break;
    if (errno != EINTR) Fail("poll of the event fd %d: %s", fd_, strerror(errno));
    ready.revents = 0;
  }
  if ((ready.revents & ~POLLIN) != 0) Fail("poll of the event fd %d reports 0x%x, want only POLLIN", fd_, static_cast<unsigned>(ready.revents));
  return (ready.revents & POLLIN) != 0;
}

uint32_t Session::Drain(uint32_t cap) {
  if (cap > options_.drain_cap) ToolError("drain: cap %u is over %u", cap, options_.drain_cap);
  completions_.Protect(PROT_READ | PROT_WRITE, "");
  memset(completions_.data(), kGap, completions_.size());
  At("drain_completions, cap %u, stride %u", cap, options_.stride);
  const int32_t n = api_->drain_completions(conn_, reinterpret_cast<sixcall_completion*>(completions_.data()), cap, options_.stride);
  At("after drain_completions");
  if (n < 0) Fail("drain_completions returned %s", CodeText(n).c_str());
  if (static_cast<uint32_t>(n) > cap) Fail("drain_completions returned %d records for a cap of %u", n, cap);
  for (size_t i = 0; i < completions_.size(); i++) {
    const bool record = i / options_.stride < static_cast<size_t>(n) && i % options_.stride < sizeof(sixcall_completion);
    if (!record && completions_.data()[i] != kGap) Fail("drain_completions wrote byte %zu, which belongs to no record (%d records, stride %u)", i, n, options_.stride);
  }
  if (!completions_.SlackIntact()) Fail("drain_completions wrote beside the records");
  std::vector<sixcall_completion> records(static_cast<size_t>(n));
  for (size_t i = 0; i < records.size(); i++) memcpy(&records[i], completions_.data() + i * options_.stride, sizeof(sixcall_completion));
  completions_.Protect(PROT_NONE, " outside of a drain");
  for (const sixcall_completion& record : records) Finish(record);
  return static_cast<uint32_t>(n);
}

void Session::Finish(const sixcall_completion& done) {
  std::lock_guard<std::mutex> lock(mu_);
  const auto ticket = static_cast<unsigned long long>(done.ticket);
  const auto it = in_flight_.find(done.ticket);
  if (it == in_flight_.end()) {
    Fail("a completion for ticket %llu, which is not in flight: it completed before or was never submitted", ticket);
  }
  Result result;
  const std::string wrong = it->second->TakeBack(done, &result);
  if (!wrong.empty()) Fail("the completion of %s ticket %llu: %s", OpText(it->second->op()), ticket, wrong.c_str());
  if (!forget_) finished_[done.ticket] = std::move(result);
  Retire(std::move(it->second));
  in_flight_.erase(it);
}

void Session::Retire(std::unique_ptr<Lent> lent) {
  retired_.push_back(std::move(lent));
  if (retired_.size() > kRetired) retired_.pop_front();
}

Result Session::Wait(uint64_t ticket) {
  const Deadline end(PatienceMs());
  for (;;) {
    const auto it = finished_.find(ticket);
    if (it != finished_.end()) {
      Result result = std::move(it->second);
      finished_.erase(it);
      return result;
    }
    if (Readable(end.left_ms() < 100 ? end.left_ms() : 100)) {
      Drain(options_.drain_cap);
    } else if (end.passed()) {
      const uint32_t n = Drain(options_.drain_cap);
      if (n != 0) Fail("%u completions were waiting, but the event fd was silent", n);
      Fail("ticket %llu has no completion after %llu ms", static_cast<unsigned long long>(ticket), static_cast<unsigned long long>(PatienceMs()));
    }
  }
}

void Session::WaitAll() {
  const Deadline end(PatienceMs());
  while (InFlight() > 0) {
    if (Readable(end.left_ms() < 100 ? end.left_ms() : 100)) {
      Drain(options_.drain_cap);
    } else if (end.passed()) {
      const uint32_t n = Drain(options_.drain_cap);
      if (n != 0) Fail("%u completions were waiting, but the event fd was silent", n);
      Fail("%zu tickets have no completion after %llu ms", InFlight(), static_cast<unsigned long long>(PatienceMs()));
    }
  }
}

size_t Session::InFlight() const {
  std::lock_guard<std::mutex> lock(mu_);
  return in_flight_.size();
}

int32_t Session::Close(uint32_t grace_ms) {
  At("close, grace %u ms, %zu tickets in flight", grace_ms, InFlight());
  const int32_t rc = api_->close(conn_, grace_ms);
  At("after close");
  conn_ = nullptr;
  if (rc == 0) {
    host_->Closed();
    std::lock_guard<std::mutex> lock(mu_);
    for (auto& lent : in_flight_) lent.second->Close(" after close returned 0");
    // Kept, inaccessible, to the end of the check.
    static auto* const left = new std::deque<std::unique_ptr<Lent>>;
    for (auto& lent : in_flight_) left->push_back(std::move(lent.second));
    while (left->size() > 512) left->pop_front();
    in_flight_.clear();
  } else if (rc != SIXCALL_E_BUSY) {
    Fail("close returned %s, want 0 or SIXCALL_E_BUSY", CodeText(rc).c_str());
  } else {
    std::lock_guard<std::mutex> lock(mu_);
    for (auto& lent : in_flight_) lent.second.release();
    in_flight_.clear();
  }
  return rc;
}

}  // namespace probe
