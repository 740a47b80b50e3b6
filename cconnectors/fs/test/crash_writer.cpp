// SPDX-License-Identifier: Apache-2.0
//
// Stores values without end until it is killed: crash_writer LIBRARY CONFIG FIRST.
// Writes the number of each key to stdout, one byte, when it is stored.
#include <unistd.h>

#include <random>

#include "crash.h"
#include "fs.h"
#include "harness/shared_host.h"

int main(int argc, char **argv) {
  using namespace sixcall_test;
  if (argc != 4) return 2;
  SharedHost host(LoadLibrary(argv[1]), argv[2]);
  std::mt19937 random(static_cast<unsigned>(std::stoul(argv[3])));
  constexpr uint32_t kBatch = 4;
  for (uint64_t generation = std::stoull(argv[3]);; generation++) {
    SharedHost::Call set(kBatch);
    std::vector<std::string> keys, values;
    std::vector<uint8_t> numbers;
    for (uint32_t i = 0; i < kBatch; i++) {
      const auto key = static_cast<uint8_t>(random() % kCrashKeys / kBatch * kBatch + i);  // no key twice in a batch
      numbers.push_back(key);
      keys.push_back(CrashKey(key));
      values.push_back(CrashValue(key, generation));
    }
    for (uint32_t i = 0; i < kBatch; i++) {
      set.SetKey(i, keys[i]);
      set.SetBuf(i, values[i].data(), values[i].size());
    }
    host.Run(SIXCALL_OP_SET, set);
    if (set.n_ok != kBatch) return 3;
    if (write(STDOUT_FILENO, numbers.data(), numbers.size()) < 0) return 4;
  }
}
