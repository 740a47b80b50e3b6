// SPDX-License-Identifier: Apache-2.0
#define XXH_INLINE_ALL
#include "infinistore_hash.h"

namespace infinistore {

namespace {

const HashCalls& Choose() {
#if defined(__x86_64__)
  const HashCalls* fast = Avx2Hash();
  if (fast != nullptr && __builtin_cpu_supports("avx2")) return *fast;
#endif
  return PlainHash();
}

}  // namespace

const HashCalls& PlainHash() {
  static constexpr HashCalls kCalls = {
      [](XXH3_state_t* state, uint64_t seed) { XXH3_64bits_reset_withSeed(state, seed); },
      [](XXH3_state_t* state, const uint8_t* bytes, size_t n) { XXH3_64bits_update(state, bytes, n); },
      [](const XXH3_state_t* state) { return static_cast<uint64_t>(XXH3_64bits_digest(state)); },
  };
  return kCalls;
}

const HashCalls& Hash() {
  static const HashCalls& calls = Choose();
  return calls;
}

uint64_t HashOnce(const void* bytes, size_t n, uint64_t seed) { return XXH3_64bits_withSeed(bytes, n, seed); }

}  // namespace infinistore
