// SPDX-License-Identifier: Apache-2.0
//
// X: close and lifecycle.
#include <dlfcn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "load.h"
#include "process.h"

namespace probe {
namespace {

OpenOptions Stalled() {
  OpenOptions options;
  options.config = In("params_stall");
  return options;
}

/// n batches of some keys, to be in flight when the handle is closed.
std::vector<Spec> Pending(const Session& s, uint32_t n, uint64_t len) {
  std::vector<Spec> specs;
  for (uint32_t i = 0; i < n; i++) {
    std::vector<std::string> keys, values;
    for (uint32_t k = 0; k < s.Batch(8); k++) {
      keys.push_back(Key("pending/%u/%u", i % 10, k));
      values.push_back(std::string(s.ValueLen(len), static_cast<char>('a' + i % 26)));
    }
    specs.push_back(i % 2 == 0 ? Spec::Set(keys, values) : Spec::Get(keys, std::vector<uint64_t>(keys.size(), s.ValueLen(len))));
  }
  return specs;
}

}  // namespace

PROBE_CHECK(X01) {
  const sixcall_api* api = Load();
  {
    Session first(api);  // what stays for the life of the process is there now
    Exercise(first, "first");
  }
  Until(500, [] { return Threads().size() == 1; });
  const auto threads = Threads();
  const auto fds = Descriptors();
  uint64_t fastest = UINT64_MAX;
  for (int i = 0; i < 3; i++) {
    Session s(api);
    Exercise(s, "close");
    const uint64_t before = NowMs();
    const int32_t rc = s.Close(5000);
    fastest = std::min(fastest, NowMs() - before);
    if (rc != 0) Fail("close of an idle handle returned %s, want 0", CodeText(rc).c_str());
  }
  Figure("close_ms", static_cast<double>(fastest));
  if (fastest > 1000) Fail("close of an idle handle took %llu ms at best, want less than 1000", static_cast<unsigned long long>(fastest));
  const std::string left = LeftBehind(threads, fds, 2000);
  if (!left.empty()) Leak("close returned 0 and left %s", left.c_str());
}

PROBE_CHECK(X02) {
  const sixcall_api* api = Load();
  const Deadline end(EffortMs() * 2);
  int busy = 0;
  for (int round = 0; round < 30 && !end.passed(); round++) {
    const bool stalled = round % 3 == 2 && Has("params_stall");
    Session s(api, stalled ? Stalled() : OpenOptions());
    const uint32_t n = s.limits().max_inflight != 0 ? std::min(s.limits().max_inflight, 100u) : 100;
    s.SubmitAll(Pending(s, n, 20000));
    if (s.Close(2000) != 0) busy++;  // all memory is inaccessible now, unless it is BUSY
    SleepUs(20000);
  }
  SleepUs(100000);
  if (busy > 0) Note("close returned BUSY %d times", busy);
}

PROBE_CHECK(X03) {
  const sixcall_api* api = Load();
  if (!Has("params_stall")) Skip("needs --stall-params, a configuration with which operations take a minute");
  uint64_t fastest = UINT64_MAX;
  for (int i = 0; i < 3 && fastest > 1500; i++) {  // the best of three counts
    Session s(api, Stalled());
    for (int k = 0; k < 20; k++) s.TrySubmit(Spec::Get({Key("hung/%d", k)}, {100}));
    SleepUs(20000);
    const uint64_t before = NowMs();
    s.Close(500);
    fastest = std::min(fastest, NowMs() - before);
  }
  Figure("close_ms", static_cast<double>(fastest));
  if (fastest > 1500) Fail("close with a grace of 500 ms and a backend that does not answer took %llu ms, want at most 1500", static_cast<unsigned long long>(fastest));
}

PROBE_CHECK(X04) {
  const sixcall_api* api = Load();
  {
    Session idle(api);
    Exercise(idle, "honest");
    if (idle.Close(5000) != 0) Fail("close returned BUSY with nothing in flight: nothing can be stuck");
  }
  std::vector<bool> kinds = {false};
  if (Has("params_stall")) kinds.push_back(true);
  for (const bool stalled : kinds) {
    Session s(api, stalled ? Stalled() : OpenOptions());
    const uint32_t n = s.limits().max_inflight != 0 ? std::min(s.limits().max_inflight, 200u) : 200;
    s.SubmitAll(Pending(s, n, 50000));
    if (s.Close(stalled ? 200 : 5000) != 0) Note("close returned BUSY with %s", stalled ? "a stalled backend" : "work in flight");
  }
  SleepUs(10000000);  // a late touch faults
}

PROBE_CHECK(X05) {
  const sixcall_api* api = Load();
  const Deadline end(EffortMs() * 2);
  uint64_t n = 0;
  for (; n < 10000 && !end.passed(); n++) {
    Session s(api);
    const uint32_t tickets = 1 + static_cast<uint32_t>(n % 4);
    for (uint32_t i = 0; i < tickets; i++) s.Submit(Spec::Exists({Key("race")}));
    std::thread drainer([&] { s.WaitAll(); });
    drainer.join();  // the drain that took the last record has just returned
    if (s.Close(5000) != 0) Fail("close returned BUSY with nothing in flight");
  }
  Figure("closes", static_cast<double>(n));
}

PROBE_CHECK(X06) {
  const sixcall_api* api = Load();
  const Deadline end(EffortMs() * 4);
  uint32_t done = 0, from = 0;
  uint64_t heap = 0, rss = 0;
  std::map<int, Thread> threads;
  std::map<int, Descriptor> fds;
  for (; done < 1000 && !end.passed(); done++) {
    if (done == 100 || (done == 20 && end.left_ms() < static_cast<int>(EffortMs() * 2))) {  // after warm-up
      from = done;
      heap = HeapBytes();
      rss = RssBytes();
      threads = Threads();
      fds = Descriptors();
    }
    Session s(api);
    Exercise(s, "cycle");
    if (s.Close(5000) != 0) Fail("close returned BUSY with nothing in flight");
  }
  if (from == 0) {
    Note("only %u cycles in the time that was given", done);
    return;
  }
  const double cycles = done - from;
  const std::string left = LeftBehind(threads, fds, 2000);
  if (!left.empty()) Leak("%.0f cycles of open and close left %s", cycles, left.c_str());
  const double heap_each = (static_cast<double>(HeapBytes()) - static_cast<double>(heap)) / cycles;
  const double rss_each = (static_cast<double>(RssBytes()) - static_cast<double>(rss)) / cycles;
  Figure("cycles", done);
  Figure("heap_bytes_per_cycle", heap_each);
  Figure("rss_bytes_per_cycle", rss_each);
  // What the probe itself keeps of a connection is below 500 bytes of heap.
  if (heap_each > 1500 && heap_each * cycles > 128 << 10) Leak("each cycle of open, work and close leaves %.0f bytes of heap", heap_each);
  if (rss_each > 9000 && rss_each * cycles > 4 << 20) Leak("each cycle of open, work and close grows the process by %.0f bytes", rss_each);
}

PROBE_CHECK(X07) {
  const sixcall_api* api = Load();
  const bool persistent = HasCap(api, SIXCALL_CAP_PERSISTENT);
  std::vector<std::string> keys, values;
  std::vector<uint64_t> lens;
  {
    Session s(api);
    for (uint32_t i = 0; i < std::min(50u, s.Batch(50)); i++) {
      keys.push_back(Key("reopen/%u", i));
      values.push_back(Content(keys.back(), 4, s.ValueLen(1 + i * 131)));
      lens.push_back(values.back().size());
    }
    if (s.Run(Spec::Set(keys, values)).n_ok != keys.size()) Fail("SET of %zu keys did not store all of them", keys.size());
  }
  Session s(api);
  const Result r = s.Run(Spec::Get(keys, lens));
  for (size_t i = 0; i < keys.size(); i++) {
    if (r.status[i] == SIXCALL_STATUS_HIT && r.values[i] != values[i]) Fail("after close and open, key %zu has other bytes than were stored", i);
    if (persistent && r.status[i] != SIXCALL_STATUS_HIT) Fail("after close and open, key %zu has status %u, although the library declares PERSISTENT", i, r.status[i]);
    if (r.status[i] > 1) Fail("after close and open, GET of key %zu has status %u", i, r.status[i]);
  }
  if (!persistent) Note("values end with the handle or the backend; PERSISTENT is not declared");
  Exercise(s, "after reopen");
}

PROBE_CHECK(X08) {
  // Before anything is loaded, so that the children are whole processes.
  for (const int how : {0, 1, 2}) {
    const pid_t child = fork();
    if (child < 0) ToolError("fork failed");
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      const sixcall_api* api = Load();
      auto* open = new Session(api);
      Exercise(*open, "exit");
      if (how == 1) {
        Session other(api);  // closed, while the other is not
        Exercise(other, "exit");
      }
      if (how == 2) {
        for (int i = 0; i < 20; i++) open->TrySubmit(Spec::Exists({Key("exit")}));
      }
      using Exit = void (*)(int);
      const auto real = reinterpret_cast<Exit>(dlsym(RTLD_NEXT, "exit"));
      if (real == nullptr) ToolError("libc has no exit");
      At("exit handlers and destructors at the end of the process");
      real(77);
    }
    int status = 0;
    bool ended = false;
    const Deadline end(PatienceMs() / 2);
    while (!ended && !end.passed()) {
      ended = waitpid(child, &status, WNOHANG) == child;
      if (!ended) SleepUs(1000);
    }
    static const char* const kinds[] = {"an open handle", "one handle open and one closed", "batches in flight"};
    if (!ended) {
      kill(child, SIGKILL);
      waitpid(child, &status, 0);
      Fail("a process that ends with %s hangs in exit", kinds[how]);
    }
    if (WIFSIGNALED(status)) Fail("a process that ends with %s dies of signal %d in exit", kinds[how], WTERMSIG(status));
    if (WEXITSTATUS(status) != 77) {
      if (WEXITSTATUS(status) == 0) Quit(0);  // the child has given a verdict
      Fail("a process that ends with %s has exit status %d, want the one it gave", kinds[how], WEXITSTATUS(status));
    }
  }
}

