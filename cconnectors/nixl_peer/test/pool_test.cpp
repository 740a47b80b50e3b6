// SPDX-License-Identifier: Apache-2.0
#include "pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

using nixl_peer::HashOf;
using nixl_peer::Lease;
using nixl_peer::Pool;
using sixcall::Status;

Status Set(Pool& pool, const std::string& key, const std::string& value) {
  return pool.Set(key, reinterpret_cast<const uint8_t*>(value.data()), value.size());
}

std::string Text(const Pool& pool, const Lease& lease) {
  return {reinterpret_cast<const char*>(pool.At(*lease)), static_cast<size_t>(lease->len)};
}

TEST(Pool, KeepsValuesOfAllSizes) {
  Pool pool(1 << 16);
  for (const size_t n : {0, 1, 63, 64, 65, 4096}) ASSERT_EQ(Set(pool, std::to_string(n), std::string(n, 'x')), Status::kHit);
  for (const size_t n : {0, 1, 63, 64, 65, 4096}) {
    const Lease lease = pool.Find(std::to_string(n));
    ASSERT_NE(lease, nullptr);
    EXPECT_EQ(Text(pool, lease), std::string(n, 'x'));
    EXPECT_EQ(lease->hash, HashOf(std::to_string(n), pool.At(*lease), n));
  }
  EXPECT_EQ(pool.Find("absent"), nullptr);
  EXPECT_EQ(pool.keys(), 6u);
  EXPECT_EQ(pool.used(), 0u + 1 + 63 + 64 + 65 + 4096);
  EXPECT_TRUE(pool.Erase("4096"));
  EXPECT_FALSE(pool.Erase("4096"));
  EXPECT_EQ(pool.keys(), 5u);
}

TEST(Pool, TheOldestGoFirst) {
  Pool pool(4 * 1024);
  for (const char* key : {"a", "b", "c", "d"}) ASSERT_EQ(Set(pool, key, std::string(1024, key[0])), Status::kHit);
  // The old value of a goes, as the oldest; the new one is the newest.
  ASSERT_EQ(Set(pool, "a", std::string(1000, 'A')), Status::kHit);
  EXPECT_NE(pool.Find("b"), nullptr);
  ASSERT_EQ(Set(pool, "e", std::string(1024, 'e')), Status::kHit);
  EXPECT_EQ(pool.Find("b"), nullptr);
  ASSERT_EQ(Set(pool, "f", std::string(1024, 'f')), Status::kHit);
  EXPECT_EQ(pool.Find("c"), nullptr);
  EXPECT_EQ(Text(pool, pool.Find("a")), std::string(1000, 'A'));
  EXPECT_EQ(Text(pool, pool.Find("d")), std::string(1024, 'd'));
  EXPECT_EQ(Text(pool, pool.Find("e")), std::string(1024, 'e'));
}

TEST(Pool, FreedPlacesBecomeOne) {
  Pool pool(1 << 20);
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < 1024; i++) ASSERT_EQ(Set(pool, std::to_string(i), std::string(1024, 'x')), Status::kHit);
    EXPECT_EQ(pool.keys(), 1024u);
    for (int i = 0; i < 1024; i += 2) EXPECT_TRUE(pool.Erase(std::to_string(i)));
    for (int i = 1; i < 1024; i += 2) EXPECT_TRUE(pool.Erase(std::to_string(i)));
    ASSERT_EQ(Set(pool, "all", std::string(1 << 20, 'y')), Status::kHit) << "round " << round;
    EXPECT_EQ(pool.keys(), 1u);
    EXPECT_TRUE(pool.Erase("all"));
  }
}

TEST(Pool, ALeaseKeepsTheBytes) {
  Pool pool(2 * 1024);
  ASSERT_EQ(Set(pool, "a", std::string(1024, 'a')), Status::kHit);
  const Lease lease = pool.Find("a");
  EXPECT_TRUE(pool.Erase("a"));
  for (int i = 0; i < 10; i++) ASSERT_EQ(Set(pool, std::to_string(i), std::string(1024, 'x')), Status::kHit);
  EXPECT_EQ(Text(pool, lease), std::string(1024, 'a'));
  EXPECT_EQ(pool.keys(), 1u) << "half of the pool is leased";
  EXPECT_EQ(Set(pool, "large", std::string(2048, 'x')), Status::kRefused);
  EXPECT_EQ(Set(pool, "too large", std::string(2049, 'x')), Status::kRefused);
}

TEST(Pool, HashesTellDamage) {
  std::string value(1000, 'v');
  const auto hash = [&](const std::string& key) { return HashOf(key, reinterpret_cast<const uint8_t*>(value.data()), value.size()); };
  const uint64_t right = hash("k");
  EXPECT_NE(hash("l"), right);
  for (size_t i = 0; i < value.size(); i++) {
    value[i] = 'w';
    EXPECT_NE(hash("k"), right) << i;
    value[i] = 'v';
  }
  value.push_back('\0');
  EXPECT_NE(hash("k"), right);
}

TEST(Pool, ManyThreads) {
  Pool pool(64 << 10);
  std::atomic<int> wrong{0}, hits{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++) {
    threads.emplace_back([&, t] {
      std::minstd_rand random(static_cast<unsigned>(t));
      for (int i = 0; i < 20000; i++) {
        const std::string key = std::to_string(random() % 40);
        switch (random() % 4) {
          case 0:
            Set(pool, key, std::string(random() % 4096, key[0]));
            break;
          case 1:
            if (random() % 8 == 0) pool.Erase(key);
            break;
          default:
            if (const Lease lease = pool.Find(key); lease != nullptr) {
              hits++;
              if (HashOf(key, pool.At(*lease), lease->len) != lease->hash) wrong++;
            }
        }
      }
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(hits, 0);
}

}  // namespace
