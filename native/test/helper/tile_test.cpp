// SPDX-License-Identifier: Apache-2.0
//
// How connector.hpp cuts batches into tiles and keeps lookups apart.
#include <gtest/gtest.h>

#include <algorithm>

#include "../harness/threads.h"
#include "scripted.h"

namespace sixcall_test {
namespace {

class Tiling : public HelperTest {
 protected:
  // Opens with so many workers and a tile for every so many keys.
  std::unique_ptr<Connection> Open(uint32_t workers, uint32_t tile_keys) {
    script->start = [=](const sixcall::Config &, sixcall::Options &options) {
      options.workers = workers;
      options.tile_keys = tile_keys;
      options.tile_bytes = UINT64_MAX;
    };
    return std::make_unique<Connection>(Api());
  }

  // The sizes of the tiles in the order of their keys; checks that together they
  // are the keys of the batch, each once and in order.
  std::vector<size_t> SizesOf(const std::vector<std::string> &keys) {
    auto tiles = script->Tiles();
    std::sort(tiles.begin(), tiles.end(), [&](const auto &a, const auto &b) {
      return std::find(keys.begin(), keys.end(), a[0]) < std::find(keys.begin(), keys.end(), b[0]);
    });
    std::vector<std::string> together;
    std::vector<size_t> sizes;
    for (const auto &tile : tiles) {
      together.insert(together.end(), tile.begin(), tile.end());
      sizes.push_back(tile.size());
    }
    EXPECT_EQ(together, keys);
    return sizes;
  }
};

TEST_F(Tiling, CutsNineKeysForFourWorkersInto3222) {
  const auto connection = Open(4, 1);
  connection->Run(Request::Get(Keys(9), 1));
  EXPECT_EQ(SizesOf(Keys(9)), (std::vector<size_t>{3, 2, 2, 2}));
}

TEST_F(Tiling, CutsEveryShapeEvenly) {
  for (const uint32_t workers : {1u, 2u, 3u, 5u}) {
    const auto connection = Open(workers, 1);
    for (const size_t n : {1u, 2u, 3u, 4u, 5u, 6u, 7u, 11u, 13u, 64u}) {
      script->tiles.clear();
      EXPECT_EQ(connection->Run(Request::Set(Keys(n), std::vector<std::string>(n, "v"))).n_ok, n);
      const auto sizes = SizesOf(Keys(n));
      EXPECT_EQ(sizes.size(), std::min<size_t>(n, workers)) << n << " keys, " << workers << " workers";
      EXPECT_TRUE(std::is_sorted(sizes.rbegin(), sizes.rend())) << "the first tiles are the larger ones";
      EXPECT_LE(sizes.front() - sizes.back(), 1u) << n << " keys, " << workers << " workers";
    }
  }
}

TEST_F(Tiling, LeavesSmallBatchesWhole) {
  const auto connection = Open(4, 16);
  connection->Run(Request::Get(Keys(31), 1));
  EXPECT_EQ(SizesOf(Keys(31)), (std::vector<size_t>{31}));
  script->tiles.clear();
  connection->Run(Request::Get(Keys(32), 1));
  EXPECT_EQ(SizesOf(Keys(32)), (std::vector<size_t>{16, 16}));
}

TEST_F(Tiling, CutsByBytesToo) {
  script->start = [](const sixcall::Config &, sixcall::Options &options) {
    options.workers = 4;
    options.tile_keys = 1000;
    options.tile_bytes = 100;
  };
  Connection connection(Api());
  connection.Run(Request::Get(Keys(6), 50));
  EXPECT_EQ(SizesOf(Keys(6)), (std::vector<size_t>{2, 2, 2}));
}

TEST_F(Tiling, RunsTheTilesOfABatchAtTheSameTime) {
  const auto connection = Open(4, 1);
  Gate gate;
  script->before_tile = [&](sixcall::Tile &) { gate.Pass(); };
  const uint64_t ticket = connection->Submit(Request::Get(Keys(4), 1));
  EXPECT_TRUE(Eventually([&] { return gate.waiting() == 4; })) << "all four workers have a tile";
  EXPECT_FALSE(connection->Readable(20)) << "a batch is published when its last tile has ended";
  gate.Open();
  EXPECT_EQ(connection->Wait(ticket).status.size(), 4u);
}

TEST_F(Tiling, KeepsStatusAndBuffersWithTheirKeys) {
  const auto connection = Open(4, 1);
  std::vector<std::string> keys = Keys(50), values;
  std::vector<uint64_t> lens;
  for (size_t i = 0; i < keys.size(); ++i) {
    values.push_back(std::string(i % 7 + 1, static_cast<char>('a' + i % 26)));
    lens.push_back(i % 7 + 1);
  }
  connection->Run(Request::Set(keys, values));
  for (size_t i = 0; i < keys.size(); i += 3) keys[i] = "absent";
  const Result result = connection->Run(Request::Get(keys, lens));
  for (size_t i = 0; i < keys.size(); ++i) {
    if (i % 3 == 0) {
      EXPECT_EQ(result.status[i], SIXCALL_STATUS_MISS) << i;
    } else {
      EXPECT_EQ(result.status[i], SIXCALL_STATUS_HIT) << i;
      EXPECT_EQ(result.values[i], values[i]) << i;
    }
  }
}

TEST_F(Tiling, LookupsDoNotWaitBehindBulkTransfers) {
  const auto connection = Open(2, 1);
  Gate gate;
  script->before_key = [&](uint32_t op, std::string_view) {
    if (op == SIXCALL_OP_GET) gate.Pass();
  };
  std::vector<uint64_t> gets;
  for (int i = 0; i < 20; ++i) gets.push_back(connection->Submit(Request::Get(Keys(4), 1)));
  ASSERT_TRUE(Eventually([&] { return gate.waiting() == 2; })) << "every bulk worker is held";
  for (int i = 0; i < 50; ++i) EXPECT_EQ(connection->Run(Request::Exists(Keys(3))).rc, SIXCALL_OK);
  EXPECT_EQ(connection->Run(Request::Ping()).rc, SIXCALL_OK);
  for (const uint64_t ticket : gets) EXPECT_FALSE(connection->Finished(ticket));
  gate.Open();
  connection->WaitForAll();
}

TEST_F(Tiling, ManySmallBatchesUseAllWorkers) {
  const auto connection = Open(3, 16);
  Gate gate;
  script->before_key = [&](uint32_t, std::string_view) { gate.Pass(); };
  for (int i = 0; i < 3; ++i) connection->Submit(Request::Get({"k"}, 1));
  EXPECT_TRUE(Eventually([&] { return gate.waiting() == 3; }));
  gate.Open();
  connection->WaitForAll();
}

}  // namespace
}  // namespace sixcall_test
