// SPDX-License-Identifier: Apache-2.0
#include "directory.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <random>

#include "reply_error.h"

namespace redis {

/// Wakes the directory's thread, and ends what it waits for when it is to stop.
class Directory::Wake final : public Waiter {
 public:
  Wake() : fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (fd_ < 0) throw sixcall::Error(SIXCALL_E_IO, "eventfd: " + std::generic_category().message(errno), errno);
  }
  ~Wake() override { ::close(fd_); }
  int fd() const override { return fd_; }
  void Check() override {
    Drain();
    if (stopped_.load()) throw sixcall::Error(SIXCALL_E_CLOSED, "closed");
  }
  void Drain() {
    uint64_t count;
    [[maybe_unused]] const ssize_t n = ::read(fd_, &count, sizeof(count));
  }
  void Signal() {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(fd_, &one, sizeof(one));
  }
  void Stop() {
    stopped_.store(true);
    Signal();
  }

 private:
  int fd_;
  std::atomic<bool> stopped_{false};
};

Directory::Directory(const Settings& settings, const TlsContext* tls, Stats& stats, std::string thread_name)
    : settings_(settings), tls_(tls), stats_(stats), thread_name_(std::move(thread_name)), wake_(std::make_unique<Wake>()), ask_(settings.servers) {}

Directory::~Directory() { Stop(); }

void Directory::Stop() {
  {
    std::lock_guard<std::mutex> lock(mu_);
    stop_ = true;
    changed_.notify_all();
  }
  wake_->Stop();
  if (thread_.joinable()) thread_.join();
  watch_.reset();
}

void Directory::Start() {
  thread_ = sixcall::detail::StartThread(thread_name_, [this] { Run(); });
}

Directory::View Directory::Current() const {
  std::lock_guard<std::mutex> lock(mu_);
  return view_;
}

void Directory::Refresh() {
  std::lock_guard<std::mutex> lock(mu_);
  if (wanted_) return;
  wanted_ = true;
  wake_->Signal();
}

Directory::View Directory::RefreshAndWait(uint64_t deadline_ns, const std::function<bool()>& stop) {
  std::unique_lock<std::mutex> lock(mu_);
  const uint64_t after = begun_;
  wanted_ = true;
  wake_->Signal();
  while (view_.searches <= after) {
    if (stop_ || stop()) throw sixcall::Error(SIXCALL_E_CANCELLED, "cancelled while looking for the servers");
    if (sixcall::NowNs() >= deadline_ns) throw sixcall::Error(SIXCALL_E_TIMEOUT, "the servers were not found in time");
    changed_.wait_for(lock, std::chrono::milliseconds(20));
  }
  if (view_.error != nullptr) throw sixcall::Error(*view_.error);
  return view_;
}

void Directory::Run() {
  std::minstd_rand random(static_cast<uint32_t>(sixcall::NowNs()));
  uint32_t failures = 0;
  while (AwaitCause()) {
    std::shared_ptr<const Topology> found;
    std::shared_ptr<const sixcall::Error> error;
    Count(stats_.searches);
    try {
      found = std::make_shared<Topology>(Search());
    } catch (...) {
      const sixcall::Error e = sixcall::Error::Current(SIXCALL_E_CONNECT);
      error = no_memory_;
      try {
        if (e.code() != SIXCALL_E_NOMEM) error = std::make_shared<sixcall::Error>(e);
      } catch (const std::bad_alloc&) {
      }
    }
    failures = error == nullptr ? 0 : failures + 1;
    {
      std::unique_lock<std::mutex> lock(mu_);
      if (stop_) return;
      // An old picture is better than none: nodes come back.
      if (found != nullptr && (view_.topology == nullptr || !(*view_.topology == *found))) view_.topology = found;
      view_.error = error;
      view_.searches = begun_;
      changed_.notify_all();
    }
    if (on_change_) on_change_();
    // Not more often than this, however many ask.
    const uint64_t cap = error == nullptr ? 50 : std::min<uint64_t>(uint64_t{settings_.reconnect_min_ms} << std::min(failures, 16u), settings_.reconnect_max_ms);
    const uint64_t ms = std::uniform_int_distribution<uint64_t>(cap / 2, cap)(random);
    std::unique_lock<std::mutex> lock(mu_);
    changed_.wait_for(lock, std::chrono::milliseconds(ms), [&] { return stop_; });
    // Without a sentinel that tells us, nobody would: go on until there is one.
    if (settings_.mode == Mode::kSentinel && watch_ == nullptr) wanted_ = true;
  }
}

/// Waits until there is a reason to search; false when it is time to stop.
bool Directory::AwaitCause() {
  for (;;) {
    {
      std::lock_guard<std::mutex> lock(mu_);
      if (stop_) return false;
      if (wanted_) {
        wanted_ = false;
        begun_++;
        return true;
      }
    }
    pollfd fds[2] = {{wake_->fd(), POLLIN, 0}, {watch_ != nullptr ? watch_->fd() : -1, POLLIN, 0}};
    ::poll(fds, 2, -1);
    wake_->Drain();
    if (fds[1].revents != 0 && HeardOfFailover()) Refresh();
  }
}

/// Whether the sentinel that is listened to says that the master is another one,
/// or says nothing any more.
bool Directory::HeardOfFailover() {
  try {
    for (const Value& message : watch_->Messages()) {
      const bool of_ours = message.items.size() == 3 && message.items[2].text.compare(0, settings_.sentinel_master.size() + 1, settings_.sentinel_master + " ") == 0;
      if (of_ours) return true;
    }
    return false;
  } catch (const std::exception&) {  // it is gone, or memory is short: look for another one
    watch_.reset();
    return true;
  }
}

