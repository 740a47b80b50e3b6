// SPDX-License-Identifier: Apache-2.0
//
// F: the event fd. A record that waits behind a silent fd is the classic hang: the
// host sleeps for ever. Silence is believed after a second only, so that a machine
// under load does not look like a bug.
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "session.h"

namespace probe {
namespace {

constexpr int kSilentMs = 1000;

/// Submitter and drainer on two threads over plain memory, in bursts with random
/// pauses. `ready(ms)` waits for the fd.
class Race {
 public:
  explicit Race(Session& s) : s_(s) {}

  /// Runs for ms milliseconds, at most `most` batches; fails on a lost wake-up.
  template <class Ready>
  uint64_t Run(uint64_t ms, uint64_t most, bool drain_to_empty, Ready&& ready) {
    std::thread submitter([&] { Submit(ms, most); });
    sixcall_completion records[64];
    Random random(InNumber("seed", 1) + 99);
    const Deadline patience(ms + PatienceMs());
    while (!(ended_.load() && drained_.load() == submitted_.load())) {
      bool readable = ready(50);
      if (!readable && drained_.load() == submitted_.load()) continue;  // nothing is owed
      if (!readable) readable = ready(kSilentMs);  // an edge comes once: it counts here too
      if (!readable) {
        const int32_t n = s_.api()->drain_completions(s_.conn(), records, 64, sizeof(records[0]));
        for (int32_t i = 0; i < n; i++) {
          const bool old = records[i].done_ns != 0 && records[i].done_ns + uint64_t{kSilentMs} * 900000 < NowNs();
          if (old || (records[i].done_ns == 0 && ++suspicions_ >= 3)) {
            Fail("ticket %llu was done, but the event fd was silent for %d ms after %llu batches: a lost wake-up",
                 static_cast<unsigned long long>(records[i].ticket), kSilentMs, static_cast<unsigned long long>(drained_.load()));
          }
          Ended(records[i]);
        }
        if (n <= 0 && patience.passed()) Fail("%llu tickets never completed", static_cast<unsigned long long>(submitted_.load() - drained_.load()));
        continue;
      }
      if (random.Chance(3)) Spin(random.Below(30));
      const auto cap = static_cast<uint32_t>(drain_to_empty ? 64 : random.Between(1, 8));
      for (;;) {
        const int32_t n = s_.api()->drain_completions(s_.conn(), records, cap, sizeof(records[0]));
        if (n < 0) Fail("drain_completions returned %s", CodeText(n).c_str());
        for (int32_t i = 0; i < n; i++) Ended(records[i]);
        if (!drain_to_empty || n < static_cast<int32_t>(cap)) break;
      }
    }
    submitter.join();
    return drained_.load();
  }

 private:
  static constexpr uint32_t kSlots = 8;

  static void Spin(uint64_t us) {
    const uint64_t end = NowNs() + us * 1000;
    while (NowNs() < end) {
    }
  }

  void Ended(const sixcall_completion& done) {
    if (done.ticket >= kSlots || !busy_[done.ticket].exchange(false)) {
      Fail("a completion for ticket %llu, which is not in flight", static_cast<unsigned long long>(done.ticket));
    }
    drained_.fetch_add(1);
  }

  void Submit(uint64_t ms, uint64_t most) {
    Random random;
    const std::string key = Key("race");
    sixcall_item item = {};
    item.key = reinterpret_cast<const uint8_t*>(key.data());
    item.key_len = static_cast<uint32_t>(key.size());
    static uint8_t status[kSlots];
    sixcall_batch batch = {};
    batch.struct_size = sizeof(batch);
    batch.n = 1;
    batch.item_stride = sizeof(item);
    batch.items = &item;
    const Deadline end(ms);
    while (!end.passed() && submitted_.load() < most) {
      const uint64_t burst = random.Between(1, 4);
      for (uint64_t i = 0; i < burst; i++) {
        uint32_t slot = 0;
        while (slot < kSlots && busy_[slot].load()) slot++;
        if (slot == kSlots) break;
        busy_[slot].store(true);
        status[slot] = SIXCALL_STATUS_UNSET;
        batch.ticket = slot;
        batch.status = &status[slot];
        submitted_.fetch_add(1);
        const int32_t rc = s_.api()->submit_batch_exists(s_.conn(), &batch);
        if (rc != 0) Fail("submit of one key with %u in flight was refused with %s", slot, CodeText(rc).c_str());
        if (random.Chance(3)) Spin(random.Below(20));
      }
      // Everything ends before the next burst, so that no later signal hides a lost one.
      const Deadline wait(PatienceMs() + 5000);
      for (uint32_t spins = 0; drained_.load() != submitted_.load(); spins++) {
        if (spins > 200) SleepUs(50);
        if (wait.passed()) return ended_.store(true);
      }
      if (random.Chance(8)) Spin(random.Below(60));
    }
    ended_.store(true);
  }

  Session& s_;
  std::atomic<bool> busy_[kSlots] = {};
  std::atomic<uint64_t> submitted_{0}, drained_{0};
  std::atomic<bool> ended_{false};
  int suspicions_ = 0;
};

}  // namespace

PROBE_CHECK(F01) {
  const sixcall_api* api = Load();
  Session s(api);
  const int descriptor = fcntl(s.fd(), F_GETFD), status = fcntl(s.fd(), F_GETFL);
  if (descriptor < 0 || status < 0) Fail("event_fd returned %d, which is no open file: %s", s.fd(), strerror(errno));
  if ((descriptor & FD_CLOEXEC) == 0) Fail("the event fd is not close-on-exec: programs that the host starts inherit it");
  if ((status & O_NONBLOCK) == 0) Fail("the event fd is not non-blocking: a host that reads it can hang");
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event = {};
  event.events = EPOLLIN;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, s.fd(), &event) != 0) Fail("the event fd cannot be polled with epoll: %s", strerror(errno));
  close(epoll);
  for (int i = 0; i < 3; i++) {
    Exercise(s, "flags");
    const int again = api->event_fd(s.conn());
    if (again != s.fd()) Fail("event_fd returned %d, then %d", s.fd(), again);
  }
}

