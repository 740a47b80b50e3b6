// SPDX-License-Identifier: Apache-2.0
//
// R: calls of the library fail, by the preloaded library.
#include <dlfcn.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>

#include "../inject/inject.h"
#include "load.h"
#include "process.h"
#include "tolerant.h"

namespace probe {
namespace {

sixcall_inject_fn Inject() {
  void* symbol = dlsym(RTLD_DEFAULT, SIXCALL_INJECT_SYMBOL);
  if (symbol == nullptr) ToolError("libsixcall-inject.so is not preloaded");
  sixcall_inject_fn inject;
  memcpy(&inject, &symbol, sizeof(inject));
  return inject;
}

void OneCpu() {
  cpu_set_t allowed, one;
  CPU_ZERO(&one);
  sched_getaffinity(0, sizeof(allowed), &allowed);
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    CPU_SET(cpu, &one);
    break;
  }
  sched_setaffinity(0, sizeof(one), &one);
}

/// Opens while calls fail: NULL is an answer, a crash is not.
std::unique_ptr<Session> OpenSomehow(const sixcall_api* api, OpenError* error) {
  OpenOptions options;
  options.timeout_ms = 3000;
  return Session::TryOpen(api, options, error);
}

}  // namespace

void PrepareSchedule() {
  if (InNumber("one_cpu", 0) != 0) OneCpu();
  const uint64_t seed = InNumber("sched_seed", 0);
  if (seed != 0) Inject()(SIXCALL_INJECT_SCHED, nullptr, 0, seed, 0);
}

PROBE_CHECK(R06) {
  const sixcall_inject_fn inject = Inject();
  const sixcall_api* api = Load();
  { Session warm(api); Exercise(warm, "warm"); }
  static const struct {
    const char* name;
    std::vector<int> errors;  // 0 = a short result
  } calls[] = {
      {"open", {EMFILE, ENOSPC, EIO, EACCES}}, {"read", {EIO, EINTR, 0}},         {"pread", {EIO, EINTR, 0}},       {"pread64", {EIO, EINTR, 0}},
      {"write", {EIO, ENOSPC, EINTR, 0}},      {"pwrite", {EIO, ENOSPC, EINTR, 0}}, {"pwrite64", {EIO, ENOSPC, EINTR, 0}}, {"writev", {EIO, ENOSPC}},
      {"readv", {EIO}},                        {"fsync", {EIO}},                  {"fdatasync", {EIO}},             {"ftruncate", {ENOSPC}},
      {"fallocate", {ENOSPC, EOPNOTSUPP}},     {"rename", {EIO, ENOSPC}},         {"renameat", {EIO}},              {"linkat", {EIO, ENOSPC}},
      {"mkdir", {ENOSPC}},                     {"unlink", {EIO}},                 {"fstat", {EIO}},                 {"send", {EPIPE, ECONNRESET, EINTR, 0}},
      {"recv", {ECONNRESET, EINTR, 0}},        {"sendmsg", {EPIPE, EINTR}},       {"recvmsg", {ECONNRESET, EINTR}}, {"connect", {ECONNREFUSED, ENETUNREACH}},
      {"socket", {EMFILE, ENOBUFS}},           {"eventfd", {EMFILE}},             {"epoll_create1", {EMFILE}},
  };
  uint64_t hits = 0;
  int kinds = 0;
  const Deadline end(EffortMs() * 6);
  Random random;
  for (const auto& call : calls) {
    for (const int error : call.errors) {
      if (end.passed()) break;
      const std::string what = Format("%s that %s", call.name, error == 0 ? "transfers one byte" : strerror(error));
      Phase("with %s", what.c_str());
      uint64_t here = 0, seen = 0;
      inject(SIXCALL_INJECT_ARM, call.name, error, 1, 1);
      OpenError failed;
      auto s = OpenSomehow(api, &failed);
      seen += inject(SIXCALL_INJECT_DISARM, nullptr, 0, 0, 0);
      here += inject(SIXCALL_INJECT_HITS, nullptr, 0, 0, 0);
      if (s == nullptr) {
        if (here == 0) Fail("open fails without a fault: %s", failed.text.c_str());
        s = std::make_unique<Session>(api);
      }
      TolerantOptions options;
      options.during = what.c_str();
      options.tag = "errno";
      Tolerant load(*s, options);
      for (int i = 0; i < 8; i++) {
        inject(SIXCALL_INJECT_ARM, call.name, error, random.Between(1, 6), random.Between(1, 3));
        load.Round();
        seen += inject(SIXCALL_INJECT_DISARM, nullptr, 0, 0, 0);
        here += inject(SIXCALL_INJECT_HITS, nullptr, 0, 0, 0);
        if (i == 1 && seen == 0) break;  // the library does not make this call
      }
      if (seen != 0) MustRecover(*s, what.c_str());
      if (s->Close(5000) != 0) Warn("close returned BUSY after %s", what.c_str());
      s.reset();
      hits += here;
      kinds += here != 0;
      if (seen == 0) break;
    }
  }
  Figure("faults", static_cast<double>(hits));
  Figure("kinds", kinds);
  if (hits == 0) Note("the library makes none of these calls through libc");
}

