// SPDX-License-Identifier: Apache-2.0
// A worker's thread: its loop, what comes in from other threads, its tasks. Where
// requests go is in worker_routes.cpp.
#include "worker.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace redis {
namespace {

sixcall::Error SystemError(const char* what) { return sixcall::Error(SIXCALL_E_IO, std::string(what) + ": " + std::generic_category().message(errno), errno); }

}  // namespace

Worker::Worker(const Link::Context& context, Directory& directory, sixcall::AsyncConnector& host)
    : context_(context), directory_(directory), host_(host), random_(static_cast<uint32_t>(sixcall::NowNs() ^ reinterpret_cast<uintptr_t>(this))) {
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  wake_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;
  if (epoll_ < 0 || wake_ < 0 || ::epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event) != 0) {
    const sixcall::Error e = SystemError("epoll");
    if (epoll_ >= 0) ::close(epoll_);
    if (wake_ >= 0) ::close(wake_);
    throw e;
  }
}

Worker::~Worker() {
  {
    std::lock_guard<std::mutex> lock(mu_);
    stop_ = true;
    stopped_.notify_all();
  }
  Wake();
  if (thread_.joinable()) thread_.join();
  links_.clear();
  retired_.clear();
  ::close(epoll_);
  ::close(wake_);
}

void Worker::Start(const std::string& thread_name) {
  thread_ = sixcall::detail::StartThread(thread_name, [this] { Run(); });
}

// ------------------------------------------------------- from other threads

void Worker::Push(const sixcall::AsyncBatch& batch, uint32_t from, uint32_t n, uint64_t cost) {
  {
    std::lock_guard<std::mutex> lock(mu_);
    inbox_.push_back({batch, from, n, cost});
  }
  load_.fetch_add(cost, std::memory_order_relaxed);
  if (asleep_.exchange(false)) Wake();
}

void Worker::Cancel(uint64_t ticket) {
  {
    std::lock_guard<std::mutex> lock(mu_);
    cancels_.push_back(ticket);
  }
  Wake();
}

void Worker::CancelAll() {
  {
    std::lock_guard<std::mutex> lock(mu_);
    cancel_all_ = true;
  }
  Wake();
}

void Worker::Notify() {
  {
    std::lock_guard<std::mutex> lock(mu_);
    news_ = true;
  }
  Wake();
}

void Worker::Wake() {
  const uint64_t one = 1;
  while (::write(wake_, &one, sizeof(one)) < 0 && errno == EINTR) {
  }
}

// ------------------------------------------------------------------ the loop

void Worker::Run() {
  for (uint32_t ms = 1;; ms = std::min(2 * ms, 100u)) {
    try {
      return Loop();
    } catch (...) {
      StartAnew(sixcall::Error::Current(SIXCALL_E_INTERNAL));
    }
    std::unique_lock<std::mutex> lock(mu_);
    stopped_.wait_for(lock, std::chrono::milliseconds(ms), [this] { return stop_; });
  }
}

/// What runs, until the worker is to stop. Throws when memory is short.
void Worker::Loop() {
  std::array<epoll_event, 64> events;
  for (;;) {
    {
      std::lock_guard<std::mutex> lock(mu_);
      if (stop_) return;
    }
    now_ = sixcall::NowNs();
    TakeInbox();
    while (!dirty_.empty()) {  // a link that fails may make others dirty
      Link* link = dirty_.back();
      dirty_.pop_back();
      link->dirty = false;
      link->Pump();
    }
    Bury();
    int timeout = Timeout();
    asleep_.store(true);
    {
      // What came before asleep_ was set would not have woken us.
      std::lock_guard<std::mutex> lock(mu_);
      if (!inbox_.empty() || !cancels_.empty() || cancel_all_ || news_ || stop_) timeout = 0;
    }
    const int n = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), timeout);
    asleep_.store(false);
    now_ = sixcall::NowNs();
    for (int i = 0; i < n; i++) {
      auto* link = static_cast<Link*>(events[static_cast<size_t>(i)].data.ptr);
      if (link != nullptr) {
        link->OnEvent();
        continue;
      }
      uint64_t count;
      [[maybe_unused]] const ssize_t got = ::read(wake_, &count, sizeof(count));
    }
    OnTimers();
  }
}

int Worker::Timeout() const {
  uint64_t at = earliest_ns_;
  for (const Parked& p : parked_) at = std::min(at, p.until_ns);
  const auto look = [&](const Link& link) { at = link.unread() ? 0 : std::min(at, link.next_time()); };
  for (const auto& [name, link] : links_) look(*link);
  for (const auto& link : retired_) look(*link);
  if (at == UINT64_MAX) return -1;
  if (at <= now_) return 0;
  return static_cast<int>(std::min<uint64_t>((at - now_ + 999999) / 1000000, 60000));
}

void Worker::OnTimers() {
  const auto look = [](Link& link) {
    if (link.unread()) link.OnEvent();
    link.OnTime();
  };
  for (const auto& [name, link] : links_) look(*link);
  for (size_t i = 0; i < retired_.size(); i++) look(*retired_[i]);
  if (!parked_.empty()) Unpark();
  if (now_ < earliest_ns_) return;
  earliest_ns_ = UINT64_MAX;
  for (Task *t = living_, *next; t != nullptr; t = next) {
    next = t->after;
    if (t->deadline_ns != 0 && t->deadline_ns <= now_) {
      Kill(t, sixcall::Error(SIXCALL_E_TIMEOUT, "the deadline passed"));
    } else if (t->deadline_ns != 0) {
      earliest_ns_ = std::min(earliest_ns_, t->deadline_ns);
    }
  }
}

