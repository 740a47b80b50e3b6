// SPDX-License-Identifier: Apache-2.0
#include "control.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "listing.h"
#include "reply_error.h"

namespace redis {
namespace {

constexpr uint64_t kMs = 1000000;               // ns
constexpr uint64_t kUsageAge = 1000 * kMs;      // figures older than this are taken anew
constexpr uint64_t kPageTime = 500 * kMs;       // a page that has found something ends after this
constexpr size_t kEntry = 128;                  // bytes of a usual entry

/// The number after "name:" in the text of INFO.
bool InfoNumber(const std::string& info, const std::string& name, uint64_t* out) {
  const size_t at = info.find("\n" + name + ":");
  if (at == std::string::npos) return false;
  const char* from = info.data() + at + name.size() + 2;
  return std::from_chars(from, info.data() + info.size(), *out).ec == std::errc();
}

}  // namespace

/// Ends the waits of the thread: for good, or for the listing that is cancelled.
/// While it waits, listings behind it whose time is up are ended too.
class Control::Wake final : public Waiter {
 public:
  explicit Wake(Control& control) : control_(control), fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (fd_ < 0) throw sixcall::Error(SIXCALL_E_IO, "eventfd: " + std::generic_category().message(errno), errno);
  }
  ~Wake() override { ::close(fd_); }
  int fd() const override { return fd_; }
  void Check() override {
    uint64_t count;
    [[maybe_unused]] const ssize_t n = ::read(fd_, &count, sizeof(count));
    control_.ExpireLists();
    if (control_.Ended()) throw sixcall::Error(SIXCALL_E_CANCELLED, "cancelled");
  }
  void Signal() {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(fd_, &one, sizeof(one));
  }

 private:
  Control& control_;
  int fd_;
};

Control::Control(const Settings& settings, const TlsContext* tls, Directory& directory, sixcall::AsyncConnector& host)
    : settings_(settings), tls_(tls), directory_(directory), host_(host), wake_(std::make_unique<Wake>(*this)) {}

Control::~Control() {
  {
    std::lock_guard<std::mutex> lock(mu_);
    stop_ = cancel_all_ = true;
    work_.notify_all();
  }
  wake_->Signal();
  if (thread_.joinable()) thread_.join();
}

void Control::Start(const std::string& thread_name) {
  thread_ = sixcall::detail::StartThread(thread_name, [this] { Run(); });
}

void Control::PushList(const sixcall::AsyncBatch& batch) {
  std::lock_guard<std::mutex> lock(mu_);
  lists_.push_back(batch);
  work_.notify_all();
}

void Control::Cancel(uint64_t ticket) {
  {
    std::lock_guard<std::mutex> lock(mu_);
    if (current_ && *current_ == ticket) {
      cancel_current_ = true;  // it answers itself
      return wake_->Signal();
    }
    const auto at = std::find_if(lists_.begin(), lists_.end(), [&](const auto& b) { return b.ticket() == ticket; });
    if (at == lists_.end()) return;
    lists_.erase(at);
  }
  host_.Fail(ticket, 0, sixcall::Error(SIXCALL_E_CANCELLED, "cancelled"));
}

void Control::CancelAll() {
  {
    std::lock_guard<std::mutex> lock(mu_);
    cancel_all_ = true;
  }
  wake_->Signal();
}

bool Control::Ended() {
  std::lock_guard<std::mutex> lock(mu_);
  return cancel_all_ || cancel_current_;
}

void Control::ExpireLists() {
  std::vector<uint64_t> late;
  {
    std::lock_guard<std::mutex> lock(mu_);
    for (auto at = lists_.begin(); at != lists_.end();) {
      const bool over = at->deadline_ns() != 0 && sixcall::NowNs() >= at->deadline_ns();
      if (over) late.push_back(at->ticket());
      at = over ? lists_.erase(at) : at + 1;
    }
  }
  for (const uint64_t ticket : late) host_.Fail(ticket, 0, sixcall::Error(SIXCALL_E_TIMEOUT, "the deadline passed in the queue"));
}

void Control::Usage(sixcall_usage& out) {
  out.bytes_used = bytes_used_.load();
  out.bytes_capacity = bytes_capacity_.load();
  out.keys = keys_.load();
  if (sixcall::NowNs() - usage_ns_.load() < kUsageAge) return;
  std::lock_guard<std::mutex> lock(mu_);
  if (usage_wanted_) return;
  usage_wanted_ = true;
  work_.notify_all();
}

