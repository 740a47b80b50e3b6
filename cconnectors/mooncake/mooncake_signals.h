// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_MOONCAKE_SIGNALS_H
#define SIXCALL_MOONCAKE_SIGNALS_H

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

namespace mooncake {

/// The code of some shared libraries: [first, last) addresses.
using CodeRanges = std::vector<std::pair<uintptr_t, uintptr_t>>;

/// The code of every library that is loaded now.
CodeRanges LoadedCode();
/// What is in `now` and was not in `before`.
CodeRanges NewCode(const CodeRanges& before, const CodeRanges& now);

/// Puts signal actions back that a foreign library changes.
///
/// Mooncake's wheel brings a Go runtime that takes SIGURG, SIGSEGV, SIGBUS and
/// SIGFPE when it is loaded and ignores SIGPIPE. In a Go host that stops
/// asynchronous preemption: a garbage collection that took milliseconds takes
/// seconds.
///
/// Not safe for concurrent use. The kernel's structs are compared and written as
/// bytes, so that a host which compares them later sees no difference.
class SignalGuard {
 public:
  /// Reads all actions.
  SignalGuard();
  /// Puts back the actions whose handler lies in `code` now, and those that are
  /// ignored now and were not. Others are left alone: another thread of the host
  /// may have changed them. Returns how many.
  int Restore(const CodeRanges& code) const;

 private:
  struct Action {  // the kernel's struct on amd64 and arm64
    uint64_t handler = 0, flags = 0, restorer = 0, mask = 0;
  };
  static constexpr int kLast = 64;
  static bool Ours(int signal);
  static bool Read(int signal, Action* out);

  std::array<Action, kLast + 1> before_;
};

}  // namespace mooncake

#endif  // SIXCALL_MOONCAKE_SIGNALS_H
