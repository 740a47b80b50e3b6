// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_WORKER_RING_VIEW_H
#define SIXCALL_WORKER_RING_VIEW_H

#include <cstdint>
#include <optional>

#include "ring.h"
#include "text.h"

namespace sixcall::worker {

/// The rings as this process has mapped them. They stay mapped for its life.
struct RingView {
  sixcall_ring* ring = nullptr;
  const sixcall_submission* sq = nullptr;
  sixcall_ring_completion* cq = nullptr;
  uint32_t sq_mask = 0;
  uint32_t cq_entries = 0;
};

/// Maps the memory of fd and checks what its first page says.
std::optional<Failure> MapRing(int fd, RingView* out);

}  // namespace sixcall::worker

#endif