PROBE_CHECK(R07) {
  const sixcall_inject_fn inject = Inject();
  const sixcall_api* api = Load();
  { Session warm(api); Exercise(warm, "warm"); }
  uint64_t hits = 0, most = 0;
  const Deadline end(EffortMs() * 6);
  for (uint64_t k = 1; k < 5000 && !end.passed(); k += k < 60 ? 1 : k / 20) {
    Phase("allocation %llu fails", static_cast<unsigned long long>(k));
    inject(SIXCALL_INJECT_ARM, "alloc", ENOMEM, k, 1);
    OpenError error;
    auto s = OpenSomehow(api, &error);
    if (s == nullptr && inject(SIXCALL_INJECT_HITS, nullptr, 0, 0, 0) == 0) Fail("open fails without a fault: %s", error.text.c_str());
    if (s != nullptr) {
      TolerantOptions options;
      options.during = "a failed allocation";
      options.tag = "oom";
      options.window = 3;
      Tolerant load(*s, options);
      load.Round();
      inject(SIXCALL_INJECT_DISARM, nullptr, 0, 0, 0);
      MustRecover(*s, "a failed allocation");
      inject(SIXCALL_INJECT_ARM, "alloc", ENOMEM, k, 1);  // once more, for close
      s->Close(5000);
    }
    s.reset();
    const uint64_t seen = inject(SIXCALL_INJECT_DISARM, nullptr, 0, 0, 0);
    hits += inject(SIXCALL_INJECT_HITS, nullptr, 0, 0, 0);
    most = std::max(most, seen);
    if (k > 60 && hits == 0) break;
  }
  Figure("faults", static_cast<double>(hits));
}

PROBE_CHECK(T12) {
  // No allocation works for a while: what is thrown then must not leave the library.
  const sixcall_inject_fn inject = Inject();
  const sixcall_api* api = Load();
  for (int round = 0; round < 10; round++) {
    Session s(api);
    Exercise(s, "before");
    TolerantOptions options;
    options.during = "failing allocations";
    options.tag = "throw";
    Tolerant load(s, options);
    Phase("no allocation succeeds");
    inject(SIXCALL_INJECT_ARM, "alloc", ENOMEM, 1 + static_cast<uint64_t>(round) * 3, 0);
    for (int i = 0; i < 5; i++) load.Round();
    OpenError error;
    auto second = OpenSomehow(api, &error);
    if (PROBE_SLOT(api, stats_text) != nullptr && HasCap(api, SIXCALL_CAP_STATS_TEXT)) {
      char text[64];
      api->stats_text(s.conn(), text, sizeof(text));
    }
    inject(SIXCALL_INJECT_DISARM, nullptr, 0, 0, 0);
    MustRecover(s, "failing allocations");
  }
}

