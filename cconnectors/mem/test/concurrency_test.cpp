// SPDX-License-Identifier: Apache-2.0
//
// Many submitters at once: values are never torn and nothing is lost.
#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

#include "harness/shared_host.h"
#include "mem.h"

namespace sixcall_test {
namespace {

// A value says who wrote it in every byte, so a mixture shows.
bool IsWhole(const std::vector<uint8_t> &value) {
  return std::all_of(value.begin(), value.end(), [&](uint8_t byte) { return byte == value[0]; });
}

TEST(MemConcurrency, ValuesAreNeverTorn) {
  SharedHost host(Mem(), R"({"workers":4})");
  const std::vector<std::string> keys = {"a", "b"};
  constexpr size_t kSize = 20000;
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (uint8_t t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      // Each batch writes both keys twice, every time with another byte.
      std::vector<std::vector<uint8_t>> values(4, std::vector<uint8_t>(kSize));
      SharedHost::Call call(4);
      for (uint32_t k = 0; k < 4; ++k) {
        call.SetKey(k, keys[k % 2]);
        call.SetBuf(k, values[k].data(), kSize);
      }
      for (unsigned i = 0; !stop; ++i) {
        for (uint32_t k = 0; k < 4; ++k) std::fill(values[k].begin(), values[k].end(), static_cast<uint8_t>(i * 8 + k * 2 + t));
        host.Run(SIXCALL_OP_SET, call);
        EXPECT_EQ(call.n_ok, 4u);
      }
    });
  }
  threads.emplace_back([&] {
    SharedHost::Call call(2);
    for (uint32_t k = 0; k < 2; ++k) call.SetKey(k, keys[k]);
    while (!stop) host.Run(SIXCALL_OP_DELETE, call);
  });
  int hits = 0;
  std::vector<std::vector<uint8_t>> values(4, std::vector<uint8_t>(kSize));
  SharedHost::Call call(4);
  for (uint32_t k = 0; k < 4; ++k) {
    call.SetKey(k, keys[k % 2]);
    call.SetBuf(k, values[k].data(), kSize);
  }
  for (int i = 0; i < 20000 && hits < 1500; ++i) {
    host.Run(SIXCALL_OP_GET, call);
    for (uint32_t k = 0; k < 4; ++k) {
      ASSERT_LE(call.status[k], SIXCALL_STATUS_HIT);
      if (call.status[k] != SIXCALL_STATUS_HIT) continue;
      ++hits;
      ASSERT_TRUE(IsWhole(values[k])) << "a value is a mixture of two";
    }
  }
  stop = true;
  for (std::thread &thread : threads) thread.join();
  EXPECT_GT(hits, 100);
}

TEST(MemConcurrency, NothingIsLost) {
  SharedHost host(Mem(), R"({"workers":3,"max_inflight":16})");
  constexpr int kThreads = 3, kBatches = 1500, kKeys = 8;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      // Every thread owns its keys, so it knows what must come back.
      for (int i = 0; i < kBatches; ++i) {
        std::vector<std::string> keys, values;
        std::vector<std::string> read(kKeys);
        SharedHost::Call set(kKeys), get(kKeys);
        for (uint32_t k = 0; k < kKeys; ++k) {
          keys.push_back(std::to_string(t) + "/" + std::to_string(i % 50) + "/" + std::to_string(k));
          values.push_back(std::to_string(i) + ":" + std::to_string(k));
          read[k].resize(values[k].size());
        }
        for (uint32_t k = 0; k < kKeys; ++k) {
          set.SetKey(k, keys[k]);
          set.SetBuf(k, values[k].data(), values[k].size());
          get.SetKey(k, keys[k]);
          get.SetBuf(k, read[k].data(), read[k].size());
        }
        host.Run(SIXCALL_OP_SET, set);
        host.Run(SIXCALL_OP_GET, get);
        ASSERT_EQ(get.n_ok, uint32_t{kKeys});
        ASSERT_EQ(read, values);
      }
    });
  }
  for (std::thread &thread : threads) thread.join();
  EXPECT_EQ(host.completions(), uint64_t{kThreads} * kBatches * 2);
  EXPECT_EQ(UsageOf(Mem(), host.handle()).keys, uint64_t{kThreads} * 50 * kKeys);
}

TEST(MemConcurrency, LosesNoWakeUp) {
  for (const uint32_t drain_cap : {1u, 64u}) {
    SharedHost host(Mem(), R"({"workers":2,"max_inflight":64})", drain_cap);
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        const std::string key = "absent";
        std::minstd_rand random(t + 1);
        std::vector<std::unique_ptr<SharedHost::Call>> calls;
        for (int i = 0; i < 6; ++i) {
          calls.push_back(std::make_unique<SharedHost::Call>(1));
          calls.back()->SetKey(0, key);
        }
        for (int i = 0; i < 10000; ++i) {
          SharedHost::Call &call = *calls[random() % calls.size()];
          SharedHost::Wait(call);
          host.Start(random() % 2 == 0 ? SIXCALL_OP_EXISTS : SIXCALL_OP_DELETE, call);
        }
        for (auto &call : calls) SharedHost::Wait(*call);
      });
    }
    for (std::thread &thread : threads) thread.join();
    EXPECT_EQ(host.completions(), 30000u);
  }
}

TEST(MemConcurrency, UsageAndStatsMayBeReadAtAnyTime) {
  SharedHost host(Mem(), "{}");
  std::atomic<bool> stop{false};
  std::thread reader([&] {
    std::vector<char> text(10000);
    while (!stop) {
      UsageOf(Mem(), host.handle());
      EXPECT_GT(Mem()->stats_text(host.handle(), text.data(), text.size()), 0);
    }
  });
  const std::string key = "k";
  char value = 'v';
  SharedHost::Call call(1);
  call.SetKey(0, key);
  call.SetBuf(0, &value, 1);
  for (int i = 0; i < 3000; ++i) host.Run(i % 2 == 0 ? SIXCALL_OP_SET : SIXCALL_OP_DELETE, call);
  stop = true;
  reader.join();
}

}  // namespace
}  // namespace sixcall_test
