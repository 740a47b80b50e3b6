// SPDX-License-Identifier: Apache-2.0
#include "guard.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "text.h"

namespace sixcall::worker {
namespace {

constexpr int kLastSignal = 64;
/// libc installs the handlers of these two when it first needs them, for cancelling
/// threads and for setuid.
bool IsLibc(size_t signal) { return signal == 32 || signal == 33; }

/// The kernel's struct, the same on x86_64 and aarch64. libc's wrappers hide two
/// real-time signals and sanitizers hide handlers, so the kernel is asked.
struct KernelAction {
  uintptr_t handler;
  uint64_t flags;
  uintptr_t restorer;
  uint64_t mask;
};

using Handlers = std::array<KernelAction, kLastSignal + 1>;

long SetAction(int signal, const KernelAction* set, KernelAction* old) { return syscall(SYS_rt_sigaction, signal, set, old, sizeof(uint64_t)); }

Handlers ReadHandlers() {
  Handlers all = {};
  for (int signal = 1; signal <= kLastSignal; signal++) SetAction(signal, nullptr, &all[static_cast<size_t>(signal)]);
  return all;
}

uint64_t ThreadMask(const uint64_t* set) {
  uint64_t old = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, set, &old, sizeof(old));
  return old;
}

std::string SignalName(int signal) {
  const char* name = sigabbrev_np(signal);
  return name != nullptr ? std::string("SIG") + name : "signal " + std::to_string(signal);
}

std::string MaskDifference(uint64_t before, uint64_t after) {
  std::vector<std::string> parts;
  for (int signal = 1; signal <= kLastSignal; signal++) {
    const uint64_t bit = uint64_t{1} << (signal - 1);
    if ((before & bit) == (after & bit)) continue;
    parts.push_back(SignalName(signal) + ((after & bit) != 0 ? " blocked" : " unblocked"));
  }
  return Join(parts, ", ");
}

}  // namespace

std::vector<std::string> Guard(bool keep_handlers, const std::function<void()>& f) {
  const Handlers handlers = ReadHandlers();
  const uint64_t mask = ThreadMask(nullptr);
  stack_t stack = {};
  sigaltstack(nullptr, &stack);

  f();

  std::vector<std::string> changed;
  if (const uint64_t now = ThreadMask(nullptr); now != mask) {
    ThreadMask(&mask);
    changed.push_back("the signal mask of the calling thread (" + MaskDifference(mask, now) + ")");
  }
  stack_t stack_now = {};
  sigaltstack(nullptr, &stack_now);
  if (stack_now.ss_sp != stack.ss_sp || stack_now.ss_size != stack.ss_size) {
    sigaltstack(&stack, nullptr);
    changed.push_back("the signal stack of the calling thread");
  }
  const Handlers now = ReadHandlers();
  for (size_t signal = 1; signal <= kLastSignal; signal++) {
    if (IsLibc(signal) || std::memcmp(&now[signal], &handlers[signal], sizeof(KernelAction)) == 0) continue;
    std::string text = "the handler of " + SignalName(static_cast<int>(signal));
    if (keep_handlers) {
      text += " (left in place)";
    } else if (SetAction(static_cast<int>(signal), &handlers[signal], nullptr) != 0) {
      text += " (which could not be put back: " + ErrnoText(errno) + ")";
    }
    changed.push_back(text);
  }
  return changed;
}

}  // namespace sixcall::worker
