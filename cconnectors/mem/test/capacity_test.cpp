// SPDX-License-Identifier: Apache-2.0
//
// The cap on stored bytes: what goes first, what is refused, and that the sum
// never exceeds it.
#include <atomic>
#include <random>
#include <thread>

#include "harness/shared_host.h"
#include "mem.h"

namespace sixcall_test {
namespace {

using Status = std::vector<uint8_t>;

constexpr uint8_t kMiss = SIXCALL_STATUS_MISS;
constexpr uint8_t kHit = SIXCALL_STATUS_HIT;
constexpr uint8_t kRefused = SIXCALL_STATUS_REFUSED;

std::vector<std::string> Numbered(size_t n, const std::string &prefix = "k") {
  std::vector<std::string> keys;
  for (size_t i = 0; i < n; ++i) keys.push_back(prefix + std::to_string(i));
  return keys;
}

TEST(MemCapacity, TheFirstStoredGoesFirst) {
  Connection connection(Mem(), MemOptions(R"({"capacity_bytes":100,"workers":1})"));
  const auto keys = Numbered(15);
  for (size_t i = 0; i < keys.size(); ++i) {
    EXPECT_EQ(connection.Run(Request::Set({keys[i]}, {std::string(10, 'v')})).status, Status{kHit});
    const sixcall_usage usage = UsageOf(Mem(), connection.handle());
    EXPECT_EQ(usage.keys, std::min<size_t>(i + 1, 10));
    EXPECT_EQ(usage.bytes_used, usage.keys * 10);
    EXPECT_EQ(usage.bytes_capacity, 100u);
  }
  Status want(15, kHit);
  std::fill(want.begin(), want.begin() + 5, kMiss);
  EXPECT_EQ(connection.Run(Request::Exists(keys)).status, want);
}

TEST(MemCapacity, TheOrderHoldsOverManyKeys) {
  Connection connection(Mem(), MemOptions(R"({"capacity_bytes":2000,"workers":1})"));
  const auto keys = Numbered(700);
  for (size_t i = 0; i < keys.size(); i += 70) {
    const std::vector<std::string> some(keys.begin() + static_cast<std::ptrdiff_t>(i), keys.begin() + static_cast<std::ptrdiff_t>(i + 70));
    EXPECT_EQ(connection.Run(Request::Set(some, std::vector<std::string>(70, std::string(10, 'v')))).n_ok, 70u);
  }
  Status want(700, kHit);
  std::fill(want.begin(), want.begin() + 500, kMiss);
  EXPECT_EQ(connection.Run(Request::Exists(keys)).status, want);
}

TEST(MemCapacity, AReadDoesNotKeepAValueAnOverwriteDoes) {
  Connection connection(Mem(), MemOptions(R"({"capacity_bytes":30,"workers":1})"));
  for (const char *key : {"a", "b", "c"}) connection.Run(Request::Set({key}, {std::string(10, 'v')}));
  connection.Run(Request::Get({"a"}, 10));
  connection.Run(Request::Exists({"a"}));
  connection.Run(Request::Set({"b"}, {std::string(10, 'w')}));  // stored anew: b is the youngest now
  connection.Run(Request::Set({"d"}, {std::string(10, 'v')}));
  EXPECT_EQ(connection.Run(Request::Exists({"a", "b", "c", "d"})).status, (Status{kMiss, kHit, kHit, kHit}));
  connection.Run(Request::Set({"e"}, {std::string(10, 'v')}));
  EXPECT_EQ(connection.Run(Request::Exists({"b", "c", "d", "e"})).status, (Status{kHit, kMiss, kHit, kHit}));
}

TEST(MemCapacity, MakesRoomForALargeValue) {
  Connection connection(Mem(), MemOptions(R"({"capacity_bytes":100,"workers":1})"));
  connection.Run(Request::Set(Numbered(10), std::vector<std::string>(10, std::string(10, 'v'))));
  EXPECT_EQ(connection.Run(Request::Set({"large"}, {std::string(75, 'L')})).status, Status{kHit});
  sixcall_usage usage = UsageOf(Mem(), connection.handle());
  EXPECT_EQ(usage.bytes_used, 95u);
  EXPECT_EQ(usage.keys, 3u);
  EXPECT_EQ(connection.Run(Request::Set({"whole"}, {std::string(100, 'W')})).status, Status{kHit}) << "exactly the capacity";
  usage = UsageOf(Mem(), connection.handle());
  EXPECT_EQ(usage.bytes_used, 100u);
  EXPECT_EQ(usage.keys, 1u);
}

TEST(MemCapacity, RefusesWhatIsLargerAndKeepsTheRest) {
  Connection connection(Mem(), MemOptions(R"({"capacity_bytes":100})"));
  connection.Run(Request::Set({"a", "b"}, {std::string(40, 'a'), std::string(40, 'b')}));
  const Result result = connection.Run(Request::Set({"c", "a", "d"}, {std::string(101, 'c'), std::string(5000, 'a'), "dd"}));
  EXPECT_EQ(result.rc, SIXCALL_OK);
  EXPECT_EQ(result.status, (Status{kRefused, kRefused, kHit}));
  EXPECT_EQ(connection.Run(Request::Exists({"a", "b", "c", "d"})).status, (Status{kHit, kHit, kMiss, kHit}));
  EXPECT_EQ(connection.Run(Request::Get({"a"}, 40)).values[0], std::string(40, 'a')) << "the old value stays";
}

TEST(MemCapacity, GrowingAndShrinkingAValueCounts) {
  Connection connection(Mem(), MemOptions(R"({"capacity_bytes":100,"workers":1})"));
  connection.Run(Request::Set({"a", "b"}, {std::string(50, 'a'), std::string(50, 'b')}));
  connection.Run(Request::Set({"b"}, {std::string(60, 'b')}));  // a has to go
  EXPECT_EQ(connection.Run(Request::Exists({"a", "b"})).status, (Status{kMiss, kHit}));
  EXPECT_EQ(UsageOf(Mem(), connection.handle()).bytes_used, 60u);
  connection.Run(Request::Set({"b"}, {"b"}));
  EXPECT_EQ(UsageOf(Mem(), connection.handle()).bytes_used, 1u);
  connection.Run(Request::Set({"c"}, {std::string(100, 'c')}));  // only the new value fits
  EXPECT_EQ(UsageOf(Mem(), connection.handle()).bytes_used, 100u);
  connection.Run(Request::Set({"c"}, {std::string(99, 'c')}));
  EXPECT_EQ(UsageOf(Mem(), connection.handle()).bytes_used, 99u);
  EXPECT_EQ(UsageOf(Mem(), connection.handle()).keys, 1u);
}

TEST(MemCapacity, ZeroByteValuesFitAlways) {
  Connection connection(Mem(), MemOptions(R"({"capacity_bytes":10})"));
  connection.Run(Request::Set({"full"}, {std::string(10, 'f')}));
  EXPECT_EQ(connection.Run(Request::Set(Numbered(100), std::vector<std::string>(100, ""))).n_ok, 100u);
  EXPECT_EQ(UsageOf(Mem(), connection.handle()).keys, 101u);
  EXPECT_EQ(UsageOf(Mem(), connection.handle()).bytes_used, 10u);
}

// The sum of all stored values as a host sees it: through EXISTS of every key
// that was ever stored.
uint64_t ShadowSum(SharedHost &host, const std::vector<std::string> &keys, uint64_t *count) {
  SharedHost::Call call(static_cast<uint32_t>(keys.size()));
  for (uint32_t i = 0; i < keys.size(); ++i) call.SetKey(i, keys[i]);
  host.Run(SIXCALL_OP_EXISTS, call);
  uint64_t sum = 0;
  *count = 0;
  for (uint32_t i = 0; i < keys.size(); ++i) {
    if (call.status[i] != SIXCALL_STATUS_HIT) continue;
    sum += call.value_lens[i];
    ++*count;
  }
  return sum;
}

TEST(MemCapacity, IsNeverExceededByManyWriters) {
  constexpr uint64_t kCapacity = 50000;
  SharedHost host(Mem(), R"({"workers":4,"capacity_bytes":50000})");
  const auto keys = Numbered(300);
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> peak{0};
  std::thread watcher([&] {
    while (!stop) {
      const uint64_t used = UsageOf(Mem(), host.handle()).bytes_used;
      if (used > peak) peak = used;
    }
  });
  for (int round = 0; round < 5; ++round) {
    std::vector<std::thread> writers;
    for (unsigned t = 0; t < 3; ++t) {
      writers.emplace_back([&, t] {
        std::minstd_rand random(t + 10 * static_cast<unsigned>(round) + 1);
        std::vector<char> value(5000, 'v');
        SharedHost::Call call(6);
        for (int i = 0; i < 400; ++i) {
          for (uint32_t k = 0; k < 6; ++k) {
            call.SetKey(k, keys[random() % keys.size()]);
            call.SetBuf(k, value.data(), random() % (value.size() + 1));
          }
          const bool remove = random() % 8 == 0;
          host.Run(remove ? SIXCALL_OP_DELETE : SIXCALL_OP_SET, call);
          if (!remove) {
            EXPECT_EQ(call.n_ok, 6u) << "every value fits after some others have gone";
          }
        }
      });
    }
    for (std::thread &writer : writers) writer.join();
    // Nothing runs now, so the figures and the shadow must be equal.
    uint64_t count;
    const uint64_t sum = ShadowSum(host, keys, &count);
    const sixcall_usage usage = UsageOf(Mem(), host.handle());
    EXPECT_EQ(usage.bytes_used, sum);
    EXPECT_EQ(usage.keys, count);
    EXPECT_LE(sum, kCapacity);
    EXPECT_GT(sum, kCapacity / 2) << "and it is used";
  }
  stop = true;
  watcher.join();
  EXPECT_LE(peak.load(), kCapacity);
  EXPECT_GT(peak.load(), kCapacity * 9 / 10);
}

TEST(MemCapacity, ManyWritersOfTheSameKeyDoNotBlockEachOther) {
  // Each value fits alone only, so every store evicts the one before.
  SharedHost host(Mem(), R"({"workers":4,"capacity_bytes":1000})");
  std::vector<std::thread> writers;
  for (int t = 0; t < 3; ++t) {
    writers.emplace_back([&, t] {
      std::vector<char> value(1000, 'v');
      const std::vector<std::string> keys = {"same", "own" + std::to_string(t)};
      SharedHost::Call call(2);
      for (uint32_t k = 0; k < 2; ++k) call.SetKey(k, keys[k]);
      for (int i = 0; i < 700; ++i) {
        call.SetBuf(0, value.data(), static_cast<uint64_t>(1 + i % 1000));
        call.SetBuf(1, value.data(), static_cast<uint64_t>(1000 - i % 1000));
        host.Run(SIXCALL_OP_SET, call);
        EXPECT_EQ(call.n_ok, 2u);
      }
    });
  }
  for (std::thread &writer : writers) writer.join();
  EXPECT_LE(UsageOf(Mem(), host.handle()).bytes_used, 1000u);
}

}  // namespace
}  // namespace sixcall_test
