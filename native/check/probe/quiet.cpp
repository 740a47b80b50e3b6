// SPDX-License-Identifier: Apache-2.0
//
// A seccomp filter that traps system calls, and a handler that keeps what they were.
#include "quiet.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <vector>

#include "core.h"

namespace probe {
namespace {

struct Call {
  int number;
  const char* text;
};
/// Trapped whatever their arguments are, and refused with EPERM.
const Call kForbidden[] = {
    {SYS_clone, "started a thread or process (clone)"},
    {SYS_clone3, "started a thread or process (clone3)"},
    {SYS_execve, "executed a program (execve)"},
    {SYS_execveat, "executed a program (execveat)"},
    {SYS_socket, "made a socket"},
    {SYS_socketpair, "made a socket pair"},
    {SYS_eventfd2, "made an event fd"},
    {SYS_epoll_create1, "made an epoll fd"},
    {SYS_timerfd_create, "made a timer fd"},
    {SYS_memfd_create, "made a memfd"},
    {SYS_pipe2, "made a pipe"},
    {SYS_inotify_init1, "made an inotify fd"},
    {SYS_kill, "sent a signal"},
    {SYS_unlinkat, "removed a file"},
    {SYS_mkdirat, "made a folder"},
    {SYS_renameat2, "renamed a file"},
#ifdef SYS_fork
    {SYS_fork, "started a process (fork)"},
    {SYS_vfork, "started a process (vfork)"},
    {SYS_eventfd, "made an event fd"},
    {SYS_pipe, "made a pipe"},
    {SYS_unlink, "removed a file"},
    {SYS_mkdir, "made a folder"},
    {SYS_rename, "renamed a file"},
    {SYS_creat, "made a file"},
#endif
#ifdef SYS_io_uring_setup
    {SYS_io_uring_setup, "set up io_uring"},
#endif
};

constexpr int kMost = 16;
volatile int seen_count = 0;
int seen[kMost];

void OnTrap(int, siginfo_t* info, void* context) {
  const int n = seen_count;
  if (n < kMost) {
    seen[n] = info->si_syscall;
    seen_count = n + 1;
  }
  auto* u = static_cast<ucontext_t*>(context);
#if defined(__x86_64__)
  u->uc_mcontext.gregs[REG_RAX] = -EPERM;
#elif defined(__aarch64__)
  u->uc_mcontext.regs[0] = static_cast<unsigned long long>(-EPERM);
#endif
}

constexpr uint32_t Argument(int i) { return static_cast<uint32_t>(offsetof(seccomp_data, args) + static_cast<size_t>(i) * 8); }

}  // namespace

bool WatchSystemCalls(std::string* error) {
  struct sigaction action = {};
  action.sa_sigaction = OnTrap;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGSYS, &action, nullptr);

  std::vector<sock_filter> f;
  const auto add = [&](uint16_t code, uint32_t k, uint8_t jt = 0, uint8_t jf = 0) { f.push_back(sock_filter{code, jt, jf, k}); };
  const uint32_t trap = SECCOMP_RET_TRAP, allow = SECCOMP_RET_ALLOW;
  add(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr));
  for (const Call& c : kForbidden) {
    add(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(c.number), 0, 1);
    add(BPF_RET | BPF_K, trap);
  }
  // openat and open with anything but O_RDONLY
  const auto open_flags = [&](int number, int argument) {
    add(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(number), 0, 4);
    add(BPF_LD | BPF_W | BPF_ABS, Argument(argument));
    add(BPF_JMP | BPF_JSET | BPF_K, O_WRONLY | O_RDWR | O_CREAT, 0, 1);
    add(BPF_RET | BPF_K, trap);
    add(BPF_RET | BPF_K, allow);
  };
  open_flags(SYS_openat, 2);
#ifdef SYS_open
  open_flags(SYS_open, 1);
#endif
  // write and writev to stdout or stderr
  for (const int number : {SYS_write, SYS_writev}) {
    add(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(number), 0, 5);
    add(BPF_LD | BPF_W | BPF_ABS, Argument(0));
    add(BPF_JMP | BPF_JEQ | BPF_K, 1, 1, 0);
    add(BPF_JMP | BPF_JEQ | BPF_K, 2, 0, 1);
    add(BPF_RET | BPF_K, trap);
    add(BPF_RET | BPF_K, allow);
  }
  add(BPF_RET | BPF_K, allow);
  sock_fprog program = {static_cast<unsigned short>(f.size()), f.data()};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    *error = strerror(errno);
    return false;
  }
  return true;
}

std::string ForbiddenCalls() {
  std::string text;
  for (int i = 0; i < seen_count; i++) {
    std::string what = Format("system call %d", seen[i]);
    for (const Call& c : kForbidden) {
      if (c.number == seen[i]) what = c.text;
    }
    if (seen[i] == SYS_openat) what = "opened a file for writing";
#ifdef SYS_open
    if (seen[i] == SYS_open) what = "opened a file for writing";
#endif
    if (seen[i] == SYS_write || seen[i] == SYS_writev) what = "wrote to stdout or stderr";
    if (text.find(what) == std::string::npos) text += (text.empty() ? "" : ", ") + what;
  }
  return text;
}

}  // namespace probe
