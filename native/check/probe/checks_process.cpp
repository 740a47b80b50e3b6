// SPDX-License-Identifier: Apache-2.0
//
// T: what a connector must leave alone in the process, and the log.
#include <fcntl.h>
#include <fenv.h>
#include <locale.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "load.h"
#include "process.h"

extern char** environ;

namespace probe {
namespace {

std::vector<struct sigaction> Actions() {
  std::vector<struct sigaction> actions(65);
  for (int signo = 1; signo <= 64; signo++) sigaction(signo, nullptr, &actions[static_cast<size_t>(signo)]);
  return actions;
}

void CompareActions(const std::vector<struct sigaction>& before, const char* when) {
  const auto now = Actions();
  for (size_t signo = 1; signo <= 64; signo++) {
    if (memcmp(&before[signo].sa_handler, &now[signo].sa_handler, sizeof(void*)) != 0) {
      Fail("the handler of signal %zu (%s) was changed %s", signo, strsignal(static_cast<int>(signo)), when);
    }
    if (((before[signo].sa_flags ^ now[signo].sa_flags) & (SA_ONSTACK | SA_RESTART | SA_SIGINFO | SA_NOCLDWAIT)) != 0) {
      Fail("the flags of the handler of signal %zu (%s) were changed %s", signo, strsignal(static_cast<int>(signo)), when);
    }
  }
}

/// Everything about the process that others rely on, as text by name.
std::map<std::string, std::string> Globals() {
  std::map<std::string, std::string> g;
  char cwd[4096];
  g["working folder"] = getcwd(cwd, sizeof(cwd)) != nullptr ? cwd : "?";
  const mode_t mask = umask(0);
  umask(mask);
  g["umask"] = Format("%o", mask);
  std::string env;
  for (char** e = environ; e != nullptr && *e != nullptr; e++) env += std::string(*e) + "\n";
  g["environment"] = env;
  const char* locale = setlocale(LC_ALL, nullptr);
  g["locale"] = locale != nullptr ? locale : "";
  for (int r = 0; r < RLIM_NLIMITS; r++) {
    rlimit limit = {};
    getrlimit(static_cast<__rlimit_resource>(r), &limit);
    g[Format("limit %d", r)] = Format("%llu/%llu", static_cast<unsigned long long>(limit.rlim_cur), static_cast<unsigned long long>(limit.rlim_max));
  }
  g["floating-point rounding"] = Format("%d", fegetround());
#if defined(__x86_64__)
  unsigned mxcsr = 0;
  __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
  g["floating-point control (mxcsr)"] = Format("0x%x", mxcsr & ~0x3Fu);
#endif
  sigset_t mask_now;
  pthread_sigmask(SIG_SETMASK, nullptr, &mask_now);
  std::string bits;
  for (int signo = 1; signo <= 64; signo++) bits += sigismember(&mask_now, signo) == 1 ? '1' : '0';
  g["signal mask of the calling thread"] = bits;
  return g;
}

void CompareGlobals(const std::map<std::string, std::string>& before, const char* when) {
  for (const auto& now : Globals()) {
    const auto was = before.find(now.first);
    if (was == before.end() || was->second == now.second) continue;
    if (now.first == "environment") Fail("the environment was changed %s", when);
    Fail("the %s was changed %s: it was %s, now it is %s", now.first.c_str(), when, was->second.c_str(), now.second.c_str());
  }
}

void MisuseALittle(const sixcall_api* api) {
  for (const std::string& config : {std::string("["), In("params_unknown_key"), std::string()}) {
    OpenOptions options;
    options.config = config;
    OpenError error;
    Session::TryOpen(api, options, &error);
  }
  for (const std::string& config : All("bad_value")) {
    OpenOptions options;
    options.config = config;
    OpenError error;
    Session::TryOpen(api, options, &error);
  }
}

}  // namespace

PROBE_CHECK(T06) {
  const auto before = Actions();
  const sixcall_api* api = Load();
  CompareActions(before, "when the library was loaded");
  {
    Session s(api);
    CompareActions(before, "by open");
    Exercise(s, "signals", 3);
    CompareActions(before, "while a connection was used");
  }
  CompareActions(before, "by close");
  MisuseALittle(api);
  CompareActions(before, "by an open that failed");
}

PROBE_CHECK(T07) {
  const auto before = Globals();
  const sixcall_api* api = Load();
  CompareGlobals(before, "when the library was loaded");
  {
    Session s(api);
    CompareGlobals(before, "by open");
    Exercise(s, "globals", 3);
    CompareGlobals(before, "while a connection was used");
  }
  CompareGlobals(before, "by close");
  MisuseALittle(api);
  CompareGlobals(before, "by an open that failed");
}

PROBE_CHECK(T08) {
  const int capture = memfd_create("stdio", MFD_CLOEXEC);
  fflush(nullptr);
  if (capture < 0 || dup2(capture, 1) < 0 || dup2(capture, 2) < 0) ToolError("stdout and stderr cannot be replaced");
  const auto look = [&](const char* when) {
    fflush(nullptr);  // what a stdio buffer of the process holds
    char text[200];
    const ssize_t n = pread(capture, text, sizeof(text), 0);
    if (n > 0) Fail("the library wrote to stdout or stderr %s: %s", when, Show(std::string(text, static_cast<size_t>(n)), 120).c_str());
  };
  const sixcall_api* api = Load();
  look("when it was loaded");
  MisuseALittle(api);
  look("in an open that failed");
  Session s(api);
  look("in open");
  Exercise(s, "stdio", 3);
  look("while it was used");
  s.Close();
  look("in close");
}

PROBE_CHECK(T09) {
  const sixcall_api* api = Load();
  const auto before = Descriptors();
  Session s(api);
  Exercise(s, "fds", 3);
  size_t n = 0;
  for (const auto& d : Descriptors()) {
    if (before.count(d.first) != 0) continue;
    n++;
    if (!d.second.cloexec) Fail("file descriptor %d (%s) is not close-on-exec: programs that the host starts inherit it", d.first, d.second.target.c_str());
  }
  Figure("descriptors", static_cast<double>(n));
  if (n >= 64) Warn("one handle has %zu file descriptors, want fewer than 64", n);
}

PROBE_CHECK(T11) {
  // exit, _exit, abort and raise are the probe's; see interpose.cpp.
  const sixcall_api* api = Load();
  MisuseALittle(api);
  for (const std::string& config : All("unreachable")) {
    OpenOptions options;
    options.config = config;
    options.timeout_ms = 1000;
    OpenError error;
    Session::TryOpen(api, options, &error);
  }
  Session s(api);
  Exercise(s, "noexit", 3);
  s.Run(Spec::Get({Key("noexit/size")}, {1}));
}

PROBE_CHECK(T13) {
  const sixcall_api* api = Load();
  uint64_t lines = 0;
  for (const int32_t level : {SIXCALL_LOG_DEBUG, SIXCALL_LOG_WARN, SIXCALL_LOG_ERROR}) {
    OpenOptions options;
    options.host.level = level;
    Session s(api, options);
    Exercise(s, "log", 5);
    Host& host = s.host();
    const uint64_t before = host.line_count();
    SleepUs(300000);
    if (host.line_count() - before > 100) Fail("%llu lines were logged in 0.3 s with nothing in flight", static_cast<unsigned long long>(host.line_count() - before));
    lines += host.line_count();
    s.Close();
    SleepUs(200000);  // a line after close is a violation
    const std::string wrong = host.violation();
    if (!wrong.empty()) Fail("%s", wrong.c_str());
  }
  Figure("lines", static_cast<double>(lines));
  // A callback that blocks must not stall submit or drain.
  Session s(api);
  s.host().Block(1000);
  const Deadline end(4000);
  uint64_t slowest = 0;
  int slow = 0;
  bool own = false;
  for (int i = 0; i < 200 && !end.passed(); i++) {
    uint64_t before = NowNs();
    const uint64_t logged = s.host().line_count();
    if (s.TrySubmit(Spec::Exists({Key("blocked/%d", i)})) == 0) {
      const uint64_t took = NowNs() - before;
      own = own || (s.host().line_count() != logged && s.host().last_thread() == syscall(SYS_gettid));
      slowest = std::max(slowest, took);
      slow += took > 500000000;
    }
    before = NowNs();
    s.Drain(64);
    const uint64_t drain = NowNs() - before;
    slowest = std::max(slowest, drain);
    slow += drain > 500000000;
    SleepUs(1000);
  }
  s.host().Block(0);
  s.WaitAll();
  if (own) Warn("submit writes log lines itself, so a slow log slows the host's calls down");
  else if (slow > 1) Fail("submit or drain took %llu ms while the log callback blocked for a second: it is called under a lock that they need", static_cast<unsigned long long>(slowest / 1000000));
}

PROBE_CHECK(T14) {
  const sixcall_api* api = Load();
  Session s(api);
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> started{0};
  std::string inherited;
  std::thread starter([&] {
    while (!stop.load()) {
      pid_t pid;
      const char* const argv[] = {"/bin/sh", "-c", "test $(ls /proc/self/fd | wc -l) -le 8", nullptr};
      if (posix_spawn(&pid, argv[0], nullptr, nullptr, const_cast<char* const*>(argv), environ) != 0) continue;
      int status = 0;
      const Deadline end(PatienceMs());
      while (waitpid(pid, &status, WNOHANG) == 0) {
        if (end.passed()) Fail("a program that was started under load hangs");
        SleepUs(500);
      }
      if (status != 0 && inherited.empty()) inherited = Format("status %d", status);
      started.fetch_add(1);
    }
  });
  LoadOptions load;
  load.ms = EffortMs();
  RandomLoad(s, load);
  stop.store(true);
  starter.join();
  Figure("programs", static_cast<double>(started.load()));
  if (!inherited.empty()) Fail("a program that was started under load inherited file descriptors of the connector");
}

}  // namespace probe
