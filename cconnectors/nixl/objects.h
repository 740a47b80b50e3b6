// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_NIXL_OBJECTS_H
#define SIXCALL_NIXL_OBJECTS_H

#include <cstdint>
#include <string>

#include "transfer.h"

namespace nixl {

/// The objects of an object backend: their names and what is around a value.
///
/// NIXL reads a range and does not say how much came: for an object that is
/// shorter it reports success, and for a longer one the beginning. So a value is
/// followed by a seal of 32 bytes with its length and a hash of its name, and
/// counts only with it. A reader that knows nothing of the seal finds the value at
/// the beginning of the object. Immutable; safe for concurrent use.
class Objects {
 public:
  static constexpr uint64_t kSealBytes = 32;

  Objects(std::string prefix, bool seal) : prefix_(std::move(prefix)), seal_(seal) {}

  bool sealed() const { return seal_; }
  std::string Name(const Place& place) const { return prefix_ + place.path; }
  /// Bytes of the object of a value.
  uint64_t Size(uint64_t len) const { return len + (seal_ ? kSealBytes : 0); }

  /// Fills the bounce memory of a store: the value and its seal.
  void Pack(Transfer& t) const;
  /// Makes the bounce memory of a load ready, so that what it held is no seal.
  void Prepare(Transfer& t) const;
  /// Checks what came. False = the object has another size, or no seal.
  bool Check(const Transfer& t) const;

 private:
  void MakeSeal(const Transfer& t, uint8_t* out) const;

  std::string prefix_;
  bool seal_;
};

/// Whether something listens at the host and port of an endpoint such as
/// "http://127.0.0.1:9000"; fast where a client library would try for long.
/// Blocks for at most timeout_ms, and for the resolution of a name. An endpoint
/// that is not understood counts as reachable. Returns "" or what is wrong.
std::string WhyNotReachable(const std::string& endpoint, const std::string& scheme, int timeout_ms);

}  // namespace nixl

#endif  // SIXCALL_NIXL_OBJECTS_H
