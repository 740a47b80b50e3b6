// SPDX-License-Identifier: Apache-2.0
//
// Listing: every key, in pages of any size, while others write.
#include <atomic>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "mem.h"

namespace sixcall_test {
namespace {

TEST(MemList, OfNothing) {
  Connection connection(Mem());
  EXPECT_TRUE(ListAll(connection, 64).empty());
  EXPECT_TRUE(ListAll(connection, 0).empty()) << "an empty listing needs no room";
}

TEST(MemList, HasEveryKeyOnceAtEveryPageSize) {
  Connection connection(Mem());
  std::map<std::string, uint64_t> want;
  std::vector<std::string> keys, values;
  for (size_t i = 0; i < 200; ++i) {
    keys.push_back(std::string(1 + i % 24, static_cast<char>(i)) + std::to_string(i));
    values.push_back(std::string(i % 17, 'v'));
    want[keys.back()] = values.back().size();
  }
  connection.Run(Request::Set(keys, values));
  // 48 bytes hold the longest entry of this test, and only that.
  for (const uint64_t page_cap : {48, 56, 100, 1000, 1 << 20}) {
    std::map<std::string, uint64_t> got;
    for (const ListedKey &entry : ListAll(connection, page_cap)) {
      EXPECT_TRUE(got.emplace(entry.key, entry.value_len).second) << "a key twice, though nobody wrote";
    }
    EXPECT_EQ(got, want) << page_cap;
  }
}

TEST(MemList, ABufferBelowOneEntryIsNoSpace) {
  Connection connection(Mem());
  connection.Run(Request::Set({std::string(100, 'k')}, {"v"}));
  const Result page = connection.Run(Request::List(119));
  EXPECT_EQ(page.rc, SIXCALL_E_NOSPACE);
  EXPECT_FALSE(page.err_text.empty());
  EXPECT_EQ(ListAll(connection, 120).size(), 1u);
}

TEST(MemList, ACursorOfAnotherStoreOrOfNobodyIsHarmless) {
  Connection connection(Mem());
  connection.Run(Request::Set({"k"}, {"v"}));
  for (const std::string &cursor : {std::string("x"), std::string(216, '\xFF'), std::string(8, '\xFF'), std::string(8, '\0')}) {
    EXPECT_EQ(connection.Run(Request::List(4096, cursor)).rc, SIXCALL_OK);
  }
}

TEST(MemList, HasEveryStableKeyWhileOthersWrite) {
  // Two connections cannot share a store, so the writer submits on the same one
  // while this thread drains for both.
  Connection connection(Mem(), MemOptions(R"({"workers":3,"max_inflight":64})"));
  std::set<std::string> stable;
  for (int i = 0; i < 150; ++i) stable.insert("stable" + std::to_string(i));
  connection.Run(Request::Set({stable.begin(), stable.end()}, std::vector<std::string>(stable.size(), "v")));

  std::atomic<bool> stop{false};
  std::atomic<int> written{0};
  std::thread writer([&] {
    std::minstd_rand random(7);
    while (!stop) {
      // Others come and go; stable keys are overwritten, which moves them inside
      // the store but never takes them away.
      const std::string other = "other" + std::to_string(random() % 200);
      const std::string again = "stable" + std::to_string(random() % 150);
      const std::string value(1 + random() % 100, 'w');
      const int32_t rc = random() % 3 == 0 ? connection.TrySubmit(Request::Delete({other}))
                                           : connection.TrySubmit(Request::Set({other, again}, {value, value}));
      if (rc == SIXCALL_OK) {
        ++written;
      } else {
        std::this_thread::yield();
      }
    }
  });
  for (int round = 0; round < 3; ++round) {
    for (const uint64_t page_cap : {64, 300}) {
      std::set<std::string> seen;
      for (const ListedKey &entry : ListAll(connection, page_cap)) seen.insert(entry.key);
      for (const std::string &key : stable) EXPECT_EQ(seen.count(key), 1u) << key << " is missing";
    }
  }
  stop = true;
  writer.join();
  connection.WaitForAll();
  EXPECT_GT(written.load(), 50) << "the writer was at work";
}

}  // namespace
}  // namespace sixcall_test
