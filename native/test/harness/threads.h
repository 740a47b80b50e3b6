// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_TEST_HARNESS_THREADS_H
#define SIXCALL_TEST_HARNESS_THREADS_H

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace sixcall_test {

// One thread of this process, from /proc/self/task.
struct ThreadInfo {
  pid_t tid;
  std::string name;
  uint64_t blocked;  // SigBlk: bit n-1 is signal n
};

std::vector<ThreadInfo> ListThreads();

// Threads that are there now and were not in before, by tid.
std::vector<ThreadInfo> NewThreads(const std::vector<ThreadInfo> &before);

// The numbers of the open file descriptors of this process.
std::vector<int> OpenFds();

// Polls the condition until it holds; false after a minute. For what another
// thread does soon: the bound is there to end a broken test, not to measure.
bool Eventually(const std::function<bool()> &condition);

}  // namespace sixcall_test

#endif  // SIXCALL_TEST_HARNESS_THREADS_H
