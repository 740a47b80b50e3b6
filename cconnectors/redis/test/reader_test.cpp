// SPDX-License-Identifier: Apache-2.0
//
// The tokens of RESP, whatever the pieces in which the bytes come.
#include "resp_reader.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "script_stream.h"

namespace redis {
namespace {

// What a reader makes of bytes, as text: one word per token.
std::string Read(const std::string &bytes, const std::function<size_t(size_t)> &pieces, size_t ahead = Reader::kCapacity) {
  ScriptStream stream(bytes, pieces);
  Reader reader;
  std::string out, bulk;
  for (;;) {
    switch (reader.Next()) {
      case Token::kMore: {
        if (stream.at_end()) return out + (reader.idle() ? "." : "...");
        bool all;
        reader.Fill(stream, ahead, &all);
        continue;
      }
      case Token::kScalar:
        out += reader.type();
        out += reader.type() == ':' ? std::to_string(reader.number()) : std::string(reader.text());
        break;
      case Token::kNull: out += "null"; break;
      case Token::kBulk:
        bulk.assign(static_cast<size_t>(reader.number()), '?');
        reader.Into(reinterpret_cast<uint8_t *>(bulk.data()));
        continue;
      case Token::kBulkEnd: out += "\"" + bulk + "\""; break;
      case Token::kAggregate: out += reader.type() + std::to_string(reader.number()); break;
    }
    out += " ";
  }
}

std::string Whole(const std::string &bytes) {
  return Read(bytes, [&](size_t) { return bytes.size(); });
}

struct Case {
  const char *name;
  std::string bytes;
  std::string want;
};

const std::vector<Case> &Cases() {
  static const std::vector<Case> cases = {
      {"scalars", "+OK\r\n-ERR no\r\n:-12\r\n:9223372036854775807\r\n", "+OK -ERR no :-12 :9223372036854775807 ."},
      {"scalars of 3", "#t\r\n,3.5\r\n(123456789012345678901234567890\r\n_\r\n", "#t ,3.5 (123456789012345678901234567890 null ."},
      {"strings", "$5\r\nhello\r\n$0\r\n\r\n$-1\r\n$4\r\n\r\n\r\n\r\n", "\"hello\" \"\" null \"\r\n\r\n\" ."},
      {"strings of 3", "=7\r\ntxt:abc\r\n!5\r\nERR x\r\n", "\"txt:abc\" \"ERR x\" ."},
      {"lists", "*2\r\n:1\r\n$1\r\na\r\n*0\r\n*-1\r\n%1\r\n+k\r\n+v\r\n~1\r\n:2\r\n", "*2 :1 \"a\" *0 null %2 +k +v ~1 :2 ."},
      {"an attribute is skipped", "|1\r\n+key\r\n*2\r\n:1\r\n$3\r\nxyz\r\n$2\r\nok\r\n", "\"ok\" ."},
      {"a push is skipped", "+a\r\n>3\r\n$7\r\nmessage\r\n+c\r\n*1\r\n|1\r\n+x\r\n+y\r\n:3\r\n+b\r\n", "+a +b ."},
      {"an empty push is skipped", ">0\r\n|0\r\n+b\r\n", "+b ."},
      {"an empty text", "+\r\n-\r\n", "+ - ."},
      {"a plus sign", ":+5\r\n", ":5 ."},
      {"unfinished line", "+OK", "..."},
      {"unfinished string", "$5\r\nhel", "..."},
      {"unfinished end of string", "$5\r\nhello\r", "..."},
      {"unfinished push", ">2\r\n+a\r\n", "..."},
  };
  return cases;
}

TEST(RedisReader, ReadsEveryKindOfReply) {
  for (const Case &c : Cases()) EXPECT_EQ(Whole(c.bytes), c.want) << c.name;
}

TEST(RedisReader, DoesNotMindWhereTheBytesAreCut) {
  for (const Case &c : Cases()) {
    for (size_t cut = 1; cut < c.bytes.size(); ++cut) {
      const auto two = [&](size_t at) { return at < cut ? cut - at : c.bytes.size(); };
      ASSERT_EQ(Read(c.bytes, two), c.want) << c.name << ", cut at " << cut;
    }
    for (size_t ahead : {size_t{1}, size_t{2}, size_t{7}, size_t{64}}) {
      ASSERT_EQ(Read(c.bytes, [](size_t) { return size_t{1}; }, ahead), c.want) << c.name << ", byte by byte";
    }
  }
}

TEST(RedisReader, RefusesWhatIsNoReply) {
  for (const std::string &bytes : std::vector<std::string>{"hello\r\n", "\r\n", "\n", "+OK\rX", "$x\r\n", "$\r\n", "$-2\r\n", "$ 5\r\n", "$5 \r\n", ":1.5\r\n", ":\r\n", ":--1\r\n",
                                  "*-2\r\n", "*99999999999\r\n", "$9999999999999999\r\n", "$99999999999999999999\r\n", ":9223372036854775808\r\n",
                                  ":-9223372036854775809\r\n", "$?\r\n", "*?\r\n", "_x\r\n", "%-1\r\n", "$3\r\nhello\r\n", "$5\r\nhello\rX", "$0\r\nX\r\n", "!-1\r\n", std::string("\0\r\n", 3), "+OK\n"}) {
    EXPECT_THROW(Whole(bytes), ProtocolError) << bytes;
    EXPECT_THROW(Read(bytes, [](size_t) { return size_t{1}; }), ProtocolError) << bytes;
  }
  EXPECT_EQ(Whole(":-9223372036854775808\r\n"), ":-9223372036854775808 .");
}

TEST(RedisReader, RefusesALineWithoutAnEnd) {
  const std::string bytes = "+" + std::string(10 * Reader::kMaxLine, 'x');
  EXPECT_THROW(Read(bytes, [](size_t) { return size_t{1000}; }), ProtocolError);
}

// Three large strings through a small look-ahead: each goes to its own place, and
// nothing beside it is touched.
TEST(RedisReader, PutsStringsWhereTheyBelong) {
  std::vector<std::string> want;
  std::string bytes;
  std::minstd_rand random(1);
  for (const size_t n : {size_t{100000}, size_t{1}, size_t{3 * Reader::kCapacity + 17}, size_t{0}, Reader::kCapacity}) {
    std::string value(n, '\0');
    for (char &c : value) c = static_cast<char>(random());
    want.push_back(value);
    bytes += "$" + std::to_string(n) + "\r\n" + value + "\r\n";
  }
  for (const size_t ahead : {size_t{1}, size_t{64}, Reader::kCapacity}) {
    for (const size_t piece : {size_t{1}, size_t{13}, size_t{4096}, bytes.size()}) {
      ScriptStream stream(bytes, [&](size_t) { return piece; });
      Reader reader;
      for (const std::string &value : want) {
        std::string guarded(value.size() + 2, '#');
        for (bool done = false; !done;) {
          const Token token = reader.Next();
          bool all;
          if (token == Token::kMore) reader.Fill(stream, ahead, &all);
          if (token == Token::kBulk) reader.Into(reinterpret_cast<uint8_t *>(guarded.data()) + 1);
          done = token == Token::kBulkEnd;
        }
        ASSERT_TRUE(guarded == "#" + value + "#") << "value of " << value.size() << ", ahead " << ahead << ", pieces of " << piece;
      }
      EXPECT_TRUE(reader.idle());
    }
  }
}

// A target that is taken back in the middle is not written any more, and the next
// reply is read right.
TEST(RedisReader, AbandonsATarget) {
  const std::string bytes = "$1000\r\n" + std::string(1000, 'x') + "\r\n+OK\r\n";
  for (const size_t after : {size_t{0}, size_t{1}, size_t{500}, size_t{999}}) {
    ScriptStream stream(bytes, [](size_t) { return size_t{1}; });
    Reader reader;
    std::string target(1000, '#');
    const auto filled = [&] { return static_cast<size_t>(std::count(target.begin(), target.end(), 'x')); };
    for (bool done = false; !done;) {
      const Token token = reader.Next();
      if (token == Token::kBulk) reader.Into(reinterpret_cast<uint8_t *>(target.data()));
      if (reader.in_bulk() && filled() == after) reader.Abandon();
      bool all;
      if (token == Token::kMore) reader.Fill(stream, 1, &all);
      done = token == Token::kScalar;
    }
    EXPECT_EQ(filled(), after);
    EXPECT_EQ(reader.text(), "OK");
  }
}

// Garbage is refused or understood, and nothing else: no crash, no write beyond a
// target, no endless loop.
TEST(RedisReader, SurvivesRandomBytes) {
  static const char kCommon[] = "+-:$*%~>|_#!=\r\n0123456789abc";
  for (unsigned seed = 0; seed < 20000; ++seed) {
    std::minstd_rand random(seed);
    std::string bytes(random() % 200, '\0');
    for (char &c : bytes) c = random() % 8 == 0 ? static_cast<char>(random()) : kCommon[random() % (sizeof(kCommon) - 1)];
    if (random() % 2 == 0) bytes = Cases()[random() % Cases().size()].bytes + bytes;
    ScriptStream stream(bytes, [&](size_t) { return 1 + random() % 7; });
    Reader reader;
    std::vector<uint8_t> target;
    try {
      for (;;) {
        const Token token = reader.Next();
        if (token == Token::kBulk && reader.number() <= 300) {
          target.assign(static_cast<size_t>(reader.number()), 0);  // exact, for the sanitizer
          reader.Into(target.data());
        }
        bool all;
        if (token != Token::kMore) continue;
        if (stream.at_end()) break;
        reader.Fill(stream, 1 + random() % 64, &all);
      }
    } catch (const ProtocolError &e) {
      EXPECT_FALSE(e.text().empty());
    }
  }
}

}  // namespace
}  // namespace redis
