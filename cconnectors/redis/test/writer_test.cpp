// SPDX-License-Identifier: Apache-2.0
//
// Commands on their way out.
#include "resp_writer.h"

#include <gtest/gtest.h>

#include "script_stream.h"

namespace redis {
namespace {

sixcall::Bytes BytesOf(const std::string &s) { return {reinterpret_cast<const uint8_t *>(s.data()), s.size()}; }

void AddSet(Writer &writer, const std::string &key, const std::string &value) {
  writer.Begin(3);
  writer.Word("SET");
  writer.Word("p:", key);
  writer.Value(BytesOf(value));
  writer.End();
}

std::string SetOf(const std::string &key, const std::string &value) {
  return "*3\r\n$3\r\nSET\r\n$" + std::to_string(key.size() + 2) + "\r\np:" + key + "\r\n$" + std::to_string(value.size()) + "\r\n" + value + "\r\n";
}

TEST(RedisWriter, WritesTheSameInPiecesOfAnySize) {
  const std::vector<std::string> values = {"", "x", std::string(512, 'a'), std::string(513, 'b'), std::string(100000, 'c'), "y"};
  for (const size_t piece : {size_t{1}, size_t{3}, size_t{700}, size_t{1} << 30}) {
    Writer writer;
    std::string want;
    std::vector<size_t> ends;
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_TRUE(writer.HasRoom(10));
      AddSet(writer, "k" + std::to_string(i), values[i]);
      want += SetOf("k" + std::to_string(i), values[i]);
      ends.push_back(want.size());
    }
    bool blocked = false;
    ScriptStream stream("", [&](size_t) { return (blocked = !blocked) ? piece : 0; });
    size_t gone = 0;
    while (!writer.empty()) {
      gone += writer.Send(stream);
      size_t whole = 0;
      while (whole < ends.size() && ends[whole] <= stream.written.size()) ++whole;
      ASSERT_EQ(gone, whole) << "after " << stream.written.size() << " bytes";
      if (writer.empty()) break;
      const size_t start = whole == 0 ? 0 : ends[whole - 1];
      EXPECT_EQ(writer.begun(0), stream.written.size() > start);
      if (whole + 1 < ends.size()) {
        EXPECT_FALSE(writer.begun(1));
      }
    }
    EXPECT_EQ(stream.written, want);
  }
}

TEST(RedisWriter, SaysWhenItIsFull) {
  Writer writer;
  std::string want;
  size_t n = 0;
  const std::string key(4000, 'k'), value(1000, 'v');
  for (; writer.HasRoom(key.size() + 2); ++n) {
    AddSet(writer, key, value);
    want += SetOf(key, value);
  }
  EXPECT_GT(n, 10u);
  ScriptStream stream("", [](size_t) { return size_t{1} << 30; });
  EXPECT_EQ(writer.Send(stream), n);
  EXPECT_TRUE(stream.written == want);
  EXPECT_TRUE(writer.HasRoom(key.size())) << "it is empty again";
  for (n = 0; writer.HasRoom(2); ++n) AddSet(writer, "", value);  // many pieces
  EXPECT_EQ(writer.Send(stream), n);
}

TEST(RedisWriter, WritesNumbers) {
  Writer writer;
  writer.Begin(2);
  writer.Word("PX");
  writer.Number(18446744073709551615u);
  writer.End();
  ScriptStream stream("", [](size_t) { return size_t{100}; });
  writer.Send(stream);
  EXPECT_EQ(stream.written, "*2\r\n$2\r\nPX\r\n$20\r\n18446744073709551615\r\n");
}

}  // namespace
}  // namespace redis
