// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_INFINISTORE_TRAILER_H
#define SIXCALL_INFINISTORE_TRAILER_H

// Only for the size of its state; infinistore_hash.cpp has the code.
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "infinistore_hash.h"

namespace infinistore {

/// The bytes behind a stored value that prove it: magic, length of the value and a
/// hash of key and value, each 8 bytes, little-endian. What was cut, mixed with what the
/// block held before, or stored under another key, does not fit.
constexpr size_t kTrailerBytes = 24;
constexpr char kTrailerMagic[] = "6CinfiV1";  // 8 bytes and a NUL

/// Hashes a value as it passes by. One thread.
class TrailerHash {
 public:
  void Begin(std::string_view key) { Hash().begin(&state_, HashOnce(key.data(), key.size(), 0)); }
  void Add(const uint8_t* bytes, size_t n) { Hash().add(&state_, bytes, n); }

  /// Writes the trailer of a value of len bytes, all of which were added.
  void Write(uint64_t len, uint8_t out[kTrailerBytes]) const {
    const uint64_t hash = Hash().digest(&state_);
    std::memcpy(out, kTrailerMagic, 8);
    std::memcpy(out + 8, &len, 8);
    std::memcpy(out + 16, &hash, 8);
  }
  bool Fits(uint64_t len, const uint8_t trailer[kTrailerBytes]) const {
    uint8_t want[kTrailerBytes];
    Write(len, want);
    return std::memcmp(want, trailer, kTrailerBytes) == 0;
  }

 private:
  XXH3_state_t state_;
};

}  // namespace infinistore

#endif  // SIXCALL_INFINISTORE_TRAILER_H
