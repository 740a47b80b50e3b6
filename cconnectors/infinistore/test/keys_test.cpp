// SPDX-License-Identifier: Apache-2.0
#include "infinistore_keys.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

using infinistore::Keys;

bool Never() { return false; }
bool Always() { return true; }

TEST(InfiniStoreKeys, GetsShareAndPutsAreAlone) {
  Keys keys;
  const uint32_t server = keys.Server("127.0.0.1 1");
  Keys::Lock a = keys.Share(server, "k", Never), b = keys.Share(server, "k", Never);
  EXPECT_TRUE(a && b);
  EXPECT_FALSE(keys.Own(server, "k", Never));
  EXPECT_TRUE(keys.Own(server, "other", Never));
  EXPECT_TRUE(keys.Own(keys.Server("127.0.0.1 2"), "k", Never)) << "another server's key";
  a.Release();
  EXPECT_FALSE(keys.Own(server, "k", Never));
  b = Keys::Lock();
  Keys::Lock alone = keys.Own(server, "k", Never);
  EXPECT_TRUE(alone);
  EXPECT_FALSE(keys.Share(server, "k", Never));
  EXPECT_FALSE(keys.Own(server, "k", Never));
  Keys::Lock moved = std::move(alone);
  EXPECT_FALSE(keys.Share(server, "k", Never)) << "a lock that was moved is still held";
  moved.Release();
  EXPECT_TRUE(keys.Share(server, "k", Never));
}

TEST(InfiniStoreKeys, AWaitingPutIsNotStarvedByGets) {
  Keys keys;
  Keys::Lock reader = keys.Share(0, "k", Never);
  std::atomic<bool> waits{false}, got{false};
  std::thread writer([&] {
    Keys::Lock lock = keys.Own(0, "k", [&] {
      waits = true;
      return true;
    });
    got = static_cast<bool>(lock);
  });
  while (!waits) std::this_thread::yield();
  EXPECT_FALSE(keys.Share(0, "k", Never)) << "a get that comes later waits its turn";
  reader.Release();
  writer.join();
  EXPECT_TRUE(got);
  EXPECT_TRUE(keys.Share(0, "k", Never)) << "nothing is left behind";
}

TEST(InfiniStoreKeys, ManyThreadsExcludeEachOther) {
  Keys keys;
  constexpr int kKeys = 3;
  std::atomic<int> readers[kKeys] = {}, writers[kKeys] = {};
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      std::minstd_rand random(t + 1);
      for (int i = 0; i < 3000; ++i) {
        const unsigned k = static_cast<unsigned>(random() % kKeys);
        const std::string key(1, static_cast<char>('a' + k));
        if (random() % 3 == 0) {
          const Keys::Lock lock = keys.Own(0, key, Always);
          if (writers[k].fetch_add(1) != 0 || readers[k] != 0) wrong++;
          writers[k]--;
        } else {
          const Keys::Lock lock = keys.Share(0, key, Always);
          readers[k]++;
          if (writers[k] != 0) wrong++;
          readers[k]--;
        }
      }
    });
  }
  for (std::thread &t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

TEST(InfiniStoreKeys, CutKeysBelongToTheirServer) {
  Keys keys;
  std::string key;
  EXPECT_FALSE(keys.HasCut());
  keys.AddCut(1, "a");
  keys.AddCut(1, "a");
  keys.AddCut(2, "b");
  EXPECT_TRUE(keys.IsCut(1, "a"));
  EXPECT_FALSE(keys.IsCut(2, "a"));
  EXPECT_FALSE(keys.AnyCut(0, &key));
  EXPECT_TRUE(keys.AnyCut(2, &key));
  EXPECT_EQ(key, "b");
  keys.RemoveCut(1, "a");
  EXPECT_FALSE(keys.AnyCut(1, &key));
  keys.RemoveCut(2, "b");
  EXPECT_FALSE(keys.HasCut());
}

}  // namespace
