// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_MOONCAKE_CODES_H
#define SIXCALL_MOONCAKE_CODES_H

#include <cstdint>
#include <string>

#include "sixcall/connector.hpp"

namespace mooncake {

/// The library's codes that mean something special here.
enum Code : int64_t {
  kNoSpace = -200,
  kInvalidParams = -600,  ///< of a get: the buffer is too small
  kNotReady = -703,       ///< a put of the key has begun and not ended
  kNotFound = -704,
  kHasLease = -706,       ///< a remove of a key that was read a moment ago
  kLeaseExpired = -707,   ///< a get took longer than the lease: the bytes may be another value's
  kReplicating = -708,
  kNoReplica = -710,
  kReplicaGone = -712,
  kReplicaBusy = -714,
  kChecksum = -801,
  kRpcFail = -900,
  kRpcTimeout = -901,
};

/// "RPC_FAIL (-900)"; for a code without a name the number.
std::string CodeText(int64_t code);

/// Says that a key is as good as absent.
inline bool IsAbsent(int64_t code) {
  return code == kNotFound || code == kNotReady || code == kNoReplica || code == kReplicaGone;
}

/// Says that the master did not answer, so that other calls will fail as well.
inline bool IsMasterGone(int64_t code) { return code == kRpcFail || code == kRpcTimeout; }

/// Says that somebody holds the key for a while.
inline bool IsHeld(int64_t code) { return code == kHasLease || code == kReplicating || code == kReplicaBusy; }

/// The error for a code: "get: TRANSFER_FAIL (-800): the storage node did not answer".
sixcall::Error CodeError(const char* what, int64_t code);

}  // namespace mooncake

#endif  // SIXCALL_MOONCAKE_CODES_H
