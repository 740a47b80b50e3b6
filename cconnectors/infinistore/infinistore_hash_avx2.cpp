// SPDX-License-Identifier: Apache-2.0
// The only file that is compiled for AVX2. It includes nothing with inline functions
// of external linkage: the linker might keep this file's copy for everybody.
#define XXH_INLINE_ALL
#include "infinistore_hash.h"

namespace infinistore {

const HashCalls* Avx2Hash() {
#if defined(__AVX2__)
  static constexpr HashCalls kCalls = {
      [](XXH3_state_t* state, uint64_t seed) { XXH3_64bits_reset_withSeed(state, seed); },
      [](XXH3_state_t* state, const uint8_t* bytes, size_t n) { XXH3_64bits_update(state, bytes, n); },
      [](const XXH3_state_t* state) { return static_cast<uint64_t>(XXH3_64bits_digest(state)); },
  };
  return &kCalls;
#else
  return nullptr;
#endif
}

}  // namespace infinistore
