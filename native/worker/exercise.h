// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_WORKER_EXERCISE_H
#define SIXCALL_WORKER_EXERCISE_H

#include <cstdint>
#include <optional>

#include "connection.h"

namespace sixcall::worker {

/// Stores, finds, reads, lists and removes some values under keys of its own, and
/// says what it does on stdout. The first thing that is not as the contract says
/// is a failure. timeout_ms bounds each batch.
std::optional<Failure> Exercise(Connection* connection, uint32_t timeout_ms);

}  // namespace sixcall::worker

#endif
