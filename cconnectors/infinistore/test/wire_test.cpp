// SPDX-License-Identifier: Apache-2.0
// The bytes of requests, as captured from the official client, and the trailer.
#include "infinistore_wire.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "infinistore_trailer.h"

namespace {

std::string Hex(const std::string &bytes) {
  static const char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    out += kDigits[static_cast<unsigned char>(c) >> 4];
    out += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

TEST(InfiniStoreWire, PutOfFiveBytes) {
  std::string out;
  infinistore::WritePut("k1", 5, &out);
  EXPECT_EQ(Hex(out),
            "efbeadde4c28000000"
            "100000000a0010000400080" "00c000000"
            "0c0000000c0000000500000050000000"
            "020000006b310000");
}

TEST(InfiniStoreWire, ExistsIsTheBareKey) {
  std::string out;
  infinistore::WriteExists(std::string("a\0b", 3), &out);
  EXPECT_EQ(Hex(out), "efbeadde4303000000610062");
}

TEST(InfiniStoreWire, OnlyTheMagicLooksLikeARequest) {
  const uint8_t yes[] = {0xef, 0xbe, 0xad, 0xde, 0};
  const uint8_t no[] = {0xde, 0xad, 0xbe, 0xef, 0};
  EXPECT_TRUE(infinistore::LooksLikeRequest(yes, 5));
  EXPECT_TRUE(infinistore::LooksLikeRequest(yes, 4));
  EXPECT_FALSE(infinistore::LooksLikeRequest(yes, 3));
  EXPECT_FALSE(infinistore::LooksLikeRequest(no, 5));
}

TEST(InfiniStoreTrailer, FitsOnlyItsOwnKeyAndValue) {
  const std::string value = "the value";
  uint8_t trailer[infinistore::kTrailerBytes];
  const auto hash = [](const std::string &key, const std::string &v) {
    infinistore::TrailerHash h;
    h.Begin(key);
    // In two parts: what arrives in pieces has the same trailer.
    h.Add(reinterpret_cast<const uint8_t *>(v.data()), v.size() / 2);
    h.Add(reinterpret_cast<const uint8_t *>(v.data()) + v.size() / 2, v.size() - v.size() / 2);
    return h;
  };
  hash("key", value).Write(value.size(), trailer);
  EXPECT_TRUE(hash("key", value).Fits(value.size(), trailer));
  EXPECT_FALSE(hash("kez", value).Fits(value.size(), trailer));
  for (size_t bit = 0; bit < value.size() * 8; ++bit) {
    std::string other = value;
    other[bit / 8] = static_cast<char>(other[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(hash("key", other).Fits(value.size(), trailer)) << bit;
  }
  for (size_t bit = 0; bit < sizeof(trailer) * 8; ++bit) {
    trailer[bit / 8] = static_cast<uint8_t>(trailer[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(hash("key", value).Fits(value.size(), trailer)) << bit;
    trailer[bit / 8] = static_cast<uint8_t>(trailer[bit / 8] ^ (1 << bit % 8));
  }
}

// Known answers of XXH3 (64 bits), from `printf abc | xxhsum -H3`: both ways to
// compute it have to agree with everybody else's.
TEST(InfiniStoreTrailer, EveryHashIsXxh3) {
  const auto run = [](const infinistore::HashCalls &calls, const std::string &bytes, uint64_t seed) {
    alignas(64) XXH3_state_t state;
    calls.begin(&state, seed);
    calls.add(&state, reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size());
    return calls.digest(&state);
  };
  EXPECT_EQ(run(infinistore::PlainHash(), "", 0), 0x2d06800538d394c2u);
  EXPECT_EQ(run(infinistore::PlainHash(), "abc", 0), 0x78af5f94892f3950u);
  const infinistore::HashCalls *fast = infinistore::Avx2Hash();
#if defined(__x86_64__)
  if (fast == nullptr || !__builtin_cpu_supports("avx2")) GTEST_SKIP() << "no AVX2 here";
#else
  GTEST_SKIP() << "AVX2 belongs to another CPU";
#endif
  for (const size_t len : {0, 1, 3, 16, 17, 128, 129, 240, 241, 1023, 1024, 1025, 100000}) {
    std::string bytes(len, 0);
    for (size_t i = 0; i < len; ++i) bytes[i] = static_cast<char>(i * 131 >> 3);
    EXPECT_EQ(run(*fast, bytes, 7), run(infinistore::PlainHash(), bytes, 7)) << len;
    EXPECT_EQ(run(*fast, bytes, 7), infinistore::HashOnce(bytes.data(), len, 7)) << len;
  }
}

}  // namespace
