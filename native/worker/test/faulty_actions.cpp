// SPDX-License-Identifier: Apache-2.0
#include "faulty_actions.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>

#include "../ring.h"

#if defined(__clang__) || defined(__GNUC__)
#define UNCHECKED __attribute__((noinline, no_sanitize("undefined", "address")))
#endif

extern char** environ;

namespace faulty {
namespace {

std::string TextOf(const std::string& json, const std::string& key) {
  const size_t at = json.find("\"" + key + "\"");
  if (at == std::string::npos) return "";
  const size_t colon = json.find(':', at);
  const size_t from = colon == std::string::npos ? colon : json.find_first_not_of(" \t\n", colon + 1);
  if (from == std::string::npos) return "";
  if (json[from] != '"') return json.substr(from, json.find_first_of(",} \t\n", from) - from);
  return json.substr(from + 1, json.find('"', from + 1) - from - 1);
}

uint64_t NumberOf(const std::string& json, const std::string& key, uint64_t otherwise) {
  const std::string text = TextOf(json, key);
  return text.empty() ? otherwise : std::strtoull(text.c_str(), nullptr, 10);
}

UNCHECKED void Crash() {
  volatile uintptr_t address = 0x10;
  *reinterpret_cast<volatile int*>(address) = 1;
}

UNCHECKED int Overflow(int depth) {
  volatile char frame[1024];  // less than a guard page
  frame[0] = static_cast<char>(depth);
  return depth < 0 ? 0 : Overflow(depth + 1) + frame[0];  // never below 0 in time
}

UNCHECKED void CorruptHeap() {
  // Enough of it that glibc's checks meet it at the latest when all is freed.
  char* blocks[64];
  for (char*& block : blocks) block = static_cast<char*>(std::malloc(1500));
  for (char* block : blocks) {
    volatile char* past = block;
    for (int i = -16; i < 0; i++) past[i] = 0x41;
  }
  for (char* block : blocks) std::free(block);
}

std::string Leak(uint64_t mib) {
  for (uint64_t i = 0; i < mib; i++) {
    void* block = std::malloc(1 << 20);
    if (block == nullptr) return "malloc failed after " + std::to_string(i) + " MiB";
    std::memset(block, 0x5A, 1 << 20);
  }
  return "leaked " + std::to_string(mib) + " MiB";
}

std::string Flood(uint64_t mib) {
  static const std::string line = std::string(1023, 'f') + "\n";
  for (uint64_t i = 0; i < mib * 1024; i++) {
    if (write(STDERR_FILENO, line.data(), line.size()) < 0) return std::strerror(errno);
  }
  return "done";
}

std::string Fork() {
  const pid_t pid = fork();
  if (pid == 0) _exit(0);
  if (pid < 0) return std::strerror(errno);
  waitpid(pid, nullptr, 0);
  return "worked";
}

std::string Spawn() {
  char name[] = "/bin/true";
  char* argv[] = {name, nullptr};
  pid_t pid = 0;
  const int rc = posix_spawn(&pid, name, nullptr, nullptr, argv, environ);
  if (rc != 0) return std::strerror(rc);
  waitpid(pid, nullptr, 0);
  return "worked";
}

std::string Exec() {
  char name[] = "/bin/true";
  char* argv[] = {name, nullptr};
  execv(name, argv);
  return std::strerror(errno);
}

std::string ReadParent() {
  char here = 0;
  iovec local = {&here, 1}, remote = {environ, 1};
  return process_vm_readv(getppid(), &local, 1, &remote, 1, 0) < 0 ? std::strerror(errno) : "worked";
}

void ChangeSignals() {
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  sigaction(SIGURG, &action, nullptr);
  sigaction(SIGSEGV, &action, nullptr);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

/// Overwrites the worker's half of the rings, and the host's as well.
UNCHECKED std::string ScribbleRing() {
  std::FILE* maps = std::fopen("/proc/self/maps", "re");
  if (maps == nullptr) return "no /proc";
  char line[512];
  std::string outcome = "no ring found";
  while (std::fgets(line, sizeof(line), maps) != nullptr) {
    uint64_t from = 0, to = 0;
    char mode[8] = {};
    if (std::sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s", &from, &to, mode) != 3 || std::strcmp(mode, "rw-s") != 0) continue;
    if (std::strstr(line, "memfd:") == nullptr || to - from < sizeof(sixcall_ring)) continue;
    auto* ring = reinterpret_cast<sixcall_ring*>(from);
    if (ring->magic != SIXCALL_RING_MAGIC) continue;
    uint32_t random = 2463534242u;
    const auto scribble = [&random](void* to_fill, size_t len) {
      for (size_t i = 0; i < len; i++) {
        random ^= random << 13, random ^= random >> 17, random ^= random << 5;
        static_cast<uint8_t*>(to_fill)[i] = static_cast<uint8_t>(random);
      }
    };
    scribble(reinterpret_cast<uint8_t*>(ring) + ring->cq_offset, ring->cq_entries * sizeof(sixcall_ring_completion));
    scribble(reinterpret_cast<uint8_t*>(ring) + offsetof(sixcall_ring, sq_tail), sizeof(sixcall_ring) - offsetof(sixcall_ring, sq_tail));
    outcome = "done";
  }
  std::fclose(maps);
  return outcome;
}

}  // namespace

Settings Parse(const char* json, uint64_t len) {
  const std::string text(json, len);
  Settings s;
  const std::string fault = TextOf(text, "x-fault");
  const size_t in = fault.find("_in_");
  s.action = fault.substr(0, in);
  if (in != std::string::npos) s.call = fault.substr(in + 4);
  s.behaviour = TextOf(text, "x-behaviour");
  s.after = NumberOf(text, "x-after", s.after);
  s.hold = NumberOf(text, "x-hold", s.hold);
  s.queue = NumberOf(text, "x-queue", s.queue);
  s.mib = NumberOf(text, "x-mib", s.mib);
  s.lines = NumberOf(text, "x-lines", s.lines);
  s.log_batches = NumberOf(text, "x-log-batches", s.log_batches);
  return s;
}

void Log(const sixcall_host* host, int32_t level, const std::string& text) {
  if (host != nullptr && host->log != nullptr) host->log(host->log_ctx, level, text.data(), text.size());
}

void Act(const Settings& s, const sixcall_host* host) {
  std::string outcome = "done";
  const std::string& action = s.action;
  if (action == "crash") {
    Crash();
  } else if (action == "hang") {
    for (;;) pause();
  } else if (action == "spin") {
    for (volatile uint64_t i = 0;; i = i + 1) {
    }
  } else if (action == "exit") {
    std::exit(3);
  } else if (action == "quick_exit") {
    _exit(3);
  } else if (action == "abort") {
    std::abort();
  } else if (action == "throw") {
    throw std::runtime_error("thrown by the faulty connector");
  } else if (action == "overflow") {
    Overflow(0);
  } else if (action == "corrupt_heap") {
    CorruptHeap();
  } else if (action == "leak") {
    outcome = Leak(s.mib);
  } else if (action == "flood") {
    outcome = Flood(s.mib);
  } else if (action == "sigpipe") {
    raise(SIGPIPE);
  } else if (action == "sigkill") {
    raise(SIGKILL);
  } else if (action == "sigterm") {
    raise(SIGTERM);
  } else if (action == "fork") {
    outcome = Fork();
  } else if (action == "spawn") {
    outcome = Spawn();
  } else if (action == "exec") {
    outcome = Exec();
  } else if (action == "ptrace") {
    outcome = ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) < 0 ? std::strerror(errno) : "worked";
  } else if (action == "read_parent") {
    outcome = ReadParent();
  } else if (action == "kill_parent") {  // signal 0 is a question and allowed
    outcome = kill(getppid(), SIGURG) < 0 ? std::strerror(errno) : "worked";
  } else if (action == "close_fds") {
    for (int fd = 3; fd < 1024; fd++) close(fd);
  } else if (action == "signals") {
    ChangeSignals();
  } else if (action == "scribble_ring") {
    outcome = ScribbleRing();
  } else {
    outcome = "unknown action";
  }
  Log(host, SIXCALL_LOG_WARN, "fault " + action + ": " + outcome);
}

}  // namespace faulty
