// SPDX-License-Identifier: Apache-2.0
#include "mooncake_signals.h"

#include <link.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <iterator>

namespace mooncake {

CodeRanges LoadedCode() {
  CodeRanges ranges;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* out) {
        for (int i = 0; i < info->dlpi_phnum; i++) {
          const auto& header = info->dlpi_phdr[i];
          if (header.p_type != PT_LOAD || (header.p_flags & PF_X) == 0) continue;
          const uintptr_t first = info->dlpi_addr + header.p_vaddr;
          static_cast<CodeRanges*>(out)->emplace_back(first, first + header.p_memsz);
        }
        return 0;
      },
      &ranges);
  std::sort(ranges.begin(), ranges.end());
  return ranges;
}

CodeRanges NewCode(const CodeRanges& before, const CodeRanges& now) {
  CodeRanges ranges;
  std::set_difference(now.begin(), now.end(), before.begin(), before.end(), std::back_inserter(ranges));
  return ranges;
}

bool SignalGuard::Ours(int signal) {
  // 32 and 33 belong to the C library, which sets them when it likes.
  return signal != SIGKILL && signal != SIGSTOP && signal != 32 && signal != 33;
}

bool SignalGuard::Read(int signal, Action* out) { return syscall(SYS_rt_sigaction, signal, nullptr, out, 8) == 0; }

SignalGuard::SignalGuard() {
  for (int signal = 1; signal <= kLast; signal++) {
    if (Ours(signal)) Read(signal, &before_[signal]);
  }
}

int SignalGuard::Restore(const CodeRanges& code) const {
  int restored = 0;
  for (int signal = 1; signal <= kLast; signal++) {
    Action now;
    if (!Ours(signal) || !Read(signal, &now) || std::memcmp(&now, &before_[signal], sizeof(now)) == 0) continue;
    const auto inside = [&](const auto& range) { return now.handler >= range.first && now.handler < range.second; };
    if (now.handler != reinterpret_cast<uintptr_t>(SIG_IGN) && std::none_of(code.begin(), code.end(), inside)) continue;
    restored += syscall(SYS_rt_sigaction, signal, &before_[signal], nullptr, 8) == 0;
  }
  return restored;
}

}  // namespace mooncake
