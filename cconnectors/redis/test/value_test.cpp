// SPDX-License-Identifier: Apache-2.0
//
// Whole replies.
#include "resp_value.h"

#include <gtest/gtest.h>

#include "script_stream.h"

namespace redis {
namespace {

Value Parse(const std::string &bytes, size_t piece) {
  ScriptStream stream(bytes, [&](size_t) { return piece; });
  Reader reader;
  ValueBuilder builder;
  while (!builder.Feed(reader)) {
    if (stream.at_end()) throw std::runtime_error("the reply does not end");
    bool all;
    reader.Fill(stream, Reader::kCapacity, &all);
  }
  EXPECT_TRUE(reader.idle());
  return builder.Take();
}

TEST(RedisValue, BuildsNestedReplies) {
  const std::string bytes = "*3\r\n*2\r\n$1\r\na\r\n*0\r\n%1\r\n+k\r\n*1\r\n:7\r\n=8\r\ntxt:info\r\n";
  for (const size_t piece : {size_t{1}, size_t{2}, size_t{5}, bytes.size()}) {
    const Value v = Parse(bytes, piece);
    ASSERT_EQ(v.items.size(), 3u);
    EXPECT_EQ(v.items[0].items[0].text, "a");
    EXPECT_TRUE(v.items[0].items[1].is_list());
    EXPECT_TRUE(v.items[0].items[1].items.empty());
    EXPECT_EQ(v.items[1].items[0].text, "k");
    EXPECT_EQ(v.items[1].items[1].items[0].number, 7);
    EXPECT_EQ(v.items[2].text, "info") << "without the three letters of its format";
  }
}

TEST(RedisValue, KnowsErrorsAndNulls) {
  EXPECT_TRUE(Parse("-ERR no\r\n", 1).is_error());
  EXPECT_TRUE(Parse("!6\r\nERR no\r\n", 1).is_error());
  for (const std::string null : {"$-1\r\n", "*-1\r\n", "_\r\n"}) EXPECT_EQ(Parse(null, 1).type, '_');
}

TEST(RedisValue, RefusesWhatIsTooLarge) {
  std::string deep;
  for (size_t i = 0; i <= ValueBuilder::kMaxDepth; ++i) deep += "*1\r\n";
  EXPECT_THROW(Parse(deep + ":1\r\n", 64), ProtocolError);
  EXPECT_THROW(Parse("*2000000\r\n", 64), ProtocolError) << "before memory is taken for it";
  EXPECT_THROW(Parse("$100000000\r\n", 64), ProtocolError);
  EXPECT_THROW(Parse("*2\r\n*1000000\r\n*1000000\r\n", 64), ProtocolError);
}

TEST(RedisValue, WritesCommands) {
  std::string out;
  AppendCommand(out, {"SET", "", std::string_view("a\0b", 3)});
  EXPECT_EQ(out, std::string("*3\r\n$3\r\nSET\r\n$0\r\n\r\n$3\r\na\0b\r\n", 28));
}

}  // namespace
}  // namespace redis