PROBE_CHECK(F02) {
  Session s(Load());
  const auto idle = [&](const char* when) {
    s.Drain(64);  // one spurious wake-up is allowed
    const uint64_t cpu = CpuNs(), start = NowNs();
    int wakeups = 0;
    for (const Deadline end(700); !end.passed();) {
      if (s.Readable(end.left_ms())) {
        wakeups++;
        if (s.Drain(64) == 0 && wakeups > 2) Fail("the event fd is readable %s, and stays so after drains that return 0", when);
      }
    }
    return static_cast<double>(CpuNs() - cpu) / static_cast<double>(NowNs() - start) * 100;
  };
  double percent = idle("after open, with nothing in flight");
  Exercise(s, "idle");
  percent = std::max(percent, idle("with nothing in flight"));
  Figure("idle_cpu_percent", percent);
  if (percent > 10) Fail("%.0f %% of a CPU are used with nothing in flight: a thread polls instead of sleeping", percent);
  if (percent > 1) Warn("%.1f %% of a CPU are used with nothing in flight, want less than 1", percent);
}

PROBE_CHECK(F03) {
  Session s(Load());
  int suspicions = 0;
  for (int round = 0; round < 10; round++) {
    const uint32_t n = s.limits().max_inflight != 0 && s.limits().max_inflight < 12 ? s.limits().max_inflight : 12;
    for (uint32_t i = 0; i < n; i++) s.Submit(Spec::Exists({Key("level/%u", i)}));
    const Deadline end(PatienceMs());
    while (s.InFlight() > 0) {
      if (s.Readable(50)) {
        s.Drain(1);
        continue;
      }
      if (s.Readable(kSilentMs)) continue;
      // Silent for a second with tickets in flight: is one of them done?
      const size_t before = s.InFlight();
      s.Drain(1);
      if (s.InFlight() < before && ++suspicions >= 2) Fail("after a drain that took one record the event fd is silent, although more are waiting");
      if (end.passed()) Fail("%zu tickets never completed", s.InFlight());
    }
  }
}

PROBE_CHECK(F04) {
  Session s(Load());
  Race race(s);
  const uint64_t n = race.Run(EffortMs() * 2, 1000000, false, [&](int ms) { return s.Readable(ms); });
  Figure("batches", static_cast<double>(n));
}

PROBE_CHECK(F05) {
  const sixcall_api* api = Load();
  {
    Session s(api);
    const int dup_fd = fcntl(s.fd(), F_DUPFD_CLOEXEC, 0), epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_event event = {};
    event.events = EPOLLIN | EPOLLET;
    if (dup_fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, dup_fd, &event) != 0) Fail("a dup of the event fd cannot be polled edge-triggered: %s", strerror(errno));
    Race race(s);
    const uint64_t n = race.Run(EffortMs(), 500000, true, [&](int ms) {
      epoll_event got;
      return epoll_wait(epoll, &got, 1, ms) > 0;
    });
    Figure("batches_edge", static_cast<double>(n));
    close(epoll);
    close(dup_fd);
  }
  Session s(api);
  const int dup_fd = fcntl(s.fd(), F_DUPFD_CLOEXEC, 0);
  Race race(s);
  const uint64_t n = race.Run(EffortMs(), 500000, true, [&](int ms) {
    pollfd ready = {dup_fd, POLLIN, 0};
    return poll(&ready, 1, ms) > 0;
  });
  Figure("batches_dup", static_cast<double>(n));
  close(dup_fd);
}

PROBE_CHECK(F06) {
  Session s(Load());
  // Everything above runs with a host that never reads the fd. This one reads it
  // once for each wake-up, as hosts with eventfds of their own do.
  for (int i = 0; i < 200; i++) {
    const uint32_t burst = 1 + static_cast<uint32_t>(i) % 3;
    for (uint32_t k = 0; k < burst; k++) s.Submit(Spec::Exists({Key("read/%u", k)}));
    while (s.InFlight() > 0) {
      if (s.Readable(100)) {
        uint64_t drop;
        const ssize_t n = read(s.fd(), &drop, sizeof(drop));
        static_cast<void>(n);
        while (s.Drain(64) > 0) {
        }
      } else if (s.Readable(kSilentMs)) {
        continue;
      } else if (s.Drain(64) > 0) {
        Warn("after the host read the event fd once, a record waited behind a silent fd; hosts must only poll it");
        return;
      } else {
        // Silent, and a drain finds nothing. Does another batch shake it loose?
        s.Submit(Spec::Exists({Key("read/again")}));
        if (!Until(PatienceMs(), [&] {
              if (s.Readable(20)) s.Drain(64);
              return s.InFlight() == 0;
            })) {
          Fail("%zu tickets never completed after the host read the event fd", s.InFlight());
        }
        Warn("after the host read the event fd once, drains returned nothing until another batch ended; hosts must only poll it");
        return;
      }
    }
  }
}

}  // namespace probe
