// SPDX-License-Identifier: Apache-2.0
#include "ring_view.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>

#include "sixcall/connector.h"

namespace sixcall::worker {
namespace {

bool PowerOfTwo(uint32_t n) { return n != 0 && (n & (n - 1)) == 0; }

bool Fits(uint32_t offset, uint64_t entries, uint64_t entry, uint64_t size) {
  return offset >= sizeof(sixcall_ring) && offset % 64 == 0 && offset + entries * entry <= size;
}

}  // namespace

std::optional<Failure> MapRing(int fd, RingView* out) {
  const auto wrong = [](std::string text) { return Failure{SIXCALL_E_INVAL, "the ring memory: " + text}; };
  struct stat st;
  if (fstat(fd, &st) != 0) return wrong(ErrnoText(errno));
  const auto size = static_cast<uint64_t>(st.st_size);
  if (size < sizeof(sixcall_ring)) return wrong(Format("%llu bytes, want at least %zu", static_cast<unsigned long long>(size), sizeof(sixcall_ring)));
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return wrong("mmap: " + ErrnoText(errno));
  auto* ring = static_cast<sixcall_ring*>(memory);
  std::optional<Failure> failure;
  if (ring->magic != SIXCALL_RING_MAGIC) {
    failure = wrong(Format("it begins with %#llx, want %#llx", static_cast<unsigned long long>(ring->magic), static_cast<unsigned long long>(SIXCALL_RING_MAGIC)));
  } else if (ring->version != SIXCALL_RING_VERSION) {
    failure = wrong(Format("its version is %u, this worker knows %u", ring->version, SIXCALL_RING_VERSION));
  } else if (!PowerOfTwo(ring->sq_entries) || !PowerOfTwo(ring->cq_entries) || ring->cq_entries / 2 < ring->sq_entries) {
    failure = wrong(Format("%u submissions and %u completions, want powers of two and at least two completions for each submission", ring->sq_entries, ring->cq_entries));
  } else if (!Fits(ring->sq_offset, ring->sq_entries, sizeof(sixcall_submission), size) ||
             !Fits(ring->cq_offset, ring->cq_entries, sizeof(sixcall_ring_completion), size)) {
    failure = wrong(Format("rings at %u and %u, want multiples of 64 that leave room for their entries in %llu bytes", ring->sq_offset, ring->cq_offset,
                           static_cast<unsigned long long>(size)));
  }
  if (failure) {
    munmap(memory, size);
    return failure;
  }
  auto* bytes = static_cast<uint8_t*>(memory);
  out->ring = ring;
  out->sq = reinterpret_cast<const sixcall_submission*>(bytes + ring->sq_offset);
  out->cq = reinterpret_cast<sixcall_ring_completion*>(bytes + ring->cq_offset);
  out->sq_mask = ring->sq_entries - 1;
  out->cq_entries = ring->cq_entries;
  return std::nullopt;
}

}  // namespace sixcall::worker