PROBE_CHECK(X09) {
  const sixcall_api* api = Load();
  const auto must_close = [](Session& s, const char* when) {
    const int32_t rc = s.Close(5000);
    if (rc != 0) Fail("close %s returned %s, want 0", when, CodeText(rc).c_str());
  };
  for (int i = 0; i < 5; i++) {
    Session s(api);
    must_close(s, "right after open");
  }
  {
    Session s(api);
    s.Drain(64);
    must_close(s, "after a drain that found nothing");
  }
  {
    Session s(api);
    sixcall_batch bad = {};
    bad.struct_size = sizeof(bad);
    api->submit_batch_get(s.conn(), &bad);
    must_close(s, "after a refused batch");
  }
  {
    Session s(api);
    const uint64_t ticket = s.Submit(Spec::Exists({Key("undrained")}));
    static_cast<void>(ticket);
    if (!s.Readable(static_cast<int>(PatienceMs()))) Fail("the event fd is silent, although a ticket must have ended");
    must_close(s, "with a completion that nobody drained");
  }
  if (HasCap(api, SIXCALL_CAP_REGISTER_MEMORY)) {
    Session s(api);
    sixcall_memory memory = {};
    memory.struct_size = sizeof(memory);
    memory.fd = -1;
    uint64_t handle = 0;
    sixcall_err err = {};
    err.struct_size = sizeof(err);
    if (api->register_memory(s.conn(), &memory, &handle, &err) == 0) Warn("register_memory accepted 0 bytes at NULL");
    must_close(s, "after a failed register_memory");
  }
  if (HasCap(api, SIXCALL_CAP_CANCEL)) {
    Session s(api);
    api->cancel(s.conn(), 12345);
    must_close(s, "after a cancel of an unknown ticket");
  }
  {
    Session s(api);
    Exercise(s, "grace 0");
    const int32_t rc = s.Close(0);
    if (rc != 0) Fail("close with a grace of 0 ms and nothing in flight returned %s, want 0", CodeText(rc).c_str());
  }
}

}  // namespace probe