uint64_t Worker::Jitter(uint64_t ns) { return std::uniform_int_distribution<uint64_t>(ns / 2, ns)(random_); }

void Worker::Watch(Link& link, int fd, bool writable, bool first) {
  epoll_event event = {};
  event.events = EPOLLIN | EPOLLRDHUP | (writable ? EPOLLOUT : 0u);
  event.data.ptr = &link;
  if (::epoll_ctl(epoll_, first ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event) != 0) throw SystemError("epoll");
}

// --------------------------------------------------------------------- tasks

void Worker::TakeInbox() {
  bool all = false, news = false;
  {
    std::lock_guard<std::mutex> lock(mu_);
    taken_.swap(inbox_);
    taken_cancels_.swap(cancels_);
    std::swap(all, cancel_all_);
    std::swap(news, news_);
  }
  begun_ = 0;
  if (news) TakeView();
  while (begun_ < taken_.size()) Begin(taken_[begun_]);
  taken_.clear();
  for (const uint64_t ticket : taken_cancels_) {
    for (Task *t = living_, *next; t != nullptr; t = next) {
      next = t->after;
      if (t->ticket == ticket) Kill(t, sixcall::Error(SIXCALL_E_CANCELLED, "cancelled"));
    }
  }
  taken_cancels_.clear();
  while (all && living_ != nullptr) Kill(living_, sixcall::Error(SIXCALL_E_CANCELLED, "cancelled by close"));
}

void Worker::Begin(const Order& order) {
  if (free_.empty()) {
    free_.reserve(tasks_.size() + 1);  // so that giving a task back needs no memory
    tasks_.push_back(std::make_unique<Task>());
    free_.push_back(tasks_.back().get());
  }
  Task* t = free_.back();
  free_.pop_back();
  t->batch.emplace(order.batch);
  t->ticket = order.batch.ticket();
  t->deadline_ns = order.batch.deadline_ns();
  t->from = order.from;
  t->n = t->unreported = order.n;
  t->cost = order.cost;
  t->dead = false;
  t->before = nullptr;
  t->after = living_;
  if (living_ != nullptr) living_->before = t;
  living_ = t;
  if (t->deadline_ns != 0) earliest_ns_ = std::min(earliest_ns_, t->deadline_ns);
  begun_++;

  Request r;
  r.task = t;
  switch (order.batch.op()) {
    case SIXCALL_OP_GET: r.verb = Verb::kGet; break;
    case SIXCALL_OP_SET: r.verb = Verb::kSet; break;
    case SIXCALL_OP_EXISTS: r.verb = order.batch.wants_lengths() ? Verb::kExistsLength : Verb::kExists; break;
    case SIXCALL_OP_DELETE: r.verb = Verb::kUnlink; break;
    default: r.verb = Verb::kPing; break;
  }
  t->requests = 1;  // keeps the task while requests are made, whatever happens to them
  for (uint32_t i = 0; i < order.n && !t->dead; i++) {
    r.index = order.from + i;
    t->requests++;
    Route(r);
  }
  Release(t);
}

/// Drops a request's hold on its task.
void Worker::Release(Task* task) {
  if (--task->requests != 0) return;
  task->batch.reset();
  free_.push_back(task);
}

/// Tells the host about one key. The task stays until its requests are gone.
void Worker::Report(Task* task, uint32_t index, sixcall::Result result, const sixcall::Error* error) {
  if (task->dead) return;
  if (--task->unreported == 0) Die(task);  // before the host hears of it: its memory may be gone right after
  if (error != nullptr) {
    host_.Fail(task->ticket, index, *error);
  } else {
    host_.Complete(task->ticket, index, result);
  }
}

void Worker::Done(const Request& r, sixcall::Result result) {
  Report(r.task, r.index, result, nullptr);
  Release(r.task);
}

void Worker::Failed(const Request& r, const sixcall::Error& error) {
  Report(r.task, r.index, error.status(), &error);
  Release(r.task);
}

void Worker::Die(Task* task) {
  task->dead = true;
  load_.fetch_sub(task->cost, std::memory_order_relaxed);
  (task->before != nullptr ? task->before->after : living_) = task->after;
  if (task->after != nullptr) task->after->before = task->before;
}

/// Ends a task now. Its requests stay in their queues, with nobody behind them.
void Worker::Kill(Task* task, const sixcall::Error& error) {
  const uint64_t ticket = task->ticket;
  const uint32_t from = task->from, n = task->n;
  task->requests++;  // stays while we look at it
  Die(task);
  for (const auto& [name, link] : links_) link->Forget(task);
  for (size_t i = 0; i < retired_.size(); i++) retired_[i]->Forget(task);
  Release(task);
  // From here on nothing of it is touched. Keys that have an outcome keep it.
  for (uint32_t i = 0; i < n; i++) host_.Fail(ticket, from + i, error);
}

}  // namespace redis
