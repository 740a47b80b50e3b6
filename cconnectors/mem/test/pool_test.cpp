// SPDX-License-Identifier: Apache-2.0
//
// The memory pool behind the store.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "mem_store.h"

namespace mem {
namespace {

struct Block {
  uint8_t *data;
  uint64_t len;
  uint32_t size_class;
  uint8_t fill;
};

Block Take(Pool &pool, uint64_t len, uint8_t fill) {
  Block block = {nullptr, len, 0, fill};
  block.data = pool.Allocate(len, &block.size_class);
  std::memset(block.data, fill, len);
  return block;
}

bool Holds(const Block &block) {
  return std::all_of(block.data, block.data + block.len, [&](uint8_t byte) { return byte == block.fill; });
}

TEST(MemPool, BlocksAreLargeEnoughAndNotWasteful) {
  Pool pool(0);
  for (int power = 0; power < 24; ++power) {
    for (const int64_t delta : {-1, 0, 1}) {
      const auto len = static_cast<uint64_t>((int64_t{1} << power) + delta);
      const Block block = Take(pool, len, 1);
      EXPECT_GE(Pool::ClassBytes(block.size_class), len);
      if (len > 64) {
        EXPECT_LE(Pool::ClassBytes(block.size_class), (len * 5 + 3) / 4 + 4096) << len;
      }
      if (len >= 4096) {
        EXPECT_EQ(reinterpret_cast<uintptr_t>(block.data) % 4096, 0u) << len;
      }
      pool.Free(block.data, block.size_class);
    }
  }
}

TEST(MemPool, BlocksDoNotOverlap) {
  Pool pool(1 << 20);
  std::vector<Block> blocks;
  std::minstd_rand random(3);
  for (int i = 0; i < 3000; ++i) {
    if (!blocks.empty() && random() % 2 == 0) {
      const size_t at = random() % blocks.size();
      ASSERT_TRUE(Holds(blocks[at]));
      pool.Free(blocks[at].data, blocks[at].size_class);
      blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(at));
    } else {
      blocks.push_back(Take(pool, random() % (random() % 10 == 0 ? 200000 : 3000), static_cast<uint8_t>(i)));
    }
  }
  for (const Block &block : blocks) {
    EXPECT_TRUE(Holds(block));
    pool.Free(block.data, block.size_class);
  }
}

TEST(MemPool, ServesManyThreads) {
  Pool pool(1 << 20);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&pool, t] {
      std::minstd_rand random(t + 1);
      std::vector<Block> blocks;
      for (int i = 0; i < 500; ++i) {
        blocks.push_back(Take(pool, random() % 100000, static_cast<uint8_t>(t)));
        if (blocks.size() < 8) continue;
        ASSERT_TRUE(Holds(blocks.front()));
        pool.Free(blocks.front().data, blocks.front().size_class);
        blocks.erase(blocks.begin());
      }
      for (const Block &block : blocks) pool.Free(block.data, block.size_class);
    });
  }
  for (std::thread &thread : threads) thread.join();
}

TEST(MemPool, RefusesWhatNoMachineHas) {
  Pool pool(0);
  uint32_t size_class;
  EXPECT_THROW(pool.Allocate(UINT64_MAX, &size_class), std::bad_alloc);
}

}  // namespace
}  // namespace mem