uint64_t Directory::ConnectDeadline() const { return sixcall::NowNs() + uint64_t{settings_.connect_timeout_ms} * 1000000; }

Handshake::Plan Directory::UserPlan() const {
  Handshake::Plan plan;
  plan.user = settings_.user;
  plan.database = settings_.database;
  return plan;
}

void Directory::ResolveNode(Node& node) {
  const auto stop = [](void* self) {
    auto* d = static_cast<Directory*>(self);
    std::lock_guard<std::mutex> lock(d->mu_);
    return d->stop_;
  };
  node.endpoints = Resolve(node.address, settings_.connect_timeout_ms, thread_name_.substr(thread_name_.find(':') + 1), stop, this);
}

Topology Directory::Search() {
  if (settings_.mode == Mode::kCluster) return SearchCluster();
  if (settings_.mode == Mode::kSentinel) return SearchSentinels();
  Topology t;
  t.nodes.push_back({settings_.servers[0], {}});
  ResolveNode(t.nodes[0]);
  return t;
}

Topology Directory::SearchSentinels() {
  watch_.reset();
  std::string why;
  int32_t code = SIXCALL_E_CONNECT;
  for (size_t i = 0; i < ask_.size(); i++) {
    try {
      Node sentinel{ask_[i], {}};
      ResolveNode(sentinel);
      Handshake::Plan plan;
      plan.user = settings_.sentinel_user;
      const uint64_t deadline = ConnectDeadline();
      auto client = std::make_unique<Client>(sentinel, plan, tls_, *wake_, deadline);
      // Listen first, so that no failover comes between the answer and that.
      const Value subscribed = client->Call({"SUBSCRIBE", "+switch-master"}, deadline);
      if (subscribed.is_error()) throw ToError(subscribed.text, ask_[i].Text());
      Client asked(sentinel, plan, tls_, *wake_, deadline);
      Node master = AskSentinel(asked, deadline);
      // A sentinel may be behind the times: the master itself has to agree.
      plan = UserPlan();
      plan.must_be_master = true;
      const Client probe(master, plan, tls_, *wake_, ConnectDeadline());
      watch_ = std::move(client);
      std::rotate(ask_.begin(), ask_.begin() + static_cast<std::ptrdiff_t>(i), ask_.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      Topology t;
      t.nodes.push_back(std::move(master));
      return t;
    } catch (const sixcall::Error& e) {
      if (e.code() == SIXCALL_E_CLOSED) throw;
      if (e.code() == SIXCALL_E_AUTH || why.empty()) code = e.code();
      why += (why.empty() ? "" : "; ") + e.text();
    }
  }
  throw sixcall::Error(code, "no sentinel knows a master \"" + settings_.sentinel_master + "\" that answers: " + why);
}

Node Directory::AskSentinel(Client& sentinel, uint64_t deadline_ns) {
  const std::string name = sentinel.address().Text();
  const Value reply = sentinel.Call({"SENTINEL", "get-master-addr-by-name", settings_.sentinel_master}, deadline_ns);
  if (reply.is_error()) throw ToError(reply.text, name);
  if (reply.type == '_') throw sixcall::Error(SIXCALL_E_CONNECT, name + ": no master of that name; see sentinel_master");
  Node master;
  const bool pair = reply.is_list() && reply.items.size() == 2 && reply.items[0].is_text() && reply.items[1].is_text();
  if (!pair || !ParseRedirect(reply.items[0].text + ":" + reply.items[1].text, sentinel.address(), &master.address)) {
    throw sixcall::Error(SIXCALL_E_IO, name + ": an answer that is no address");
  }
  ResolveNode(master);
  return master;
}

Topology Directory::SearchCluster() {
  std::string why;
  int32_t code = SIXCALL_E_CONNECT;
  for (size_t i = 0; i < ask_.size(); i++) {
    try {
      Node node{ask_[i], {}};
      ResolveNode(node);
      const uint64_t deadline = ConnectDeadline();
      Handshake::Plan plan = UserPlan();
      Client client(node, plan, tls_, *wake_, deadline);
      Topology t = ReadClusterSlots(client.Call({"CLUSTER", "SLOTS"}, deadline), node.address);
      for (Node& n : t.nodes) ResolveNode(n);
      // Whom to ask next time: who answered, the nodes of the map, and those of
      // the configuration, in case all others have moved.
      std::vector<Address> next = {ask_[i]};
      const auto add = [&](const Address& a) {
        if (std::find(next.begin(), next.end(), a) == next.end()) next.push_back(a);
      };
      for (const Node& n : t.nodes) add(n.address);
      for (const Address& a : t.others) add(a);
      for (const Address& a : settings_.servers) add(a);
      ask_ = std::move(next);
      return t;
    } catch (const sixcall::Error& e) {
      if (e.code() == SIXCALL_E_CLOSED) throw;
      if (e.code() == SIXCALL_E_AUTH || e.code() == SIXCALL_E_CONFIG || why.empty()) code = e.code();
      if (why.size() < 160) why += (why.empty() ? "" : "; ") + e.text();
    }
  }
  throw sixcall::Error(code, "no node of the cluster answers: " + why);
}

}  // namespace redis
