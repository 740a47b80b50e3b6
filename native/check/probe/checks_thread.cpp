// SPDX-License-Identifier: Apache-2.0
//
// T: threads of the host and of the connector.
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>

#include "load.h"
#include "process.h"

namespace probe {
namespace {

/// Runs a function on a fresh thread with a stack of 256 KiB between inaccessible pages.
void OnSmallStack(const std::function<void()>& run) {
  // Below the stack lies more inaccessible room than any frame has, so that a large
  // frame cannot step over it.
  constexpr size_t kBytes = 256 << 10, kBelow = 16 << 20;
  static Guarded stack(kBelow + kBytes, Edge::kStart, "the memory below the calling thread's stack of 256 KiB", 4096);
  static const bool protected_once = mprotect(stack.data(), kBelow, PROT_NONE) == 0;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  if (!protected_once || pthread_attr_setstack(&attributes, stack.data() + kBelow, kBytes) != 0) ToolError("pthread_attr_setstack failed");
  pthread_t thread;
  const auto main = [](void* p) -> void* {
    CatchStackOverflow();
    (*static_cast<const std::function<void()>*>(p))();
    return nullptr;
  };
  if (pthread_create(&thread, &attributes, main, const_cast<std::function<void()>*>(&run)) != 0) ToolError("pthread_create failed");
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

/// One key through all calls, each by `call`, which runs it somewhere.
template <class Call>
void EachCall(const sixcall_api* api, int rounds, Call&& call) {
  std::unique_ptr<Session> s;
  call([&] { s = std::make_unique<Session>(api); });
  for (int i = 0; i < rounds; i++) {
    const std::string key = Key("call/%d", i), value = Content(key, 0, s->ValueLen(3000));
    std::vector<Spec> specs = {Spec::Set({key}, {value}), Spec::Get({key}, {value.size()}), Spec::Exists({key}), Spec::Get({key + "absent"}, {10})};
    if (HasCap(api, SIXCALL_CAP_DELETE)) specs.push_back(Spec::Delete({key}));
    for (const Spec& spec : specs) {
      uint64_t ticket = 0;
      call([&] { ticket = s->Submit(spec); });
      const Deadline end(PatienceMs());
      while (!s->Finished(ticket)) {
        if (s->Readable(100)) call([&] { s->Drain(64); });
        else if (end.passed()) Fail("ticket %llu has no completion", static_cast<unsigned long long>(ticket));
      }
      const Result r = s->Wait(ticket);
      const bool miss = spec.keys[0] != key;
      if (r.status[0] != (miss ? SIXCALL_STATUS_MISS : SIXCALL_STATUS_HIT)) Fail("%s has status %u, want %s", OpText(spec.op), r.status[0], miss ? "MISS" : "HIT");
      if (spec.op == SIXCALL_OP_GET && !miss && r.values[0] != value) Fail("GET returned other bytes than were stored");
    }
  }
  call([&] { s.reset(); });
}

}  // namespace

PROBE_CHECK(T01) {
  const sixcall_api* api = Load();
  const auto before = Threads();
  Session s(api);
  Exercise(s, "threads", 5);
  const uint64_t sync_signals = (1u << (SIGSEGV - 1)) | (1u << (SIGBUS - 1)) | (1u << (SIGFPE - 1)) | (1u << (SIGILL - 1)) | (1u << (SIGTRAP - 1)) |
                                (1u << (SIGABRT - 1)) | (1u << (SIGSYS - 1));
  int found = 0;
  // A thread that has just begun may not have its name yet.
  std::string unnamed;
  Until(1000, [&] {
    unnamed.clear();
    for (const auto& t : Threads()) {
      if (before.count(t.first) == 0 && t.second.name.compare(0, 8, "sixcall:") != 0) unnamed = t.second.name;
    }
    return unnamed.empty();
  });
  for (const auto& t : Threads()) {
    if (before.count(t.first) != 0) continue;
    found++;
    for (const int signo : {SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE, SIGALRM, SIGTERM, SIGCHLD, SIGURG, SIGVTALRM, SIGPROF, SIGWINCH, SIGIO}) {
      if ((t.second.blocked & (UINT64_C(1) << (signo - 1))) == 0) {
        Fail("the thread \"%s\" does not block signal %d: it can take signals that are for the host; block all asynchronous ones before pthread_create", t.second.name.c_str(), signo);
      }
    }
    if ((t.second.blocked & sync_signals) != 0) Fail("the thread \"%s\" blocks SIGSEGV or its kind: a crash in it cannot be reported", t.second.name.c_str());
  }
  if (!unnamed.empty()) Warn("a thread is named \"%s\", want \"sixcall:\" and the connector's name", unnamed.c_str());
  Figure("threads", found);
}

PROBE_CHECK(T02) {
  const sixcall_api* api = Load();
  const size_t base = Threads().size();
  Session s(api);
  LoadOptions load;
  load.ms = EffortMs() / 4;
  load.tag = "warm-up";
  RandomLoad(s, load);
  const size_t warm = Threads().size() - base;
  load.ms = EffortMs() / 2;
  load.tag = "more";
  load.window = 200;
  load.batches = 20000;
  RandomLoad(s, load);
  const size_t after = Threads().size() - base;
  Figure("threads", static_cast<double>(after));
  if (after > warm + 4) Fail("%zu threads after warm-up, %zu after more load: they grow with the load", warm, after);
  if (after > 128) Warn("one handle has %zu threads", after);
}

PROBE_CHECK(T03) {
  EachCall(Load(), 10, [](const std::function<void()>& f) { std::thread(f).join(); });
}

PROBE_CHECK(T04) {
  const sixcall_api* api = Load();
  Session s(api);
  std::mutex serial;  // what thread_model asks for
  const bool parallel = api->thread_model == SIXCALL_THREADS_PARALLEL;
  std::atomic<int> left{32};
  const uint64_t ms = EffortMs();
  std::atomic<uint64_t> refused{0};
  s.Forget();
  std::vector<std::thread> threads;
  for (int t = 0; t < 32; t++) {
    threads.emplace_back([&, t] {
      const Deadline end(ms);
      Random random(InNumber("seed", 1) + static_cast<uint64_t>(t));
      for (uint64_t i = 0; !end.passed() && i < 2000; i++) {
        const std::string key = Key("parallel/%d/%llu", t, static_cast<unsigned long long>(random.Below(5)));
        const Spec spec = random.Chance(2) ? Spec::Set({key}, {Content(key, 0, 300)}) : random.Chance(2) ? Spec::Get({key}, {300}) : Spec::Exists({key, key + "x"});
        int32_t rc;
        if (parallel) {
          rc = s.TrySubmit(spec);
        } else {
          std::lock_guard<std::mutex> lock(serial);
          rc = s.TrySubmit(spec);
        }
        if (rc == SIXCALL_E_AGAIN) {
          refused.fetch_add(1);
          SleepUs(200);
        } else if (rc != 0) {
          Fail("submit on one of 32 threads was refused with %s", CodeText(rc).c_str());
        }
      }
      left.fetch_sub(1);
    });
  }
  const Deadline end(ms + PatienceMs());
  while (left.load() > 0 || s.InFlight() > 0) {
    if (s.Readable(20)) {
      std::unique_lock<std::mutex> lock(serial, std::defer_lock);
      if (!parallel) lock.lock();
      s.Drain(64);
    } else if (end.passed()) {
      Fail("%zu tickets never completed with 32 submitting threads", s.InFlight());
    }
  }
  for (auto& t : threads) t.join();
  Figure("refused", static_cast<double>(refused.load()));
  // Each key has one value only, so what is there must be that.
  s.Forget(false);
  for (int t = 0; t < 32; t++) {
    for (int k = 0; k < 5; k++) {
      const std::string key = Key("parallel/%d/%d", t, k);
      std::string value;
      const uint8_t status = s.Get(key, 300, &value);
      if (status != SIXCALL_STATUS_MISS && (status != SIXCALL_STATUS_HIT || value != Content(key, 0, 300))) {
        Fail("after parallel load a key has status %u or the bytes of another key", status);
      }
    }
  }
}

PROBE_CHECK(T05) {
  EachCall(Load(), 3, [](const std::function<void()>& f) { OnSmallStack(f); });
}

PROBE_CHECK(T10) {
  // Go's runtime sends SIGURG to its threads all the time; some hosts use timers.
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  for (const int signo : {SIGURG, SIGALRM}) sigaction(signo, &action, nullptr);  // without SA_RESTART
  const sixcall_api* api = Load();
  Session s(api);
  std::atomic<bool> stop{false};
  std::thread storm([&] {
    const long self = syscall(SYS_gettid);
    while (!stop.load()) {
      for (const auto& t : Threads()) {
        if (t.first == self) continue;
        syscall(SYS_tgkill, getpid(), t.first, SIGURG);
        syscall(SYS_tgkill, getpid(), t.first, SIGALRM);
      }
      SleepUs(1000);
    }
  });
  LoadOptions load;
  load.ms = EffortMs();
  load.tag = "eintr";
  Figure("batches", static_cast<double>(RandomLoad(s, load)));
  stop.store(true);
  storm.join();
}

}  // namespace probe