void Control::Run() {
  for (;;) {
    std::optional<sixcall::AsyncBatch> list;
    {
      std::unique_lock<std::mutex> lock(mu_);
      work_.wait(lock, [&] { return stop_ || usage_wanted_ || !lists_.empty(); });
      if (!lists_.empty()) {
        list = lists_.front();
        lists_.pop_front();
        current_ = list->ticket();
      } else if (stop_) {
        return;
      }
    }
    try {
      if (list) {
        RunList(*list);
      } else {
        RefreshUsage(sixcall::NowNs() + settings_.timeout_ms * kMs);
      }
    } catch (...) {
      const sixcall::Error e = sixcall::Error::Current(SIXCALL_E_IO);
      if (list) host_.Fail(list->ticket(), 0, e);
    }
    std::lock_guard<std::mutex> lock(mu_);
    current_.reset();
    cancel_current_ = false;
    if (list) continue;
    usage_ns_.store(sixcall::NowNs());  // also after a failure: not at once again
    usage_wanted_ = false;
  }
}

Directory::View Control::Servers(bool fresh, uint64_t deadline_ns) {
  const auto stop = [this] {
    ExpireLists();
    return Ended();
  };
  Directory::View view = directory_.Current();
  if (fresh || view.topology == nullptr) view = directory_.RefreshAndWait(deadline_ns, stop);
  return view;
}

Client& Control::ClientFor(const Node& node, uint64_t deadline_ns) {
  std::unique_ptr<Client>& client = clients_[node.address.Text()];
  if (client != nullptr) return *client;
  Handshake::Plan plan;
  plan.user = settings_.user;
  plan.database = settings_.database;
  plan.must_be_master = settings_.mode == Mode::kSentinel;
  deadline_ns = std::min(deadline_ns, sixcall::NowNs() + settings_.connect_timeout_ms * kMs);
  client = std::make_unique<Client>(node, plan, tls_, *wake_, deadline_ns);
  return *client;
}

/// Runs fn(client), a second time on a new connection if the old one is gone.
template <class F>
auto Control::OnNode(const Node& node, uint64_t deadline_ns, F&& fn) {
  deadline_ns = std::min(deadline_ns, sixcall::NowNs() + settings_.timeout_ms * kMs);
  const std::string name = node.address.Text();
  const bool had = clients_.count(name) != 0 && clients_[name] != nullptr;
  for (bool again = had;; again = false) {
    try {
      return fn(ClientFor(node, deadline_ns), deadline_ns);
    } catch (const sixcall::Error& e) {
      clients_.erase(name);
      if (e.code() != SIXCALL_E_CANCELLED) directory_.Refresh();
      if (!again || e.code() != SIXCALL_E_CONNECT) throw;
    }
  }
}

void Control::Prove(uint64_t deadline_ns) {
  const Directory::View view = Servers(false, deadline_ns);
  for (size_t i = 0;; i++) {  // one node that answers is enough
    try {
      ClientFor(view.topology->nodes[i], deadline_ns);
      break;
    } catch (const sixcall::Error&) {
      if (i + 1 == view.topology->nodes.size()) throw;
    }
  }
  try {
    RefreshUsage(deadline_ns);
  } catch (const sixcall::Error&) {  // the figures come later
  }
}

void Control::RefreshUsage(uint64_t deadline_ns) {
  const Directory::View view = Servers(false, deadline_ns);
  uint64_t used = 0, capacity = 0, keys = 0;
  bool unlimited = false, known = true;
  for (const Node& node : view.topology->nodes) {
    const std::vector<Value> replies = OnNode(node, deadline_ns, [&](Client& client, uint64_t until) {
      std::string commands;
      AppendCommand(commands, {"INFO", "memory"});
      AppendCommand(commands, {"DBSIZE"});
      return client.Call(commands, 2, until);
    });
    uint64_t node_used = 0, node_capacity = 0;
    known = known && InfoNumber(replies[0].text, "used_memory", &node_used);
    if (!InfoNumber(replies[0].text, "maxmemory", &node_capacity) || node_capacity == 0) unlimited = true;
    used += node_used;
    capacity += node_capacity;
    keys = replies[1].type == ':' && keys != UINT64_MAX ? keys + static_cast<uint64_t>(replies[1].number) : UINT64_MAX;
  }
  bytes_used_.store(known ? used : UINT64_MAX);
  bytes_capacity_.store(unlimited ? UINT64_MAX : capacity);
  keys_.store(keys);
  usage_ns_.store(sixcall::NowNs());
}

