// SPDX-License-Identifier: Apache-2.0
// What a worker takes away from itself before the library's code runs.
#ifndef SIXCALL_WORKER_HARDEN_H
#define SIXCALL_WORKER_HARDEN_H

#include <cstdint>
#include <optional>

#include "text.h"

namespace sixcall::worker {

/// At start, in this order: the death signal, no new privileges, stray
/// descriptors closed, stdin from /dev/null, signals at their defaults. Ends the
/// process when that cannot be had.
void HardenStart(int control_fd);

/// When the host has said what it wants. memory_limit is in bytes, 0 = none.
std::optional<Failure> SetLimits(bool core_dumps, uint64_t memory_limit);

/// Forbids, in all threads and for good: exec, fork, ptrace, access to other
/// processes' memory and descriptors, signals to other processes.
std::optional<Failure> InstallSeccomp();

}  // namespace sixcall::worker

#endif
