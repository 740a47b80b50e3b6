// SPDX-License-Identifier: Apache-2.0
#include "guard.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <utility>

namespace sixcall_test {
namespace {

constexpr uint8_t kSlack = 0xC5;

size_t PageSize() {
  static const auto size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return size;
}

// The names of all guarded memory, readable from a signal handler. An entry is
// valid while its begin is not 0.
struct Entry {
  std::atomic<uintptr_t> begin{0};
  uintptr_t end = 0;
  uintptr_t data = 0;
  size_t size = 0;
  char name[80] = {};
};

constexpr int kEntries = 1 << 15;
Entry entries[kEntries];
std::atomic<int> next_entry{0};
struct sigaction previous[NSIG];

void Say(const char *text) {
  const ssize_t written = write(STDERR_FILENO, text, strlen(text));
  static_cast<void>(written);
}

void SayNumber(uintptr_t number) {
  char text[24];
  char *out = text + sizeof(text) - 1;
  *out = '\0';
  do {
    *--out = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number != 0);
  Say(out);
}

// Says which guarded memory was touched, then leaves the fault to the handler
// that was there before, or to the default action.
void OnFault(int signo, siginfo_t *info, void *context) {
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  for (Entry &entry : entries) {
    const uintptr_t begin = entry.begin.load(std::memory_order_acquire);
    if (begin == 0 || address < begin || address >= entry.end) continue;
    Say("guarded memory: forbidden access to ");
    Say(entry.name);
    Say(" (");
    SayNumber(entry.size);
    Say(" bytes), offset ");
    if (address < entry.data) {
      Say("-");
      SayNumber(entry.data - address);
    } else {
      SayNumber(address - entry.data);
    }
    Say("\n");
    break;
  }
  struct sigaction &old = previous[signo];
  if ((old.sa_flags & SA_SIGINFO) != 0 && old.sa_sigaction != nullptr) {
    old.sa_sigaction(signo, info, context);
  } else {
    sigaction(signo, &old, nullptr);  // the instruction runs again and dies
  }
}

void InstallHandlers() {
  static std::once_flag once;
  std::call_once(once, [] {
    for (const int signo : {SIGSEGV, SIGBUS}) {
      struct sigaction action = {};
      action.sa_sigaction = OnFault;
      action.sa_flags = SA_SIGINFO | SA_ONSTACK;
      sigaction(signo, &action, &previous[signo]);
    }
  });
}

int AddEntry(uintptr_t begin, uintptr_t end, uintptr_t data, size_t size, const std::string &name) {
  static std::mutex mutex;
  const std::lock_guard<std::mutex> lock(mutex);
  for (int tries = 0; tries < kEntries; ++tries) {
    const int slot = next_entry.fetch_add(1) % kEntries;
    Entry &entry = entries[slot];
    if (entry.begin.load(std::memory_order_relaxed) != 0) continue;
    entry.end = end;
    entry.data = data;
    entry.size = size;
    std::snprintf(entry.name, sizeof(entry.name), "%s", name.c_str());
    entry.begin.store(begin, std::memory_order_release);
    return slot;
  }
  return -1;  // the memory works without a name
}

}  // namespace

GuardedMemory::GuardedMemory(size_t size, Edge edge, const std::string &name) : size_(size) {
  InstallHandlers();
  const size_t page = PageSize();
  const size_t usable = size == 0 ? page : (size + page - 1) / page * page;
  mapped_ = usable + 2 * page;
  void *memory = mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("mmap of guarded memory failed");
  base_ = static_cast<uint8_t *>(memory);
  if (size > 0 && mprotect(base_ + page, usable, PROT_READ | PROT_WRITE) != 0) {
    throw std::runtime_error("mprotect of guarded memory failed; are there too many mappings?");
  }
  data_ = edge == Edge::kEnd ? base_ + page + usable - size : base_ + (size == 0 ? 0 : page);
  if (size > 0 && usable > size) {
    uint8_t *slack = edge == Edge::kEnd ? base_ + page : data_ + size;
    std::memset(slack, kSlack, usable - size);
  }
  slot_ = AddEntry(reinterpret_cast<uintptr_t>(base_), reinterpret_cast<uintptr_t>(base_) + mapped_,
                   reinterpret_cast<uintptr_t>(data_), size, name);
}

GuardedMemory &GuardedMemory::operator=(GuardedMemory &&other) noexcept {
  std::swap(base_, other.base_);
  std::swap(mapped_, other.mapped_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(slot_, other.slot_);
  return *this;
}

GuardedMemory::~GuardedMemory() {
  if (base_ == nullptr) return;
  if (slot_ >= 0) entries[slot_].begin.store(0, std::memory_order_release);
  munmap(base_, mapped_);
}

void GuardedMemory::Protect(Access access) {
  if (size_ == 0) return;
  const size_t page = PageSize();
  const int protection = access == Access::kNone ? PROT_NONE : access == Access::kRead ? PROT_READ : PROT_READ | PROT_WRITE;
  if (mprotect(base_ + page, mapped_ - 2 * page, protection) != 0) {
    throw std::runtime_error("mprotect of guarded memory failed; are there too many mappings?");
  }
}

bool GuardedMemory::SlackIntact() const {
  if (size_ == 0) return true;
  const size_t page = PageSize();
  for (const uint8_t *p = base_ + page; p < base_ + mapped_ - page; ++p) {
    if (p == data_) p += size_;  // skip the memory itself
    if (p >= base_ + mapped_ - page) break;
    if (*p != kSlack) return false;
  }
  return true;
}

}  // namespace sixcall_test