void Control::RunList(const sixcall::AsyncBatch& batch) {
  const uint64_t begun = sixcall::NowNs();
  const uint64_t deadline_ns = batch.deadline_ns() != 0 ? batch.deadline_ns() : UINT64_MAX;
  sixcall::Page page(batch.page());
  ListCursor at;
  const bool first = page.cursor().empty();
  if (!first) at = ListCursor::Read(page.cursor());
  Directory::View view = Servers(first && settings_.mode == Mode::kCluster, deadline_ns);
  const auto restart = [&] { at = ListCursor(), at.map = view.topology->Signature(); };
  // Keys may have moved behind our back when the map is another: all over again.
  if (at.map != view.topology->Signature() || at.node >= view.topology->nodes.size()) restart();

  const size_t count = std::clamp<size_t>(batch.page()->cap / kEntry, 10, 1000);
  size_t listed = 0;
  for (bool full = false; !full && (listed == 0 || sixcall::NowNs() - begun < kPageTime);) {
    const Node& node = view.topology->nodes[at.node];
    uint64_t next = 0;
    std::vector<ListedKey> keys;
    std::vector<Value> lengths;
    OnNode(node, deadline_ns, [&](Client& client, uint64_t until) {
      const Value reply = client.Call({"SCAN", std::to_string(at.scan), "MATCH", PrefixPattern(settings_.prefix), "COUNT", std::to_string(count)}, until);
      if (reply.is_error()) throw ToError(reply.text, node.address.Text());
      const bool pair = reply.is_list() && reply.items.size() == 2 && reply.items[0].is_text() && reply.items[1].is_list();
      const std::string text = pair ? reply.items[0].text : "";
      if (text.empty() || std::from_chars(text.data(), text.data() + text.size(), next).ptr != text.data() + text.size()) throw ProtocolError("SCAN is answered strangely");
      // The same stretch of the same table: go on behind what was listed of it.
      // Another one: all of it.
      at.partly = at.partly && at.next == next;
      std::vector<std::string> found;
      for (const Value& v : reply.items[1].items) found.push_back(v.text);
      keys = SortListed(std::move(found), settings_.prefix, at);
      std::string commands;
      for (const ListedKey& k : keys) AppendCommand(commands, {"STRLEN", k.key});
      lengths = keys.empty() ? std::vector<Value>() : client.Call(commands, keys.size(), until);
      return true;
    });
    for (size_t i = 0; i < keys.size() && !full; i++) {
      if (lengths[i].type != ':') {
        if (ReadReplyError(lengths[i].text).reaction == Reaction::kWrongType) continue;  // no value of ours
        lengths[i].number = -1;  // it has moved meanwhile, or may not be read
      }
      const std::string_view key = std::string_view(keys[i].key).substr(settings_.prefix.size());
      full = !page.Add(key, lengths[i].number < 0 ? SIXCALL_LEN_UNKNOWN : static_cast<uint64_t>(lengths[i].number));
      if (full) break;
      listed++;
      if (i + 1 < keys.size() && keys[i + 1].hash == keys[i].hash) continue;  // no page ends between the two
      at.after = keys[i].hash;
      at.partly = true;
    }
    at.next = next;
    if (full) break;
    at.partly = false;
    at.scan = next;
    if (next != 0) continue;
    if (++at.node < view.topology->nodes.size()) continue;
    if (settings_.mode == Mode::kCluster) {
      view = Servers(true, deadline_ns);
      if (view.topology->Signature() != at.map) {
        restart();
        continue;
      }
    }
    page.SetLast();
    return host_.Complete(batch.ticket(), 0, sixcall::Status::kHit);
  }
  page.SetCursor(at.Text());
  page.CheckRoom();
  host_.Complete(batch.ticket(), 0, sixcall::Status::kHit);
}

}  // namespace redis
