// SPDX-License-Identifier: Apache-2.0
#include "memory.h"

#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <vector>

#include "core.h"

namespace probe {
namespace {

constexpr uint8_t kSlack = 0xC5;
constexpr int kRegions = 1 << 14;

size_t PageSize() {
  static const auto size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return size;
}

/// What the fault handler can read without a lock; valid while begin is not 0.
struct Region {
  std::atomic<uintptr_t> begin{0};
  std::atomic<int> access{0};
  std::atomic<const char*> why{nullptr};
  uintptr_t end = 0;
  uintptr_t data = 0;
  size_t size = 0;
  char name[96] = {};
};
Region regions[kRegions];
std::mutex free_mu;  // guards the two below
std::vector<int> free_regions;
int used_regions = 0;

int AddRegion(const uint8_t* map, size_t map_size, const uint8_t* data, size_t size, const std::string& name) {
  int index;
  {
    std::lock_guard<std::mutex> lock(free_mu);
    if (!free_regions.empty()) {
      index = free_regions.back();
      free_regions.pop_back();
    } else if (used_regions < kRegions) {
      index = used_regions++;
    } else {
      return -1;
    }
  }
  Region& r = regions[index];
  r.end = reinterpret_cast<uintptr_t>(map) + map_size;
  r.data = reinterpret_cast<uintptr_t>(data);
  r.size = size;
  r.access.store(PROT_READ | PROT_WRITE);
  r.why.store("");
  snprintf(r.name, sizeof(r.name), "%s", name.c_str());
  r.begin.store(reinterpret_cast<uintptr_t>(map));
  return index;
}

void RemoveRegion(int index) {
  if (index < 0) return;
  regions[index].begin.store(0);
  std::lock_guard<std::mutex> lock(free_mu);
  free_regions.push_back(index);
}

/// "write", "read" or "access", as far as the machine tells.
const char* AccessKind(void* context) {
#if defined(__x86_64__)
  const auto* u = static_cast<const ucontext_t*>(context);
  return (u->uc_mcontext.gregs[REG_ERR] & 2) != 0 ? "wrote to" : "read";
#else
  (void)context;
  return "touched";
#endif
}

void OnFault(int signo, siginfo_t* info, void* context) {
  char line[640];
  int n = 0;
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  if (signo == SIGSEGV || signo == SIGBUS) {
    for (const Region& r : regions) {
      const uintptr_t begin = r.begin.load();
      if (begin == 0 || address < begin || address >= r.end) continue;
      const long at = static_cast<long>(address) - static_cast<long>(r.data);
      const char* kind = AccessKind(context);
      if (at >= 0 && static_cast<size_t>(at) < r.size) {
        n = snprintf(line, sizeof(line), "{\"fault\":\"%s %s (byte %ld of %zu)%s\"}\n", kind, r.name, at, r.size, r.why.load());
      } else {
        n = snprintf(line, sizeof(line), "{\"fault\":\"%s byte %ld of %s, which has %zu bytes\"}\n", kind, at, r.name, r.size);
      }
      break;
    }
  }
  if (n == 0) {
    n = snprintf(line, sizeof(line), "{\"signal\":%d,\"address\":\"0x%lx\"}\n", signo, static_cast<unsigned long>(address));
  }
  WriteResult(line, static_cast<size_t>(n));
  signal(signo, SIG_DFL);
  if (signo == SIGABRT || info->si_code <= 0) {
    syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), signo);  // it was sent: send it again
  }
}

}  // namespace

Guarded::Guarded(size_t size, Edge edge, const std::string& name, size_t align) : size_(size) {
  const size_t page = PageSize();
  const size_t inner = (size + page - 1) / page * page + (size == 0 ? page : 0);
  map_size_ = inner + 2 * page;
  void* map = mmap(nullptr, map_size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED) ToolError("mmap of %zu bytes failed", map_size_);
  map_ = static_cast<uint8_t*>(map);
  uint8_t* first = map_ + page;
  if (mprotect(first, inner, PROT_READ | PROT_WRITE) != 0) ToolError("mprotect failed: too many mappings?");
  data_ = first;
  if (edge == Edge::kEnd && size != 0) data_ = first + (inner - size) / (align == 0 ? 1 : align) * (align == 0 ? 1 : align);
  // Only the first and the last page can have slack.
  memset(first, kSlack, static_cast<size_t>(data_ - first));
  memset(data_ + size, kSlack, static_cast<size_t>(first + inner - (data_ + size)));
  region_ = AddRegion(map_, map_size_, data_, size, name);
}

Guarded& Guarded::operator=(Guarded&& other) noexcept {
  if (this == &other) return *this;
  Release();
  map_ = other.map_;
  map_size_ = other.map_size_;
  data_ = other.data_;
  size_ = other.size_;
  region_ = other.region_;
  other.map_ = other.data_ = nullptr;
  other.size_ = 0;
  other.region_ = -1;
  return *this;
}

void Guarded::Release() {
  if (map_ == nullptr) return;
  RemoveRegion(region_);
  munmap(map_, map_size_);
  map_ = nullptr;
}

void Guarded::Protect(int access, const char* why) {
  if (map_ == nullptr) return;
  const size_t page = PageSize();
  if (region_ >= 0) {
    regions[region_].why.store(why);
    regions[region_].access.store(access);
  }
  if (mprotect(map_ + page, map_size_ - 2 * page, access) != 0) ToolError("mprotect failed: too many mappings?");
}

bool Guarded::SlackIntact() const {
  if (map_ == nullptr) return true;
  const size_t page = PageSize();
  for (const uint8_t* p = map_ + page; p < data_; p++) {
    if (*p != kSlack) return false;
  }
  for (const uint8_t* p = data_ + size_; p < map_ + map_size_ - page; p++) {
    if (*p != kSlack) return false;
  }
  return true;
}

void CatchStackOverflow() {
  constexpr size_t kBytes = 64 << 10;
  stack_t stack = {};
  stack.ss_sp = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  stack.ss_size = kBytes;
  sigaltstack(&stack, nullptr);
}

void CatchFaults() {
  CatchStackOverflow();
  struct sigaction action = {};
  action.sa_sigaction = OnFault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  for (const int signo : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP}) sigaction(signo, &action, nullptr);
}

}  // namespace probe
