// SPDX-License-Identifier: Apache-2.0
//
// Slots, maps, addresses.
#include "topology.h"

#include <gtest/gtest.h>

#include <cstring>

#include "reply_error.h"
#include "script_stream.h"

namespace redis {
namespace {

const Address kAsked{"10.0.0.1", 7000, ""};

Value Parse(const std::string &bytes) {
  ScriptStream stream(bytes, [](size_t) { return size_t{1} << 20; });
  Reader reader;
  ValueBuilder builder;
  bool all;
  while (!builder.Feed(reader)) reader.Fill(stream, Reader::kCapacity, &all);
  return builder.Take();
}

// The value of the specification for "123456789", and slots that redis-cli gives.
TEST(RedisTopology, KnowsTheSlotOfAKey) {
  EXPECT_EQ(SlotOf("123456789"), 0x31C3 % kSlots);
  EXPECT_EQ(SlotOf(""), 0);
  EXPECT_EQ(SlotOf("foo"), 12182);
  EXPECT_EQ(SlotOf("somekey"), 11058);
  EXPECT_EQ(SlotOf("foo{hash_tag}"), 2515);
}

TEST(RedisTopology, FollowsTheRulesOfHashTags) {
  EXPECT_EQ(SlotOf("{user1000}.following"), SlotOf("user1000"));
  EXPECT_EQ(SlotOf("a{user1000}b"), SlotOf("{user1000}"));
  EXPECT_NE(SlotOf("foo{}{bar}"), SlotOf("bar")) << "the first braces are empty: the whole key counts";
  EXPECT_EQ(SlotOf("foo{{bar}}zap"), SlotOf("{bar"));
  EXPECT_EQ(SlotOf("foo{bar}{zap}"), SlotOf("bar"));
  EXPECT_NE(SlotOf("foo{bar"), SlotOf("bar")) << "no end: the whole key counts";
}

std::string NodeText(const std::string &host, int port) { return "*3\r\n$" + std::to_string(host.size()) + "\r\n" + host + "\r\n:" + std::to_string(port) + "\r\n$2\r\nid\r\n"; }

TEST(RedisTopology, ReadsAMap) {
  const Topology t = ReadClusterSlots(Parse("*3\r\n"
                                            "*4\r\n:0\r\n:100\r\n" + NodeText("b", 7002) + NodeText("r", 7004) +
                                            "*3\r\n:101\r\n:101\r\n" + NodeText("a", 7001) +
                                            "*3\r\n:16383\r\n:16383\r\n" + NodeText("b", 7002)), kAsked);
  ASSERT_EQ(t.nodes.size(), 2u);
  EXPECT_EQ(t.nodes[0].address.Text(), "a:7001") << "in an order that everybody sees";
  EXPECT_EQ(t.slots[0], 1);
  EXPECT_EQ(t.slots[100], 1);
  EXPECT_EQ(t.slots[101], 0);
  EXPECT_EQ(t.slots[102], Topology::kNobody);
  EXPECT_EQ(t.slots[16383], 1);
  ASSERT_EQ(t.others.size(), 1u);
  EXPECT_EQ(t.others[0].Text(), "r:7004");
}

TEST(RedisTopology, PutsInTheHostOfWhoWasAsked) {
  for (const std::string host : {"$0\r\n\r\n", "$-1\r\n", "$1\r\n?\r\n"}) {
    const Topology t = ReadClusterSlots(Parse("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n" + host + ":7009\r\n"), kAsked);
    EXPECT_EQ(t.nodes[0].address.Text(), "10.0.0.1:7009");
  }
}

TEST(RedisTopology, TellsMapsApart) {
  const auto map = [](int split) {
    return ReadClusterSlots(Parse("*2\r\n*3\r\n:0\r\n:" + std::to_string(split) + "\r\n" + NodeText("a", 1) + "*3\r\n:" + std::to_string(split + 1) + "\r\n:16383\r\n" + NodeText("b", 2)), kAsked);
  };
  EXPECT_EQ(map(100).Signature(), map(100).Signature());
  EXPECT_NE(map(100).Signature(), map(101).Signature());
  EXPECT_TRUE(map(100) == map(100));
  EXPECT_FALSE(map(100) == map(101));
}

TEST(RedisTopology, RefusesStrangeMaps) {
  for (const std::string bytes : {"+OK\r\n", "*0\r\n", "*1\r\n:1\r\n", "*1\r\n*2\r\n:0\r\n:1\r\n", "*1\r\n*3\r\n:5\r\n:4\r\n*2\r\n+h\r\n:1\r\n", "*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n+h\r\n:1\r\n",
                                  "*1\r\n*3\r\n:-1\r\n:1\r\n*2\r\n+h\r\n:1\r\n", "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n+h\r\n:0\r\n", "*1\r\n*3\r\n:0\r\n:1\r\n*1\r\n+h\r\n", "-ERR unknown command\r\n"}) {
    EXPECT_THROW(ReadClusterSlots(Parse(bytes), kAsked), sixcall::Error) << bytes;
  }
  try {
    ReadClusterSlots(Parse("-ERR This instance has cluster support disabled\r\n"), kAsked);
    FAIL();
  } catch (const sixcall::Error &e) {
    EXPECT_EQ(e.code(), SIXCALL_E_CONFIG);
  }
}

TEST(RedisAddress, ReadsHostsAndPorts) {
  EXPECT_EQ(ParseAddress("h", 6379, "x").Text(), "h:6379");
  EXPECT_EQ(ParseAddress("10.0.0.7:1", 6379, "x").Text(), "10.0.0.7:1");
  EXPECT_EQ(ParseAddress("[::1]:5", 6379, "x").Text(), "[::1]:5");
  EXPECT_EQ(ParseAddress("[fe80::1]", 6379, "x").Text(), "[fe80::1]:6379");
  EXPECT_EQ(ParseAddress("::1", 6379, "x").Text(), "[::1]:6379");
  for (const char *bad : {"", ":1", "h:", "h:0", "h:65536", "h:x", "[::1", "[::1]x", "[]:1", "h:1x"}) {
    EXPECT_THROW(ParseAddress(bad, 6379, "nodes"), sixcall::Error) << bad;
  }
}

TEST(RedisAddress, ReadsRedirections) {
  Address a;
  EXPECT_TRUE(ParseRedirect("10.0.0.2:7001", kAsked, &a));
  EXPECT_EQ(a.Text(), "10.0.0.2:7001");
  EXPECT_TRUE(ParseRedirect(":7001", kAsked, &a));
  EXPECT_EQ(a.Text(), "10.0.0.1:7001");
  EXPECT_TRUE(ParseRedirect("::1:7001", kAsked, &a)) << "the server writes no brackets";
  EXPECT_EQ(a.Text(), "[::1]:7001");
  for (const char *bad : {"", "h", "h:", "h:0", "h:70000"}) EXPECT_FALSE(ParseRedirect(bad, kAsked, &a)) << bad;
}

TEST(RedisAddress, KnowsNumbersFromNames) {
  Endpoint e;
  EXPECT_TRUE(NumericEndpoint({"127.0.0.1", 80, ""}, &e));
  EXPECT_TRUE(NumericEndpoint({"::1", 80, ""}, &e));
  EXPECT_TRUE(NumericEndpoint({"", 0, "/tmp/x"}, &e));
  EXPECT_FALSE(NumericEndpoint({"localhost", 80, ""}, &e));
  EXPECT_FALSE(NumericEndpoint({"", 0, "/" + std::string(200, 'x')}, &e));
}

TEST(RedisReplyError, SortsErrors) {
  EXPECT_EQ(ReadReplyError("MOVED 3999 127.0.0.1:6381").reaction, Reaction::kMoved);
  EXPECT_EQ(ReadReplyError("MOVED 3999 127.0.0.1:6381").slot, 3999);
  EXPECT_EQ(ReadReplyError("MOVED 3999 127.0.0.1:6381").where, "127.0.0.1:6381");
  EXPECT_EQ(ReadReplyError("ASK 0 :6381").reaction, Reaction::kAsk);
  for (const char *bad : {"MOVED", "MOVED x h:1", "MOVED 16384 h:1", "MOVED -1 h:1", "MOVED 1", "MOVED 1 "}) EXPECT_EQ(ReadReplyError(bad).reaction, Reaction::kFail) << bad;
  EXPECT_EQ(ReadReplyError("WRONGTYPE Operation against a key").reaction, Reaction::kWrongType);
  EXPECT_EQ(ReadReplyError("CLUSTERDOWN The cluster is down").reaction, Reaction::kRefresh);
  EXPECT_EQ(ReadReplyError("ERR MOVED 1 h:1").reaction, Reaction::kFail);
  EXPECT_EQ(ToError("OOM command not allowed", "h:1").status(), sixcall::Status::kRefused);
  EXPECT_EQ(ToError("NOPERM no", "h:1").code(), SIXCALL_E_AUTH);
  EXPECT_EQ(ToError("", "h:1").code(), SIXCALL_E_IO);
}

}  // namespace
}  // namespace redis
