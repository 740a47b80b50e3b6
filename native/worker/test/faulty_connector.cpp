// SPDX-License-Identifier: Apache-2.0
//
// libsixcall_faulty.so: a connector that keeps values in memory, and breaks on
// demand. For tests of whoever has to survive it. Its parameters:
//
//   {"x-fault": "<action>_in_<call>"}   do it in that call
//     calls    open event_fd limits get set exists delete ping cancel list drain
//              usage stats register unregister close, and thread: a thread of the
//              library does it when the first batch is submitted
//     actions  crash (SIGSEGV) abort throw overflow (of the stack) corrupt_heap
//              hang (sleeps for ever) spin (burns CPU for ever)
//              exit (exit(3)) quick_exit (_exit(3)) sigkill sigterm
//              leak (x-mib MiB, touched) flood (x-mib MiB of lines to stderr)
//              fail (the call returns SIXCALL_E_INTERNAL)
//            and these, after which the call goes on as if nothing had been:
//              sigpipe fork spawn exec ptrace read_parent kill_parent close_fds
//              signals (changes handlers and the mask) scribble_ring (fills the
//              rings that it shares with the host with garbage)
//            An action that returns leaves a log line of level WARN:
//            "fault fork: Operation not permitted", "fault fork: worked", ...
//   {"x-after": N}      the first N of those calls work (default 0)
//   {"x-mib": N}        for leak and flood (default 1024)
//   {"x-hold": N}       the first N batches are accepted and end only by cancel or close
//   {"x-queue": N}      batches in flight before submit returns AGAIN (default 1024)
//   {"x-lines": N}      open writes N log lines "line 0", "line 1", ...
//   {"x-log-batches":1} each accepted batch writes a log line "batch 1", "batch 2", ...
//   {"x-behaviour": B}  breaks the contract without a crash:
//     double            every completion comes twice
//     unknown           every completion is followed by one of ticket 0x123456789
//     unset             status bytes are left as they were
//     short             of n keys only the first is answered
//     again             every submit returns AGAIN
//     refuse            every submit returns SIXCALL_E_IO
//     overrun           drain writes one record more than it may
//     too_many          drain returns one more than it may
//     late_log          logs after close
//     busy              close returns SIXCALL_E_BUSY
//     no_fd             event_fd returns 999
//     long_stats        stats_text has 200 KB
//
// Libraries that break earlier, built from the same source, are called
// libsixcall_faulty_<what>.so: crash_in_constructor, hang_in_constructor,
// exit_in_constructor, signals_in_constructor, crash_in_entry, hang_in_entry,
// throw_in_entry, null_table (the entry refuses), wrong_abi (major 7),
// null_slot (submit_batch_get is NULL), no_entry, bare (required slots only),
// serial (thread model SERIAL), big_schema (schema of 100 KiB).
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "faulty_actions.h"
#include "sixcall/connector.h"

#ifndef FAULTY_AT
#define FAULTY_AT ""  // "constructor", "entry"
#endif
#ifndef FAULTY_ACTION
#define FAULTY_ACTION ""
#endif

namespace {

struct Held {
  uint64_t ticket;
  uint32_t op;
  uint32_t n;
  uint8_t* status;
};

}  // namespace

struct sixcall_conn {
  const sixcall_host* host = nullptr;
  faulty::Settings settings;
  int fd = -1;
  std::mutex mu;  // guards what follows
  std::condition_variable wake;
  std::map<std::string, uint64_t> calls;
  std::map<std::string, std::string> values;
  std::deque<sixcall_completion> done;
  std::vector<Held> held;
  uint64_t accepted = 0;
  bool begun = false, closing = false;
  std::thread thread;

  /// Counts a call and does what the parameters want. True: return an error.
  bool Enter(const char* call) {
    bool now;
    {
      std::lock_guard<std::mutex> lock(mu);
      now = settings.call == call && calls[call]++ == settings.after;
    }
    if (!now) return false;
    if (settings.action == "fail") return true;
    faulty::Act(settings, host);
    return false;
  }

  void Raise() const {
    const uint64_t one = 1;
    if (write(fd, &one, sizeof(one)) < 0) return;  // the descriptor may have been closed by close_fds
  }

  /// mu is held.
  void Publish(uint64_t ticket, uint32_t op, uint32_t n_ok, int32_t rc) {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const sixcall_completion record = {ticket, rc, op, n_ok, 0, static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec)};
    done.push_back(record);
    if (settings.behaviour == "double") done.push_back(record);
    if (settings.behaviour == "unknown") {
      done.push_back(record);
      done.back().ticket = 0x123456789;
    }
    Raise();
  }
};

