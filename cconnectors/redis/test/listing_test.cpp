// SPDX-License-Identifier: Apache-2.0
//
// The position of a listing.
#include "listing.h"

#include <gtest/gtest.h>

#include "sixcall/connector.hpp"

namespace redis {
namespace {

TEST(RedisListing, KeepsItsPositionInText) {
  ListCursor c;
  c.map = 0x1122334455667788;
  c.node = 515;
  c.scan = UINT64_MAX;
  c.next = 7;
  c.after = 0xF0F0F0F0F0F0F0F0;
  c.partly = true;
  const ListCursor back = ListCursor::Read(c.Text());
  EXPECT_EQ(back.Text(), c.Text());
  EXPECT_EQ(back.node, 515);
  EXPECT_EQ(back.after, c.after);
  EXPECT_TRUE(back.partly);
  EXPECT_LE(c.Text().size(), sizeof(sixcall_page::cursor));
  for (const std::string &bad : {std::string("x"), std::string(36, '\0'), c.Text() + "x"}) EXPECT_THROW(ListCursor::Read(bad), sixcall::Error);
}

TEST(RedisListing, QuotesThePrefix) {
  EXPECT_EQ(PrefixPattern(""), "*");
  EXPECT_EQ(PrefixPattern("a:b"), "a:b*");
  EXPECT_EQ(PrefixPattern("a*[b]?\\"), "a\\*\\[b\\]\\?\\\\*");
}

TEST(RedisListing, GoesOnBehindWhatWasListed) {
  std::vector<std::string> keys;
  for (int i = 0; i < 100; ++i) keys.push_back("p" + std::to_string(i));
  keys.push_back("p5");     // twice
  keys.push_back("p");      // the prefix alone
  keys.push_back("other");  // not ours
  ListCursor at;
  const auto all = SortListed(keys, "p", at);
  ASSERT_EQ(all.size(), 100u);
  at.partly = true;
  at.after = all[59].hash;
  const auto rest = SortListed(keys, "p", at);
  ASSERT_EQ(rest.size(), 40u);
  EXPECT_EQ(rest[0].key, all[60].key);
}

}  // namespace
}  // namespace redis
