// SPDX-License-Identifier: Apache-2.0
//
// What /proc says about this process.
#ifndef SIXCALL_PROBE_PROCESS_H
#define SIXCALL_PROBE_PROCESS_H

#include <cstdint>
#include <map>
#include <string>

namespace probe {

struct Thread {
  std::string name;
  uint64_t blocked = 0;  ///< SigBlk, bit n-1 = signal n
};

/// The threads of this process by id, without those of the kernel (io_uring).
std::map<int, Thread> Threads();

struct Descriptor {
  std::string target;
  bool cloexec = false;
};
std::map<int, Descriptor> Descriptors();

uint64_t RssBytes();
/// Bytes in use in the heap of libc.
uint64_t HeapBytes();

std::string ReadFile(const std::string& path);

/// "sixcall:mem, sixcall:mem" for threads in `now` that are not in `before`.
std::string NewThreads(const std::map<int, Thread>& before, const std::map<int, Thread>& now);
std::string NewDescriptors(const std::map<int, Descriptor>& before, const std::map<int, Descriptor>& now);

/// Waits until no thread and fd is left that was not there before; what is left
/// after the patience is over, or "".
std::string LeftBehind(const std::map<int, Thread>& threads, const std::map<int, Descriptor>& fds, uint64_t ms);

}  // namespace probe

#endif  // SIXCALL_PROBE_PROCESS_H
