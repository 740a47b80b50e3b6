// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_INFINISTORE_HASH_H
#define SIXCALL_INFINISTORE_HASH_H

#include <xxhash.h>

#include <cstddef>
#include <cstdint>

namespace infinistore {

/// XXH3 with 64 bits, for the instructions that this CPU has. The results are the same.
struct HashCalls {
  void (*begin)(XXH3_state_t* state, uint64_t seed);
  void (*add)(XXH3_state_t* state, const uint8_t* bytes, size_t n);
  uint64_t (*digest)(const XXH3_state_t* state);
};

const HashCalls& Hash();
/// The one for any CPU.
const HashCalls& PlainHash();
/// The one for AVX2, which is four times as fast; NULL in builds for other CPUs. Ask
/// the CPU before calling.
const HashCalls* Avx2Hash();

uint64_t HashOnce(const void* bytes, size_t n, uint64_t seed);

}  // namespace infinistore

#endif  // SIXCALL_INFINISTORE_HASH_H
