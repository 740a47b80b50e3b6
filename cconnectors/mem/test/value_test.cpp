// SPDX-License-Identifier: Apache-2.0
//
// Keys and values: what goes in comes out, whatever its bytes and its size.
#include <map>
#include <random>
#include <set>

#include "mem.h"

namespace sixcall_test {
namespace {

using Status = std::vector<uint8_t>;

constexpr uint8_t kMiss = SIXCALL_STATUS_MISS;
constexpr uint8_t kHit = SIXCALL_STATUS_HIT;
constexpr uint8_t kSize = SIXCALL_STATUS_SIZE;

// Bytes that differ at every place and for every seed.
std::string Pattern(size_t size, unsigned seed) {
  std::string bytes(size, '\0');
  std::minstd_rand random(seed + 1);
  for (char &byte : bytes) byte = static_cast<char>(random() >> 8);
  return bytes;
}

TEST(MemValue, SurvivesAtEverySize) {
  Connection connection(Mem());
  for (const size_t size : {1, 7, 8, 63, 64, 65, 80, 81, 4095, 4096, 4097, 65535, 65536, 65537, 1 << 20, (2 << 20) + 1}) {
    for (const Edge edge : {Edge::kEnd, Edge::kStart}) {
      const std::string value = Pattern(size, static_cast<unsigned>(size));
      Request set = Request::Set({"k"}, {value});
      set.edge = edge;
      ASSERT_EQ(connection.Run(set).status, Status{kHit}) << size;
      Request get = Request::Get({"k"}, size);
      get.edge = edge;
      const Result result = connection.Run(get);
      ASSERT_EQ(result.status, Status{kHit}) << size;
      EXPECT_TRUE(result.values[0] == value) << size;
      EXPECT_EQ(UsageOf(Mem(), connection.handle()).bytes_used, size);
    }
  }
}

TEST(MemValue, OfZeroBytesIsAValue) {
  Connection connection(Mem());
  Request exists = Request::Exists({"empty", "absent"});
  exists.value_lens = true;
  EXPECT_EQ(connection.Run(exists).status, (Status{kMiss, kMiss}));
  EXPECT_EQ(connection.Run(Request::Set({"empty"}, {""})).status, Status{kHit});
  Result result = connection.Run(exists);
  EXPECT_EQ(result.status, (Status{kHit, kMiss}));
  EXPECT_EQ(result.value_lens, (std::vector<uint64_t>{0, SIXCALL_LEN_UNKNOWN}));
  EXPECT_EQ(connection.Run(Request::Get({"empty"}, 0)).status, Status{kHit});
  EXPECT_EQ(connection.Run(Request::Get({"empty"}, 1)).status, Status{kSize});
  EXPECT_EQ(connection.Run(Request::Get({"absent"}, 0)).status, Status{kMiss});
  const auto listed = ListAll(connection, 4096);
  ASSERT_EQ(listed.size(), 1u);
  EXPECT_EQ(listed[0].value_len, 0u);
  EXPECT_EQ(UsageOf(Mem(), connection.handle()).keys, 1u);
  EXPECT_EQ(connection.Run(Request::Delete({"empty"})).status, Status{kHit});
  EXPECT_EQ(connection.Run(exists).status, (Status{kMiss, kMiss}));
}

TEST(MemValue, OfAnotherSizeIsNotWrittenPastTheBuffer) {
  Connection connection(Mem());
  connection.Run(Request::Set({"k"}, {Pattern(100, 1)}));
  for (const size_t len : {0, 1, 60, 99, 101, 200, 5000}) {
    for (const Edge edge : {Edge::kEnd, Edge::kStart}) {  // a guard page right behind, and right before
      Request get = Request::Get({"k"}, len);
      get.edge = edge;
      get.value_lens = true;
      const Result result = connection.Run(get);
      EXPECT_EQ(result.rc, SIXCALL_OK);
      EXPECT_EQ(result.status, Status{kSize}) << len;
      EXPECT_EQ(result.value_lens, std::vector<uint64_t>{100}) << "so that the host can bring a buffer that fits";
    }
  }
}

TEST(MemValue, LensAreFilledForEveryOutcome) {
  Connection connection(Mem());
  connection.Run(Request::Set({"a", "b"}, {"12345", "123"}));
  Request get = Request::Get({"a", "absent", "b"}, 5);
  get.value_lens = true;
  const Result result = connection.Run(get);
  EXPECT_EQ(result.status, (Status{kHit, kMiss, kSize}));
  EXPECT_EQ(result.value_lens, (std::vector<uint64_t>{5, SIXCALL_LEN_UNKNOWN, 3}));
}

TEST(MemValue, IsReplacedWhole) {
  Connection connection(Mem());
  for (const size_t size : {5000, 10, 70000, 0, 300}) {
    const std::string value = Pattern(size, static_cast<unsigned>(size));
    connection.Run(Request::Set({"k"}, {value}));
    EXPECT_TRUE(connection.Run(Request::Get({"k"}, size)).values[0] == value) << size;
    EXPECT_EQ(UsageOf(Mem(), connection.handle()).bytes_used, size);
    EXPECT_EQ(UsageOf(Mem(), connection.handle()).keys, 1u);
  }
}

TEST(MemValue, DuplicatesInABatchAreOneOfThem) {
  Connection connection(Mem(), MemOptions(R"({"workers":4})"));
  std::vector<std::string> values;
  for (int i = 0; i < 8; ++i) values.push_back(std::string(3000, static_cast<char>('a' + i)));
  EXPECT_EQ(connection.Run(Request::Set(std::vector<std::string>(8, "k"), values)).n_ok, 8u);
  const Result result = connection.Run(Request::Get(std::vector<std::string>(8, "k"), 3000));
  EXPECT_EQ(result.n_ok, 8u);
  EXPECT_EQ(std::count(values.begin(), values.end(), result.values[0]), 1);
  for (const std::string &value : result.values) EXPECT_EQ(value, result.values[0]);
  EXPECT_EQ(UsageOf(Mem(), connection.handle()).keys, 1u);
  EXPECT_EQ(UsageOf(Mem(), connection.handle()).bytes_used, 3000u);
  const Result removed = connection.Run(Request::Delete({"k", "k", "k"}));
  EXPECT_EQ(removed.n_ok, 1u) << "one of them removed it";
}

TEST(MemKey, MayHoldAnyBytes) {
  Connection connection(Mem());
  std::vector<std::string> keys;
  for (int byte = 0; byte < 256; ++byte) {
    keys.push_back(std::string(1, static_cast<char>(byte)));
    keys.push_back("x" + std::string(1, static_cast<char>(byte)) + "y");
  }
  for (const char *text : {"/", "..", "../../etc/passwd", "a/b", "a//b", "%2e", "%2E", "a b", "a\nb", "\xC3\xA4", "a\xCC\x88"}) {
    keys.push_back(text);
  }
  for (const size_t zeros : {2, 3, 8, 15, 16, 17}) keys.push_back(std::string(zeros, '\0'));
  for (const size_t len : {7, 8, 9, 15, 16, 17, 31, 32, 33, 255, 256, 4096}) keys.push_back(std::string(len, 'k'));
  const std::set<std::string> unique(keys.begin(), keys.end());
  keys.assign(unique.begin(), unique.end());

  std::vector<std::string> values;
  for (size_t i = 0; i < keys.size(); ++i) values.push_back("value " + std::to_string(i) + " of " + keys[i]);
  std::vector<uint64_t> lens;
  for (const std::string &value : values) lens.push_back(value.size());
  EXPECT_EQ(connection.Run(Request::Set(keys, values)).n_ok, keys.size());
  const Result result = connection.Run(Request::Get(keys, lens));
  EXPECT_EQ(result.n_ok, keys.size());
  for (size_t i = 0; i < keys.size(); ++i) EXPECT_EQ(result.values[i], values[i]) << "key " << i;
  std::set<std::string> listed;
  for (const ListedKey &entry : ListAll(connection, 1 << 20)) listed.insert(entry.key);
  EXPECT_EQ(listed, unique);
}

TEST(MemKey, NearlyEqualKeysAreDifferent) {
  Connection connection(Mem());
  // Keys that differ in one bit of one byte.
  const std::string base(40, 'k');
  std::vector<std::string> keys = {base};
  for (size_t bit = 0; bit < base.size() * 8; ++bit) {
    std::string key = base;
    key[bit / 8] = static_cast<char>(key[bit / 8] ^ (1 << bit % 8));
    keys.push_back(key);
  }
  for (size_t i = 0; i < keys.size(); ++i) {
    EXPECT_EQ(connection.Run(Request::Exists({keys[i]})).n_ok, 0u) << i;
    connection.Run(Request::Set({keys[i]}, {std::to_string(i)}));
  }
  EXPECT_EQ(UsageOf(Mem(), connection.handle()).keys, keys.size());
}

TEST(MemDelete, HitsMissesAndDuplicates) {
  Connection connection(Mem());
  connection.Run(Request::Set({"a", "b", "c"}, {"1", "22", "333"}));
  EXPECT_EQ(connection.Run(Request::Delete({"b", "absent", "c"})).status, (Status{kHit, kMiss, kHit}));
  EXPECT_EQ(connection.Run(Request::Exists({"a", "b", "c"})).status, (Status{kHit, kMiss, kMiss}));
  EXPECT_EQ(connection.Run(Request::Delete({"b"})).status, Status{kMiss});
  const sixcall_usage usage = UsageOf(Mem(), connection.handle());
  EXPECT_EQ(usage.keys, 1u);
  EXPECT_EQ(usage.bytes_used, 1u);
  EXPECT_EQ(usage.bytes_capacity, UINT64_MAX) << "no capacity was given";
  connection.Run(Request::Set({"b"}, {"4"}));
  EXPECT_EQ(connection.Run(Request::Get({"b"}, 1)).values[0], "4");
}

// The same random operations on the connector and on a map.
TEST(MemModel, BehavesLikeAMap) {
  for (unsigned seed = 1; seed <= 4; ++seed) {
    Connection connection(Mem(), MemOptions(R"({"workers":3})"));
    std::mt19937 random(seed);
    std::map<std::string, std::string> model;
    const std::vector<size_t> sizes = {0, 1, 64, 65, 1000, 4096, 5000, 65536, 70000};
    for (int step = 0; step < 250; ++step) {
      std::set<std::string> picked;
      while (picked.size() < 1 + random() % 4) picked.insert("key" + std::to_string(random() % 30));
      const std::vector<std::string> keys(picked.begin(), picked.end());
      const std::string where = "seed " + std::to_string(seed) + " step " + std::to_string(step);
      Status want;
      switch (random() % 4) {
        case 0: {
          std::vector<std::string> values;
          for (const std::string &key : keys) {
            values.push_back(Pattern(sizes[random() % sizes.size()], static_cast<unsigned>(random())));
            model[key] = values.back();
          }
          ASSERT_EQ(connection.Run(Request::Set(keys, values)).n_ok, keys.size()) << where;
          break;
        }
        case 1: {
          std::vector<uint64_t> lens;
          for (const std::string &key : keys) {
            const auto found = model.find(key);
            lens.push_back(found == model.end() ? 10 : found->second.size() + (random() % 4 == 0 ? 1 : 0));
            want.push_back(found == model.end() ? kMiss : lens.back() == found->second.size() ? kHit : kSize);
          }
          const Result result = connection.Run(Request::Get(keys, lens));
          ASSERT_EQ(result.status, want) << where;
          for (size_t i = 0; i < keys.size(); ++i) {
            if (want[i] == kHit) {
              ASSERT_TRUE(result.values[i] == model[keys[i]]) << where;
            }
          }
          break;
        }
        case 2:
          for (const std::string &key : keys) want.push_back(model.count(key) != 0 ? kHit : kMiss);
          ASSERT_EQ(connection.Run(Request::Exists(keys)).status, want) << where;
          break;
        default:
          for (const std::string &key : keys) want.push_back(model.erase(key) != 0 ? kHit : kMiss);
          ASSERT_EQ(connection.Run(Request::Delete(keys)).status, want) << where;
      }
      uint64_t bytes = 0;
      for (const auto &entry : model) bytes += entry.second.size();
      const sixcall_usage usage = UsageOf(Mem(), connection.handle());
      ASSERT_EQ(usage.keys, model.size()) << where;
      ASSERT_EQ(usage.bytes_used, bytes) << where;
    }
  }
}

}  // namespace
}  // namespace sixcall_test
