// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_REDIS_TOPOLOGY_H
#define SIXCALL_REDIS_TOPOLOGY_H

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "address.h"
#include "resp_value.h"

namespace redis {

constexpr int kSlots = 16384;

/// The slot of a key: CRC16 of what stands between its first '{' and the next
/// '}', or of all of it if there is nothing.
uint16_t SlotOf(std::string_view key);

/// A server that takes reads and writes.
struct Node {
  Address address;
  std::vector<Endpoint> endpoints;
  bool operator==(const Node& o) const { return address == o.address && endpoints == o.endpoints; }
};

/// Who serves what. Immutable, shared by all threads.
struct Topology {
  static constexpr uint16_t kNobody = 0xFFFF;

  std::vector<Node> nodes;       // masters; exactly one without a cluster
  std::vector<uint16_t> slots;   // of a cluster: index into nodes, or kNobody; else empty
  std::vector<Address> others;   // replicas: they know the map too

  bool is_cluster() const { return !slots.empty(); }
  /// The same for everybody who sees the same map.
  uint64_t Signature() const;
  bool operator==(const Topology& o) const { return nodes == o.nodes && slots == o.slots && others == o.others; }
};

/// Reads the reply to CLUSTER SLOTS. answered is who was asked: a node that does
/// not know its own address leaves it out. Endpoints are left empty. Throws
/// sixcall::Error.
Topology ReadClusterSlots(const Value& reply, const Address& answered);

}  // namespace redis

#endif  // SIXCALL_REDIS_TOPOLOGY_H
