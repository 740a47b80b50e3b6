// SPDX-License-Identifier: Apache-2.0
#include "process.h"

#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core.h"

namespace probe {

std::string ReadFile(const std::string& path) {
  std::string text;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return text;
  char part[4096];
  for (ssize_t n; (n = read(fd, part, sizeof(part))) > 0;) text.append(part, static_cast<size_t>(n));
  close(fd);
  return text;
}

std::map<int, Thread> Threads() {
  std::map<int, Thread> threads;
  DIR* dir = opendir("/proc/self/task");
  if (dir == nullptr) ToolError("/proc/self/task cannot be read");
  while (dirent* entry = readdir(dir)) {
    const int tid = atoi(entry->d_name);
    if (tid == 0) continue;
    const std::string at = Format("/proc/self/task/%d/", tid);
    Thread t;
    t.name = ReadFile(at + "comm");
    while (!t.name.empty() && t.name.back() == '\n') t.name.pop_back();
    const std::string status = ReadFile(at + "status");
    const size_t blocked = status.find("SigBlk:");
    if (t.name.empty() || blocked == std::string::npos) continue;  // it has just ended
    if (status.find("State:\tX") != std::string::npos || status.find("State:\tZ") != std::string::npos) continue;
    if (t.name.compare(0, 4, "iou-") == 0) continue;
    t.blocked = strtoull(status.c_str() + blocked + 7, nullptr, 16);
    threads[tid] = t;
  }
  closedir(dir);
  return threads;
}

std::map<int, Descriptor> Descriptors() {
  std::map<int, Descriptor> fds;
  DIR* dir = opendir("/proc/self/fd");
  if (dir == nullptr) ToolError("/proc/self/fd cannot be read");
  while (dirent* entry = readdir(dir)) {
    if (entry->d_name[0] == '.') continue;
    const int fd = atoi(entry->d_name);
    if (fd == dirfd(dir)) continue;
    char target[256];
    const ssize_t n = readlink(Format("/proc/self/fd/%d", fd).c_str(), target, sizeof(target));
    const int flags = fcntl(fd, F_GETFD);
    if (flags < 0) continue;
    fds[fd] = Descriptor{std::string(target, static_cast<size_t>(n > 0 ? n : 0)), (flags & FD_CLOEXEC) != 0};
  }
  closedir(dir);
  return fds;
}

uint64_t RssBytes() {
  const std::string statm = ReadFile("/proc/self/statm");
  const char* second = strchr(statm.c_str(), ' ');
  return second == nullptr ? 0 : strtoull(second, nullptr, 10) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

uint64_t HeapBytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

std::string NewThreads(const std::map<int, Thread>& before, const std::map<int, Thread>& now) {
  std::string text;
  for (const auto& t : now) {
    if (before.count(t.first) == 0) text += (text.empty() ? "" : ", ") + t.second.name;
  }
  return text;
}

std::string NewDescriptors(const std::map<int, Descriptor>& before, const std::map<int, Descriptor>& now) {
  std::string text;
  for (const auto& d : now) {
    const auto was = before.find(d.first);
    if (was == before.end() || was->second.target != d.second.target) text += Format("%s%d (%s)", text.empty() ? "" : ", ", d.first, d.second.target.c_str());
  }
  return text;
}

std::string LeftBehind(const std::map<int, Thread>& threads, const std::map<int, Descriptor>& fds, uint64_t ms) {
  std::string left_threads, left_fds;
  // A thread that was joined is listed for a moment longer.
  Until(ms, [&] {
    left_threads = NewThreads(threads, Threads());
    left_fds = NewDescriptors(fds, Descriptors());
    return left_threads.empty() && left_fds.empty();
  });
  std::string text;
  if (!left_threads.empty()) text = "threads " + left_threads;
  if (!left_fds.empty()) text += std::string(text.empty() ? "" : " and ") + "file descriptors " + left_fds;
  return text;
}

}  // namespace probe
