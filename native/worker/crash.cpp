// SPDX-License-Identifier: Apache-2.0
#include "crash.h"

#include <execinfo.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "sixcall/connector.h"

namespace sixcall::worker {

Breadcrumbs breadcrumbs;

namespace {

constexpr int kCrashSignals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
constexpr size_t kSignalStack = 64 << 10;  // bytes; unwinding needs some
constexpr int kReportSeconds = 2;          // then the process ends without the rest of the report

/// A line of text that is built without the heap, for signal handlers.
class Line {
 public:
  Line& Add(const char* text) {
    while (*text != '\0' && used_ < sizeof(text_) - 1) text_[used_++] = *text++;
    return *this;
  }
  Line& Add(uint64_t number, unsigned base = 10) {
    char digits[32];
    size_t at = sizeof(digits) - 1;
    digits[at] = '\0';
    do {
      digits[--at] = "0123456789abcdef"[number % base];
      number /= base;
    } while (number != 0);
    return Add(digits + at);
  }
  void Write() {
    text_[used_] = '\n';
    for (size_t done = 0; done <= used_;) {
      const ssize_t n = write(STDERR_FILENO, text_ + done, used_ + 1 - done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return;
      done += static_cast<size_t>(n);
    }
  }

 private:
  char text_[512];
  size_t used_ = 0;
};

void AddWhere(Line* line) {
  char name[16] = {};
  prctl(PR_GET_NAME, name);
  line->Add(" in thread ").Add(name);
  if (const sixcall_ring* ring = breadcrumbs.ring.load(std::memory_order_relaxed)) {
    const uint32_t call = __atomic_load_n(&ring->call, __ATOMIC_ACQUIRE);
    line->Add("; the pump is ").Add(call == SIXCALL_CALL_NONE ? "between calls" : "in ").Add(call == SIXCALL_CALL_NONE ? "" : CallName(call));
    if ((call & SIXCALL_CALL_SUBMIT) != 0) line->Add(", ticket ").Add(__atomic_load_n(&ring->call_ticket, __ATOMIC_RELAXED));
  }
  if (const char* service = breadcrumbs.service.load(std::memory_order_relaxed)) line->Add("; the service thread is in ").Add(service);
}

/// Lets the signal kill the process in a while, whatever this thread does until
/// then: a backtrace may wait for a lock of the loader, stderr for its reader.
void LimitReport(int signal) {
  sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = signal;
  int timer = 0;  // the kernel's timer_t; libc's functions are not for handlers
  if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer) != 0) return;
  itimerspec when = {};
  when.it_value.tv_sec = kReportSeconds;
  syscall(SYS_timer_settime, timer, 0, &when, nullptr);
}

void OnCrash(int signal, siginfo_t* info, void*) {
  static std::atomic_flag reporting = ATOMIC_FLAG_INIT;
  if (reporting.test_and_set()) {  // another thread is at it, and ends all
    for (;;) pause();
  }
  struct sigaction by_default = {};
  by_default.sa_handler = SIG_DFL;
  sigaction(signal, &by_default, nullptr);
  LimitReport(signal);

  const bool sent = info->si_code <= 0;  // by abort, raise or kill
  Line line;
  const char* name = sigabbrev_np(signal);
  line.Add("sixcall-worker: SIG").Add(name != nullptr ? name : "?");
  if (!sent) line.Add(" at address 0x").Add(reinterpret_cast<uintptr_t>(info->si_addr), 16);
  if (sent && info->si_pid != getpid()) line.Add(" sent by process ").Add(static_cast<uint64_t>(info->si_pid));
  AddWhere(&line);
  line.Write();
  void* frames[48];
  const int n = backtrace(frames, sizeof(frames) / sizeof(frames[0]));
  backtrace_symbols_fd(frames, n, STDERR_FILENO);

  // A fault happens again on return, now with the default action; a signal that
  // was sent is sent again. Both leave the true cause in a core.
  if (sent) syscall(SYS_tgkill, getpid(), static_cast<pid_t>(syscall(SYS_gettid)), signal);
}

void OnExit(int status, void*) {
  Line line;
  line.Add("sixcall-worker: the library called exit(").Add(static_cast<uint64_t>(static_cast<uint32_t>(status))).Add(")");
  AddWhere(&line);
  line.Write();
  _exit(kExitLibraryExit);
}

}  // namespace

const char* CallName(uint32_t call) {
  switch (call) {
    case SIXCALL_CALL_NONE: return "no call";
    case SIXCALL_CALL_SUBMIT | SIXCALL_OP_GET: return "submit_batch_get";
    case SIXCALL_CALL_SUBMIT | SIXCALL_OP_SET: return "submit_batch_set";
    case SIXCALL_CALL_SUBMIT | SIXCALL_OP_EXISTS: return "submit_batch_exists";
    case SIXCALL_CALL_SUBMIT | SIXCALL_OP_DELETE: return "submit_batch_delete";
    case SIXCALL_CALL_SUBMIT | SIXCALL_OP_PING: return "submit_ping";
    case SIXCALL_CALL_SUBMIT | SIXCALL_OP_LIST: return "submit_list";
    case SIXCALL_CALL_SUBMIT | SIXCALL_RING_CANCEL: return "cancel";
    case SIXCALL_CALL_DRAIN: return "drain_completions";
    case SIXCALL_CALL_EVENT_FD: return "event_fd";
    default: return "an unknown call";
  }
}

void UseSignalStack() {
  stack_t stack = {};
  stack.ss_size = kSignalStack;
  stack.ss_sp = mmap(nullptr, kSignalStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack.ss_sp != MAP_FAILED) sigaltstack(&stack, nullptr);
}

void InstallCrashHandlers() {
  void* frame[1];
  backtrace(frame, 1);  // loads the unwinder now: a handler must not
  struct sigaction action = {};
  action.sa_sigaction = OnCrash;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigfillset(&action.sa_mask);
  for (const int signal : kCrashSignals) sigaction(signal, &action, nullptr);
}

void CatchExit() { on_exit(OnExit, nullptr); }

void Die(ExitCode code, const char* format, ...) {
  char text[512];
  va_list args;
  va_start(args, format);
  std::vsnprintf(text, sizeof(text), format, args);
  va_end(args);
  Line line;
  line.Add("sixcall-worker: ").Add(text);
  line.Write();
  _exit(code);
}

}  // namespace sixcall::worker
