// SPDX-License-Identifier: Apache-2.0
#include "mooncake_codes.h"

namespace mooncake {
namespace {

struct Known {
  int64_t code;
  int32_t sixcall_code;
  const char* name;
  const char* meaning;
};

constexpr Known kKnown[] = {
    {-1, SIXCALL_E_IO, "INTERNAL_ERROR", "the library failed; its own log says why"},
    {kNoSpace, SIXCALL_E_NOSPACE, "NO_AVAILABLE_HANDLE", "no storage node has room; is one running and connected to the master?"},
    {-500, SIXCALL_E_IO, "WRITE_FAIL", "the transfer failed"},
    {kInvalidParams, SIXCALL_E_IO, "INVALID_PARAMS", "the library refused the arguments"},
    {-601, SIXCALL_E_IO, "ILLEGAL_CLIENT", "the master does not know this client"},
    {kNotReady, SIXCALL_E_IO, "REPLICA_IS_NOT_READY", "the value is being stored"},
    {kNotFound, SIXCALL_E_IO, "OBJECT_NOT_FOUND", "absent"},
    {-705, SIXCALL_E_IO, "OBJECT_ALREADY_EXISTS", "the key is stored already"},
    {kHasLease, SIXCALL_E_AGAIN, "OBJECT_HAS_LEASE", "it was read a moment ago; try again when the lease of the master has ended"},
    {kLeaseExpired, SIXCALL_E_TIMEOUT, "LEASE_EXPIRED", "the transfer took longer than the lease of the master"},
    {kReplicating, SIXCALL_E_AGAIN, "OBJECT_HAS_REPLICATION_TASK", "it is being copied; try again"},
    {kNoReplica, SIXCALL_E_IO, "REPLICA_NOT_FOUND", "absent"},
    {kReplicaGone, SIXCALL_E_IO, "REPLICA_IS_GONE", "absent"},
    {kReplicaBusy, SIXCALL_E_AGAIN, "OBJECT_REPLICA_BUSY", "it is being copied; try again"},
    {-800, SIXCALL_E_IO, "TRANSFER_FAIL", "the storage node did not answer or took too long"},
    {kChecksum, SIXCALL_E_CORRUPT, "CHECKSUM_MISMATCH", "the stored bytes are damaged"},
    {kRpcFail, SIXCALL_E_CONNECT, "RPC_FAIL", "the master is not reachable"},
    {kRpcTimeout, SIXCALL_E_TIMEOUT, "RPC_TIMEOUT", "the master does not answer"},
    {-1010, SIXCALL_E_CONNECT, "UNAVAILABLE_IN_CURRENT_STATUS", "the master is not ready"},
    {-1011, SIXCALL_E_CONNECT, "UNAVAILABLE_IN_CURRENT_MODE", "the master is not ready"},
};

const Known* Find(int64_t code) {
  for (const Known& known : kKnown) {
    if (known.code == code) return &known;
  }
  return nullptr;
}

}  // namespace

std::string CodeText(int64_t code) {
  const Known* known = Find(code);
  return known == nullptr ? "code " + std::to_string(code) : std::string(known->name) + " (" + std::to_string(code) + ")";
}

sixcall::Error CodeError(const char* what, int64_t code) {
  const Known* known = Find(code);
  const std::string text = std::string(what) + ": " + CodeText(code) + (known == nullptr ? "" : std::string(": ") + known->meaning);
  return sixcall::Error(known == nullptr ? SIXCALL_E_IO : known->sixcall_code, text, static_cast<int32_t>(code));
}

}  // namespace mooncake
