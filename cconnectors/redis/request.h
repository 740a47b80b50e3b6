// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_REDIS_REQUEST_H
#define SIXCALL_REDIS_REQUEST_H

#include <cstdint>
#include <optional>

#include "sixcall/connector.hpp"

namespace redis {

/// The keys of a batch that one worker runs. Belongs to that worker's thread.
struct Task {
  std::optional<sixcall::AsyncBatch> batch;
  uint64_t ticket = 0;      // the helper's
  uint64_t deadline_ns = 0;  // 0 = none
  uint32_t from = 0, n = 0;  // the range of keys; ping: 0 and 1
  uint32_t unreported = 0;   // keys without an outcome
  uint32_t requests = 0;     // that are in some queue and point here
  uint64_t cost = 0;         // of the worker's load
  bool dead = false;         // the host has been told; its memory must not be touched
  Task* before = nullptr;    // in the list of living tasks
  Task* after = nullptr;
};

enum class Verb : uint8_t { kGet, kSet, kExists, kExistsLength, kUnlink, kPing };

/// One key's way to a server and back.
struct Request {
  Task* task = nullptr;
  uint32_t index = 0;   // in the batch
  uint16_t slot = 0;    // of the key, in a cluster
  Verb verb = Verb::kPing;
  uint8_t losses = 0;     // connections that were lost under it
  uint8_t redirects = 0;  // that it followed
  bool asking = false;    // goes after ASKING, whose reply comes first
  // Of the reply that is coming:
  uint8_t replies = 0;  // that have come
  bool exists = false;  // kExistsLength: what the first reply said
  bool refused = false;  // kExistsLength: the first reply was an error
  uint64_t cost = 0;     // bytes that the reply may bring; set when it is encoded
};

/// How many replies a request gets.
inline uint8_t RepliesOf(const Request& r) { return static_cast<uint8_t>((r.verb == Verb::kExistsLength ? 2 : 1) + (r.asking ? 1 : 0)); }

/// Whether sending it twice is the same as once.
inline bool Idempotent(Verb verb) { return verb != Verb::kUnlink; }

}  // namespace redis

#endif  // SIXCALL_REDIS_REQUEST_H
