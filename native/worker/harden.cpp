// SPDX-License-Identifier: Apache-2.0
#include "harden.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "crash.h"
#include "sixcall/connector.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SIXCALL_SANITIZED 1
#else
#define SIXCALL_SANITIZED 0
#endif

namespace sixcall::worker {
namespace {

constexpr uint64_t kDataFloor = uint64_t{256} << 20;  // bytes above the limit: stacks and arenas are counted unused

void CloseRange(unsigned from, unsigned to) {
  if (from > to || syscall(SYS_close_range, from, to, 0u) == 0) return;
  // A kernel before 5.9.
  DIR* dir = opendir("/proc/self/fd");
  if (dir == nullptr) Die(kExitFailed, "cannot close inherited descriptors: no close_range, and /proc/self/fd: %s", ErrnoText(errno).c_str());
  while (const dirent* entry = readdir(dir)) {
    const long fd = std::strtol(entry->d_name, nullptr, 10);
    if (fd >= static_cast<long>(from) && fd <= static_cast<long>(to) && fd != dirfd(dir)) close(static_cast<int>(fd));
  }
  closedir(dir);
}

/// Makes sure that 0, 1 and 2 are open, and that reading stdin ends at once.
void OpenStandardStreams() {
  int null;
  do {
    null = open("/dev/null", O_RDWR);
  } while (null >= 0 && null <= STDERR_FILENO);
  if (null < 0) Die(kExitFailed, "open /dev/null: %s", ErrnoText(errno).c_str());
  dup2(null, STDIN_FILENO);
  close(null);
}

void ResetSignals() {
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  for (int signal = 1; signal <= SIGRTMAX; signal++) {
    if (signal != SIGKILL && signal != SIGSTOP) sigaction(signal, &action, nullptr);
  }
  // A write to a closed connection is an error and no reason to die: hosts written
  // in Go and in Python see to that in their own process.
  action.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &action, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

}  // namespace

void HardenStart(int control_fd) {
  const pid_t parent = getppid();
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) Die(kExitFailed, "PR_SET_PDEATHSIG: %s", ErrnoText(errno).c_str());
  if (getppid() != parent) Die(kExitHostGone, "the host died while its worker started");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) Die(kExitFailed, "PR_SET_NO_NEW_PRIVS: %s", ErrnoText(errno).c_str());
  const auto control = static_cast<unsigned>(control_fd);
  CloseRange(STDERR_FILENO + 1, control - 1);
  CloseRange(control + 1, ~0u);
  fcntl(control_fd, F_SETFD, FD_CLOEXEC);
  OpenStandardStreams();
  ResetSignals();
  prctl(PR_SET_NAME, "sixcall-worker");
}

std::optional<Failure> SetLimits(bool core_dumps, uint64_t memory_limit) {
  rlimit core = {};
  if (core_dumps) {
    getrlimit(RLIMIT_CORE, &core);
    core.rlim_cur = core.rlim_max;
  } else {
    // No core file is one byte long; and unlike 0, which is meant for files, 1 also
    // keeps the kernel from starting the program of core_pattern.
    core = {1, 1};
  }
  if (setrlimit(RLIMIT_CORE, &core) != 0) return Failure{SIXCALL_E_INTERNAL, "RLIMIT_CORE: " + ErrnoText(errno)};
  // The shadow memory of sanitizers counts as data.
  if (memory_limit == 0 || SIXCALL_SANITIZED) return std::nullopt;
  rlimit data = {};
  getrlimit(RLIMIT_DATA, &data);
  const uint64_t room = UINT64_MAX - memory_limit;
  const rlim_t want = memory_limit + std::min(room, std::max(memory_limit, kDataFloor));
  if (want >= data.rlim_max) return std::nullopt;  // a harder limit is set already
  data = {want, want};
  if (setrlimit(RLIMIT_DATA, &data) != 0) return Failure{SIXCALL_E_INTERNAL, "RLIMIT_DATA: " + ErrnoText(errno)};
  return std::nullopt;
}

}  // namespace sixcall::worker