PROBE_CHECK(R08) {
  const sixcall_inject_fn inject = Inject();
  const sixcall_api* api = Load();
  { Session warm(api); Exercise(warm, "warm"); }
  Until(500, [] { return Threads().size() == 1; });
  const auto threads = Threads();
  const auto fds = Descriptors();
  uint64_t hits = 0;
  for (const char* name : {"thread", "eventfd", "epoll_create1", "socket"}) {
    for (uint64_t k = 1; k < 300; k++) {
      Phase("call %llu of %s fails", static_cast<unsigned long long>(k), name);
      inject(SIXCALL_INJECT_ARM, name, strcmp(name, "thread") == 0 ? EAGAIN : EMFILE, k, 1);
      OpenError error;
      auto s = OpenSomehow(api, &error);
      inject(SIXCALL_INJECT_DISARM, nullptr, 0, 0, 0);
      const uint64_t hit = inject(SIXCALL_INJECT_HITS, nullptr, 0, 0, 0);
      hits += hit;
      if (s == nullptr && hit == 0) Fail("open fails without a fault: %s", error.text.c_str());
      if (s == nullptr && !error.violation.empty()) Fail("open whose call of %s failed: %s", name, error.violation.c_str());
      if (s != nullptr) {
        MustRecover(*s, "an open in which a call failed");
        s->Close(5000);
      }
      s.reset();
      const std::string left = LeftBehind(threads, fds, 2000);
      if (!left.empty()) Leak("an open whose call %llu of %s failed left %s", static_cast<unsigned long long>(k), name, left.c_str());
      if (hit == 0) break;
    }
  }
  Figure("faults", static_cast<double>(hits));
}

PROBE_CHECK(R09) {
  const sixcall_inject_fn inject = Inject();
  Session s(Load());
  std::atomic<bool> stop{false};
  std::thread clock([&] {
    Random random;
    while (!stop.load()) {
      const int64_t by = random.Chance(2) ? 3600 : -3600;
      inject(SIXCALL_INJECT_CLOCK, nullptr, 0, static_cast<uint64_t>(random.Chance(3) ? 0 : by), 0);
      SleepUs(500);
    }
  });
  LoadOptions load;
  load.ms = EffortMs();
  load.batches = 100000;
  load.tag = "clock";
  Figure("batches", static_cast<double>(RandomLoad(s, load)));
  stop.store(true);
  clock.join();
}

PROBE_CHECK(R10) {
  OneCpu();
  Session s(Load());
  LoadOptions load;
  load.ms = EffortMs() * 3;
  load.batches = 1000000;
  load.window = 512;
  load.keys = 20000;
  load.most_keys = 64;
  load.most_bytes = 300;
  load.tag = "flood";
  Figure("batches", static_cast<double>(RandomLoad(s, load)));
}

PROBE_CHECK(R11) {
  const sixcall_inject_fn inject = Inject();
  const sixcall_api* api = Load();
  Session s(api);
  const std::string key = Key("full"), value = Content(key, 0, s.ValueLen(20000));
  s.Set(key, value);
  uint64_t hits = 0;
  for (const char* name : {"write", "pwrite", "pwrite64", "writev", "fallocate", "ftruncate", "fsync", "open"}) {
    Phase("%s says that the disk is full", name);
    inject(SIXCALL_INJECT_ARM, name, ENOSPC, 1, 0);
    const std::string other = Key("full/%s", name);
    const Result r = s.Run(Spec::Set({other, other + "2"}, {value, value}));
    const uint64_t hit = inject(SIXCALL_INJECT_HITS, nullptr, 0, 0, 0);
    if (strcmp(name, "open") != 0) {  // reads open files too
      s.ExpectValue(key, value);
    }
    inject(SIXCALL_INJECT_DISARM, nullptr, 0, 0, 0);
    hits += hit;
    if (hit == 0) continue;
    for (int i = 0; i < 2; i++) {
      const std::string stored = i == 0 ? other : other + "2";
      if (r.status[static_cast<size_t>(i)] == SIXCALL_STATUS_HIT) {
        std::string got;
        const uint8_t status = s.Get(stored, value.size(), &got);
        if (status != SIXCALL_STATUS_HIT || got != value) Fail("a SET said HIT although %s failed with ENOSPC, and the value is not there (status %u)", name, status);
      } else if (r.status[static_cast<size_t>(i)] != SIXCALL_STATUS_REFUSED && r.status[static_cast<size_t>(i)] != SIXCALL_STATUS_ERROR) {
        Fail("a SET on a full disk has status %u, want REFUSED (6) or ERROR (2)", r.status[static_cast<size_t>(i)]);
      }
    }
    MustRecover(s, "a full disk");
  }
  Figure("faults", static_cast<double>(hits));
  if (hits == 0) Skip("the library writes no files through libc");
}

}  // namespace probe