namespace {

const sixcall_item* ItemOf(const sixcall_batch* b, uint32_t i) {
  return reinterpret_cast<const sixcall_item*>(reinterpret_cast<const char*>(b->items) + size_t{i} * b->item_stride);
}

/// mu is held.
uint8_t One(sixcall_conn* c, const sixcall_item* item, uint32_t op, uint64_t* value_len) {
  const std::string key(reinterpret_cast<const char*>(item->key), item->key_len);
  if (op == SIXCALL_OP_SET) {
    c->values[key].assign(static_cast<const char*>(item->buf), item->len);
    return SIXCALL_STATUS_HIT;
  }
  const auto it = c->values.find(key);
  if (it == c->values.end()) return SIXCALL_STATUS_MISS;
  if (value_len != nullptr) *value_len = it->second.size();
  if (op == SIXCALL_OP_DELETE) c->values.erase(it);
  if (op != SIXCALL_OP_GET) return SIXCALL_STATUS_HIT;
  if (it->second.size() != item->len) return SIXCALL_STATUS_SIZE;
  memcpy(item->buf, it->second.data(), item->len);
  return SIXCALL_STATUS_HIT;
}

int32_t Submit(sixcall_conn* c, const sixcall_batch* b, uint32_t op, const char* call) {
  if (c->Enter(call)) return SIXCALL_E_INTERNAL;
  const std::string& behaviour = c->settings.behaviour;
  if (behaviour == "again") return SIXCALL_E_AGAIN;
  if (behaviour == "refuse") return SIXCALL_E_IO;
  if (b->struct_size < sizeof(*b) || b->item_stride < sizeof(sixcall_item)) return SIXCALL_E_INVAL;
  if ((b->n == 0) != (op == SIXCALL_OP_PING)) return SIXCALL_E_INVAL;
  std::lock_guard<std::mutex> lock(c->mu);
  if (c->done.size() + c->held.size() >= c->settings.queue) return SIXCALL_E_AGAIN;
  c->begun = true;
  c->wake.notify_all();
  if (c->settings.log_batches != 0) faulty::Log(c->host, SIXCALL_LOG_INFO, "batch " + std::to_string(c->accepted + 1));
  if (c->accepted++ < c->settings.hold) {
    c->held.push_back({b->ticket, op, b->n, b->status});
    return 0;
  }
  uint32_t n_ok = 0;
  const uint32_t n = behaviour == "short" && b->n > 1 ? 1 : b->n;
  for (uint32_t i = 0; i < n && behaviour != "unset"; i++) {
    b->status[i] = One(c, ItemOf(b, i), op, b->value_lens != nullptr ? &b->value_lens[i] : nullptr);
    n_ok += b->status[i] == SIXCALL_STATUS_HIT;
  }
  c->Publish(b->ticket, op, n_ok, 0);
  return 0;
}

[[maybe_unused]] int32_t Get(sixcall_conn* c, const sixcall_batch* b) { return Submit(c, b, SIXCALL_OP_GET, "get"); }
int32_t Set(sixcall_conn* c, const sixcall_batch* b) { return Submit(c, b, SIXCALL_OP_SET, "set"); }
int32_t Exists(sixcall_conn* c, const sixcall_batch* b) { return Submit(c, b, SIXCALL_OP_EXISTS, "exists"); }
int32_t Delete(sixcall_conn* c, const sixcall_batch* b) { return Submit(c, b, SIXCALL_OP_DELETE, "delete"); }
int32_t Ping(sixcall_conn* c, const sixcall_batch* b) { return Submit(c, b, SIXCALL_OP_PING, "ping"); }

int32_t Drain(sixcall_conn* c, sixcall_completion* out, uint32_t cap, uint32_t stride) {
  if (c->Enter("drain")) return SIXCALL_E_INTERNAL;
  if (c->settings.behaviour == "too_many") return static_cast<int32_t>(cap) + 1;
  if (c->settings.behaviour == "overrun") {
    memset(static_cast<void*>(out), 7, size_t{cap + 1} * stride);
    return static_cast<int32_t>(cap);
  }
  std::lock_guard<std::mutex> lock(c->mu);
  uint64_t drop;
  while (read(c->fd, &drop, sizeof(drop)) < 0 && errno == EINTR) {
  }
  uint32_t n = 0;
  for (; n < cap && !c->done.empty(); n++, c->done.pop_front()) {
    memcpy(reinterpret_cast<char*>(out) + size_t{n} * stride, &c->done.front(), sizeof(sixcall_completion));
  }
  if (!c->done.empty()) c->Raise();
  return static_cast<int32_t>(n);
}

int32_t Open(const sixcall_host* host, const sixcall_open_args* args, sixcall_conn** out, sixcall_err* err) {
  auto c = std::make_unique<sixcall_conn>();
  c->host = host;
  c->settings = faulty::Parse(args->config_json, args->config_len);
  if (c->Enter("open")) {
    if (err != nullptr) {
      static const char text[] = "connect to 192.0.2.1:7: refused on demand";
      err->code = SIXCALL_E_CONNECT;
      err->vendor_code = 111;
      err->len = sizeof(text) - 1;
      memcpy(err->msg, text, sizeof(text));
    }
    return SIXCALL_E_CONNECT;
  }
  c->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  for (uint64_t i = 0; i < c->settings.lines; i++) faulty::Log(host, SIXCALL_LOG_INFO, "line " + std::to_string(i));
  if (c->settings.call == "thread") {
    c->thread = std::thread([c = c.get()] {
      pthread_setname_np(pthread_self(), "sixcall:faulty");
      {
        std::unique_lock<std::mutex> lock(c->mu);
        c->wake.wait(lock, [c] { return c->begun || c->closing; });
        if (!c->begun) return;
      }
      faulty::Act(c->settings, c->host);
    });
  }
  *out = c.release();
  return 0;
}

int32_t EventFd(sixcall_conn* c) {
  if (c->Enter("event_fd")) return SIXCALL_E_INTERNAL;
  return c->settings.behaviour == "no_fd" ? 999 : c->fd;
}

int32_t Close(sixcall_conn* c, uint32_t) {
  if (c->Enter("close") || c->settings.behaviour == "busy") return SIXCALL_E_BUSY;
  {
    std::lock_guard<std::mutex> lock(c->mu);
    c->closing = true;
    c->wake.notify_all();
    if (c->thread.joinable() && (c->settings.action == "hang" || c->settings.action == "spin") && c->begun) return SIXCALL_E_BUSY;
  }
  if (c->thread.joinable()) c->thread.join();
  close(c->fd);
  if (c->settings.behaviour == "late_log") faulty::Log(c->host, SIXCALL_LOG_ERROR, "logged after close");
  delete c;
  return 0;
}

int32_t Limits(sixcall_conn* c, sixcall_limits* out) {
  if (c->Enter("limits")) return SIXCALL_E_INTERNAL;
  out->max_batch = 4096;
  out->max_key_len = 1024;
  out->buf_align = 8;
  out->best_batch = 64;
  out->max_inflight = static_cast<uint32_t>(c->settings.queue);
  out->max_value_len = UINT64_C(1) << 32;
  return 0;
}

int32_t Cancel(sixcall_conn* c, uint64_t ticket) {
  if (c->Enter("cancel")) return SIXCALL_E_INTERNAL;
  std::lock_guard<std::mutex> lock(c->mu);
  for (auto it = c->held.begin(); it != c->held.end(); ++it) {
    if (it->ticket != ticket) continue;
    if (it->n > 0) memset(it->status, SIXCALL_STATUS_CANCELLED, it->n);
    c->Publish(ticket, it->op, 0, SIXCALL_E_CANCELLED);
    c->held.erase(it);
    return 0;
  }
  return SIXCALL_E_INVAL;
}

int32_t Register(sixcall_conn* c, const sixcall_memory* memory, uint64_t* handle, sixcall_err* err) {
  if (c->Enter("register")) {
    if (err != nullptr) err->len = static_cast<uint32_t>(snprintf(err->msg, sizeof(err->msg), "no more memory regions"));
    return SIXCALL_E_NOSPACE;
  }
  if (memory->kind != SIXCALL_MEMORY_FD || memory->fd < 0 || memory->len == 0) return SIXCALL_E_INVAL;
  *handle = 7;
  return 0;
}

int32_t Unregister(sixcall_conn* c, uint64_t handle) {
  if (c->Enter("unregister")) return SIXCALL_E_BUSY;
  return handle == 7 ? 0 : SIXCALL_E_INVAL;
}

int32_t Usage(sixcall_conn* c, sixcall_usage* out) {
  if (c->Enter("usage")) return SIXCALL_E_INTERNAL;
  std::lock_guard<std::mutex> lock(c->mu);
  out->keys = c->values.size();
  out->bytes_used = 0;
  for (const auto& value : c->values) out->bytes_used += value.second.size();
  return 0;
}

int32_t List(sixcall_conn* c, const sixcall_batch* b, sixcall_page* page) {
  if (c->Enter("list")) return SIXCALL_E_INTERNAL;
  std::lock_guard<std::mutex> lock(c->mu);
  if (c->accepted < c->settings.hold) {
    c->held.push_back({b->ticket, SIXCALL_OP_LIST, 0, nullptr});
    return 0;
  }
  uint64_t at = 0, skip = 0;
  if (page->cursor_len == sizeof(skip)) memcpy(&skip, page->cursor, sizeof(skip));
  page->n = 0, page->used = 0, page->flags = 0;
  int32_t rc = 0;
  auto it = c->values.begin();
  for (; it != c->values.end(); ++it, ++at) {
    if (at < skip) continue;
    const uint64_t whole = (16 + it->first.size() + 7) / 8 * 8;
    if (page->used + whole > page->cap) break;
    uint8_t* to = page->buf + page->used;
    memset(to, 0, whole);
    const uint64_t key_len = it->first.size(), value_len = it->second.size();  // key_len's high half is the reserved word
    memcpy(to, &key_len, 8);
    memcpy(to + 8, &value_len, 8);
    memcpy(to + 16, it->first.data(), it->first.size());
    page->used += whole;
    page->n++;
  }
  if (it == c->values.end()) page->flags = SIXCALL_PAGE_LAST;
  else if (page->n == 0) rc = SIXCALL_E_NOSPACE;
  memcpy(page->cursor, &at, sizeof(at));
  page->cursor_len = sizeof(at);
  c->Publish(b->ticket, SIXCALL_OP_LIST, 0, rc);
  return 0;
}

int64_t Stats(sixcall_conn* c, char* out, uint64_t cap) {
  if (c->Enter("stats")) return SIXCALL_E_INTERNAL;
  std::string text = "# TYPE faulty_calls counter\nfaulty_calls 1\n";
  if (c->settings.behaviour == "long_stats") {
    for (int i = 0; text.size() < 200000; i++) text += "faulty_series{n=\"" + std::to_string(i) + "\"} 1\n";
  }
  memcpy(out, text.data(), text.size() < cap ? text.size() : cap);
  return static_cast<int64_t>(text.size());
}

#ifndef FAULTY_ABI_MAJOR
#define FAULTY_ABI_MAJOR SIXCALL_ABI_MAJOR
#endif
#ifndef FAULTY_THREADS
#define FAULTY_THREADS SIXCALL_THREADS_PARALLEL
#endif
#ifndef FAULTY_GET_SLOT
#define FAULTY_GET_SLOT Get
#endif
#ifdef FAULTY_BARE
constexpr uint32_t kTableSize = SIXCALL_API_REQUIRED_SIZE;
constexpr uint64_t kCaps = 0;
#else
constexpr uint32_t kTableSize = sizeof(sixcall_api);
constexpr uint64_t kCaps = SIXCALL_CAP_DELETE | SIXCALL_CAP_LIMITS | SIXCALL_CAP_PING | SIXCALL_CAP_CANCEL | SIXCALL_CAP_REGISTER_MEMORY |
                           SIXCALL_CAP_USAGE | SIXCALL_CAP_LIST | SIXCALL_CAP_STATS_TEXT | SIXCALL_CAP_READ_YOUR_WRITES | SIXCALL_CAP_VALUE_LENS;
#endif

#ifdef FAULTY_BIG_SCHEMA
struct BigSchema {  // {"type":"object","description":"....."}, zero-initialised behind
  char text[100 << 10];
  constexpr BigSchema() : text() {
    const char head[] = "{\"type\":\"object\",\"description\":\"";
    size_t at = 0;
    for (; at < sizeof(head) - 1; at++) text[at] = head[at];
    for (; at < sizeof(text) - 3; at++) text[at] = 'x';
    text[at] = '"', text[at + 1] = '}';
  }
};
constexpr BigSchema big_schema;
#define FAULTY_SCHEMA big_schema.text
#else
#define FAULTY_SCHEMA R"({"type":"object","additionalProperties":false,"properties":{}})"
#endif

const sixcall_api table = {kTableSize, FAULTY_ABI_MAJOR, SIXCALL_ABI_MINOR, kCaps, 0, FAULTY_THREADS, 0,
                           "faulty", "1.0.0", "Sixcall tests", FAULTY_SCHEMA,
                           Open, EventFd, FAULTY_GET_SLOT, Set, Exists, Drain, Close,
                           Delete, Limits, Ping, Cancel, Register, Unregister, Usage, List, Stats, nullptr};

void AtLoad(const char* where) {
  if (std::string(FAULTY_AT) != where) return;
  faulty::Settings settings;
  settings.action = FAULTY_ACTION;
  faulty::Act(settings, nullptr);
}

__attribute__((constructor)) void Constructed() { AtLoad("constructor"); }

}  // namespace

SIXCALL_NOTE(kCaps, "Sixcall tests", "faulty", "1.0.0");

#ifndef FAULTY_NO_ENTRY
extern "C" SIXCALL_EXPORT const sixcall_api* sixcall_connector_entry_v1(const sixcall_host*) {
  AtLoad("entry");
#ifdef FAULTY_NULL_TABLE
  return nullptr;
#else
  return &table;
#endif
}
#endif
