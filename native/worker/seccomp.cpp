// SPDX-License-Identifier: Apache-2.0
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <vector>

#include "harden.h"
#include "sixcall/connector.h"

#if defined(__x86_64__)
#define SIXCALL_AUDIT_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define SIXCALL_AUDIT_ARCH AUDIT_ARCH_AARCH64
#else
#error "sixcall-worker knows x86_64 and aarch64"
#endif

namespace sixcall::worker {
namespace {

constexpr uint32_t kAllow = SECCOMP_RET_ALLOW;
constexpr uint32_t Refuse(int error) { return SECCOMP_RET_ERRNO | (static_cast<uint32_t>(error) & SECCOMP_RET_DATA); }

/// Builds a classic BPF program. Each If skips the steps that belong to it.
class Filter {
 public:
  void Load(size_t offset) { Add(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset)); }
  /// Loads the low half of a system call's argument.
  void LoadArgument(size_t i) { Load(offsetof(seccomp_data, args) + i * sizeof(uint64_t)); }
  void Return(uint32_t action) { Add(BPF_RET | BPF_K, action); }
  /// The next n steps run only when the loaded word is value.
  void IfEqual(uint32_t value, uint8_t n) { Add(BPF_JMP | BPF_JEQ | BPF_K, value, 0, n); }
  void IfNotEqual(uint32_t value, uint8_t n) { Add(BPF_JMP | BPF_JEQ | BPF_K, value, n, 0); }
  void IfAtLeast(uint32_t value, uint8_t n) { Add(BPF_JMP | BPF_JGE | BPF_K, value, 0, n); }
  void IfHasBit(uint32_t bit, uint8_t n) { Add(BPF_JMP | BPF_JSET | BPF_K, bit, 0, n); }

  void RefuseCall(long number, int error) {
    IfEqual(static_cast<uint32_t>(number), 1);
    Return(Refuse(error));
  }

  std::vector<sock_filter> steps;

 private:
  void Add(int code, uint32_t k, uint8_t yes = 0, uint8_t no = 0) { steps.push_back({static_cast<uint16_t>(code), yes, no, k}); }
};

Filter Profile() {
  Filter f;
  f.Load(offsetof(seccomp_data, arch));
  f.IfNotEqual(SIXCALL_AUDIT_ARCH, 1);  // 32-bit calls have other numbers
  f.Return(Refuse(ENOSYS));
  f.Load(offsetof(seccomp_data, nr));
#if defined(__x86_64__)
  f.IfAtLeast(0x40000000, 1);  // x32: the same calls under other numbers
  f.Return(Refuse(ENOSYS));
#endif
  for (const long call : {SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev,
#ifdef SYS_fork
                          SYS_fork, SYS_vfork,
#endif
                          SYS_pidfd_getfd}) {
    f.RefuseCall(call, EPERM);
  }
  // libc then makes threads with clone, whose flags can be looked at: those of
  // clone3 are in memory.
  f.RefuseCall(SYS_clone3, ENOSYS);
  f.IfEqual(SYS_clone, 4);
  f.LoadArgument(0);
  f.IfHasBit(CLONE_THREAD, 1);
  f.Return(kAllow);
  f.Return(Refuse(EPERM));
  // A library whose fork failed may well signal "process -1", which is everyone.
  f.IfEqual(SYS_kill, 7);
  f.LoadArgument(0);
  f.IfEqual(static_cast<uint32_t>(getpid()), 1);
  f.Return(kAllow);
  f.LoadArgument(1);
  f.IfEqual(0, 1);  // the question whether it lives
  f.Return(kAllow);
  f.Return(Refuse(EPERM));
  f.Return(kAllow);
  return f;
}

}  // namespace

std::optional<Failure> InstallSeccomp() {
  Filter filter = Profile();
  const sock_fprog program = {static_cast<unsigned short>(filter.steps.size()), filter.steps.data()};
  // SPEC_ALLOW: this is no sandbox for code that reads its neighbours by timing, and
  // the mitigation would slow every library down.
  const long rc = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program);
  if (rc == 0) return std::nullopt;
  const std::string why = rc > 0 ? Format("thread %ld has another filter", rc) : ErrnoText(errno);
  return Failure{SIXCALL_E_UNSUPPORTED, Format("the seccomp profile that forbids exec and fork could not be installed (%s); allow exec to run without it", why.c_str())};
}

}  // namespace sixcall::worker
