// SPDX-License-Identifier: Apache-2.0
#include "memory.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "sixcall/connector.h"

namespace sixcall::worker {

std::atomic<uint64_t> MemoryMap::changes_{0};

std::optional<Failure> MemoryMap::Map(int fd, uint64_t len, uint64_t offset, uint64_t* base) {
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const auto n = [](uint64_t number) { return static_cast<unsigned long long>(number); };
  if (len == 0 || offset % page != 0 || len > INT64_MAX || offset > INT64_MAX - len) {
    return Failure{SIXCALL_E_INVAL, Format("map %llu bytes at %llu: want at least one byte, at a multiple of %llu", n(len), n(offset), n(page))};
  }
  struct stat st;
  if (fstat(fd, &st) != 0) return Failure{SIXCALL_E_INVAL, "map: " + ErrnoText(errno)};
  // Beyond the end of a file every touch is a SIGBUS, in whatever code it happens.
  if (S_ISREG(st.st_mode) && offset + len > static_cast<uint64_t>(st.st_size)) {
    return Failure{SIXCALL_E_INVAL, Format("map %llu bytes at %llu: the memory ends at %lld", n(len), n(offset), static_cast<long long>(st.st_size))};
  }
  void* memory = mmap(nullptr, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, static_cast<off_t>(offset));
  if (memory == MAP_FAILED) return Failure{errno == ENOMEM ? SIXCALL_E_NOMEM : SIXCALL_E_INVAL, Format("map %llu bytes: %s", n(len), ErrnoText(errno).c_str())};
  madvise(memory, len, MADV_DONTDUMP);  // a core is for code, and these are gigabytes
  *base = reinterpret_cast<uint64_t>(memory);
  const std::lock_guard<std::mutex> lock(mutex_);
  mapped_[*base] = len;
  changes_.fetch_add(1, std::memory_order_release);
  return std::nullopt;
}

std::optional<Failure> MemoryMap::Check(uint64_t base, uint64_t len) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto it = mapped_.find(base);
  if (it != mapped_.end() && it->second == len) return std::nullopt;
  return Failure{SIXCALL_E_INVAL, Format("unmap %llu bytes at %#llx: no such mapping", static_cast<unsigned long long>(len), static_cast<unsigned long long>(base))};
}

std::optional<Failure> MemoryMap::Unmap(uint64_t base, uint64_t len) {
  if (auto failure = Check(base, len)) return failure;
  const std::lock_guard<std::mutex> lock(mutex_);
  mapped_.erase(base);
  munmap(reinterpret_cast<void*>(base), len);
  return std::nullopt;
}

}  // namespace sixcall::worker
