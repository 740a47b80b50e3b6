// SPDX-License-Identifier: Apache-2.0
//
// What the test of kill -9 and its writer agree on.
#ifndef SIXCALL_FS_TEST_CRASH_H
#define SIXCALL_FS_TEST_CRASH_H

#include <cstring>
#include <string>

#include "fs.h"

namespace sixcall_test {

constexpr uint32_t kCrashKeys = 32;

// One in eight has a name that is a hash.
inline std::string CrashKey(uint32_t key) { return key % 8 == 7 ? std::string(400, 'k') + std::to_string(key) : L2Key(key); }

// The generation, then bytes that follow from key and generation; so does the size.
inline std::string CrashValue(uint32_t key, uint64_t generation) {
  const size_t len = 8 + (key * 7919 + generation * 104729) % 150000;
  std::string value = Pattern(uint64_t{key} << 40 | generation, generation % 3 == 0 ? (len + 4095) / 4096 * 4096 : len);
  std::memcpy(value.data(), &generation, 8);
  return value;
}

}  // namespace sixcall_test

#endif  // SIXCALL_FS_TEST_CRASH_H
