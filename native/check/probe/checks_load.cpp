// SPDX-License-Identifier: Apache-2.0
//
// L: load, and hosts of other versions.
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "quiet.h"
#include "session.h"

namespace probe {

PROBE_CHECK(L01) {
  std::string error;
  void* handle = nullptr;
  const sixcall_api* api = LoadFrom(In("library"), &error, &handle);
  if (api == nullptr) Fail("%s", error.c_str());
  Note("%s %s by %s", api->name != nullptr ? api->name : "?", api->version != nullptr ? api->version : "?", api->vendor != nullptr ? api->vendor : "?");
}

PROBE_CHECK(L02) {
  // In a child: a thread is made with signals blocked, and then the kernel ends the
  // process instead of reporting the call.
  const pid_t child = fork();
  if (child < 0) ToolError("fork failed");
  if (child == 0) {
    std::string error;
    if (!WatchSystemCalls(&error)) Skip("the kernel has no seccomp filter: %s", error.c_str());
    At("dlopen of %s", In("library").c_str());
    void* handle = dlopen(In("library").c_str(), RTLD_NOW | RTLD_LOCAL);
    const std::string at_load = ForbiddenCalls();
    if (!at_load.empty()) Fail("while it was loaded, the library %s", at_load.c_str());
    if (handle == nullptr) Fail("the library cannot be loaded; see check L01");
    At("the entry point");
    Host host;
    for (int i = 0; i < 3; i++) Entry(handle, host.get());
    const std::string at_entry = ForbiddenCalls();
    if (!at_entry.empty()) Fail("in the entry point, the library %s", at_entry.c_str());
    Quit(77);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) Fail("while it was loaded or in the entry point, the library started a thread or process");
  if (WIFSIGNALED(status)) Fail("the library dies of signal %d while it is loaded", WTERMSIG(status));
  if (WEXITSTATUS(status) != 77) Quit(0);  // the child has given a verdict
}

PROBE_CHECK(L03) {
  // Fresh processes, as a library is loaded once in each; the best of three counts.
  double load_ms = 1e9, entry_us = 1e9;
  for (int i = 0; i < 3; i++) {
    int p[2];
    if (pipe2(p, O_CLOEXEC) != 0) ToolError("pipe failed");
    const pid_t child = fork();
    if (child < 0) ToolError("fork failed");
    if (child == 0) {
      const uint64_t before = NowNs();
      void* handle = dlopen(In("library").c_str(), RTLD_NOW | RTLD_LOCAL);
      const uint64_t loaded = NowNs();
      uint64_t took[2] = {loaded - before, UINT64_MAX};
      Host host;
      for (int k = 0; handle != nullptr && k < 20; k++) {
        const uint64_t start = NowNs();
        Entry(handle, host.get());
        took[1] = std::min(took[1], NowNs() - start);
      }
      const ssize_t n = write(p[1], took, sizeof(took));
      Quit(n == sizeof(took) && handle != nullptr ? 0 : 1);
    }
    close(p[1]);
    uint64_t took[2];
    const bool ok = read(p[0], took, sizeof(took)) == sizeof(took);
    close(p[0]);
    int status;
    waitpid(child, &status, 0);
    if (!ok || status != 0) Fail("the library cannot be loaded; see check L01");
    load_ms = std::min(load_ms, static_cast<double>(took[0]) / 1e6);
    entry_us = std::min(entry_us, static_cast<double>(took[1]) / 1e3);
  }
  Figure("load_ms", load_ms);
  Figure("entry_us", entry_us);
  if (load_ms > 200) Warn("dlopen took %.0f ms, want less than 200", load_ms);
  if (entry_us > 1000) Warn("the entry point took %.0f us, want less than 1000", entry_us);
}

PROBE_CHECK(L08) {
  // The host struct of every minor that was released, right before an inaccessible page.
  OpenOptions options;
  options.host.minor = 0;
  Session s(Load(), options);
  Exercise(s, "older");
}

PROBE_CHECK(L09) {
  OpenOptions options;
  options.host.minor = 99;
  options.host.features = UINT64_C(0x8000000000000001);
  options.host.tail = 64;
  // Before the library is loaded: the entry point meets the same host.
  std::string error;
  void* handle = nullptr;
  if (LoadFrom(In("library"), &error, &handle) == nullptr) Fail("%s", error.c_str());
  const Host later(options.host);
  if (Entry(handle, later.get()) == nullptr) Fail("the entry point refuses a host of ABI 1.99; a library built for 1.x loads on every host 1.y");
  Session s(Load(), options);
  Exercise(s, "newer");
}

PROBE_CHECK(L10) {
  OpenOptions options;
  options.host.log = false;
  Session s(Load(), options);
  Exercise(s, "nolog");
}

namespace {

/// Copies the library to `to`; returns false with errno set.
bool CopyLibrary(int to) {
  const int from = open(In("library").c_str(), O_RDONLY | O_CLOEXEC);
  if (from < 0) return false;
  char part[1 << 16];
  bool ok = true;
  for (ssize_t n; ok && (n = read(from, part, sizeof(part))) != 0;) ok = n > 0 && write(to, part, static_cast<size_t>(n)) == n;
  close(from);
  return ok;
}

}  // namespace

PROBE_CHECK(L12) {
  const int fd = memfd_create("connector", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0 || !CopyLibrary(fd)) ToolError("the library cannot be copied to a memfd: %s", strerror(errno));
  fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  std::string error;
  const sixcall_api* api = LoadFrom(Format("/proc/self/fd/%d", fd), &error);
  if (api == nullptr) {
    Warn("the library does not load from a sealed memfd: %s", error.c_str());
    return;
  }
  Session s(api);
  Exercise(s, "memfd");
}

PROBE_CHECK(L13) {
  const std::string copy = In("tmp", "/tmp") + "/copy.so";
  const int fd = open(copy.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
  if (fd < 0 || !CopyLibrary(fd)) ToolError("the library cannot be copied to %s: %s", copy.c_str(), strerror(errno));
  close(fd);
  std::string error;
  const sixcall_api* second = LoadFrom(copy, &error);
  if (second == nullptr) Skip("a copy in another folder cannot be loaded: %s", error.c_str());
  const sixcall_api* first = Load();
  if (first == second) Skip("the loader takes the copy for the same library");
  std::vector<std::unique_ptr<Session>> sessions;
  sessions.push_back(std::make_unique<Session>(first));
  OpenError refused;
  sessions.push_back(Session::TryOpen(second, OpenOptions(), &refused));
  if (sessions.back() == nullptr) Fail("the second copy cannot be opened while the first is open: %s", refused.text.c_str());
  for (const std::string& other : All("other_library")) {
    const sixcall_api* api = LoadFrom(other, &error);
    if (api == nullptr) continue;
    OpenOptions options;
    options.config = "{}";
    auto s = Session::TryOpen(api, options, &refused);
    if (s != nullptr) sessions.push_back(std::move(s));
  }
  for (int round = 0; round < 5; round++) {
    std::vector<uint64_t> tickets;
    std::vector<std::string> values;
    for (size_t i = 0; i < sessions.size(); i++) {
      const std::string key = Key("twice/%zu/%d", i, round);
      values.push_back(Content(key, 0, sessions[i]->ValueLen(3000)));
      tickets.push_back(sessions[i]->Submit(Spec::Set({key}, {values.back()})));
    }
    for (size_t i = 0; i < sessions.size(); i++) {
      const Result r = sessions[i]->Wait(tickets[i]);
      if (r.status[0] != SIXCALL_STATUS_HIT) Fail("with %zu libraries in the process, a SET of number %zu has status %u: %s", sessions.size(), i, r.status[0], r.err_text.c_str());
    }
    for (size_t i = sessions.size(); i-- > 0;) sessions[i]->ExpectValue(Key("twice/%zu/%d", i, round), values[i]);
  }
  sessions[0].reset();
  for (size_t i = 1; i < sessions.size(); i++) Exercise(*sessions[i], "after the first was closed");
  Note("%zu libraries side by side", sessions.size());
}

}  // namespace probe
