// SPDX-License-Identifier: Apache-2.0
#include "threads.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <thread>

namespace sixcall_test {
namespace {

// The numeric names in a directory of /proc.
std::vector<int> Numbers(const char *path) {
  const std::unique_ptr<DIR, int (*)(DIR *)> dir(opendir(path), closedir);
  std::vector<int> numbers;
  if (dir == nullptr) return numbers;
  while (const dirent *entry = readdir(dir.get())) {
    const int number = std::atoi(entry->d_name);
    if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9' && number != dirfd(dir.get())) numbers.push_back(number);
  }
  return numbers;
}

}  // namespace

std::vector<ThreadInfo> ListThreads() {
  // A sanitizer starts a thread of its own with the first one of the program.
  static const bool started = (std::thread([] {}).join(), true);
  static_cast<void>(started);
  std::vector<ThreadInfo> threads;
  for (const int tid : Numbers("/proc/self/task")) {
    std::ifstream status("/proc/self/task/" + std::to_string(tid) + "/status");
    ThreadInfo info = {tid, "", 0};
    std::string line;
    while (std::getline(status, line)) {
      if (line.rfind("Name:\t", 0) == 0) info.name = line.substr(6);
      if (line.rfind("SigBlk:\t", 0) == 0) info.blocked = std::strtoull(line.c_str() + 8, nullptr, 16);
    }
    if (!info.name.empty()) threads.push_back(info);  // else it ended meanwhile
  }
  return threads;
}

std::vector<ThreadInfo> NewThreads(const std::vector<ThreadInfo> &before) {
  std::vector<ThreadInfo> threads = ListThreads();
  const auto known = [&](const ThreadInfo &info) {
    return std::any_of(before.begin(), before.end(), [&](const ThreadInfo &old) { return old.tid == info.tid; });
  };
  threads.erase(std::remove_if(threads.begin(), threads.end(), known), threads.end());
  return threads;
}

std::vector<int> OpenFds() { return Numbers("/proc/self/fd"); }

bool Eventually(const std::function<bool()> &condition) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return condition();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace sixcall_test
