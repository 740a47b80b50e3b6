// SPDX-License-Identifier: Apache-2.0
//
// What servers answer, and what a host hears of it: the connection stays in step,
// or it is given up, and no wrong byte is ever a hit.
#include <atomic>
#include <random>

#include "redis.h"

namespace sixcall_test {
namespace {

// The answer to GET or another command of one key, the usual one for others.
FakeServer::Script For(const std::string &command, const std::string &key, Answer answer) {
  return [=](const Args &args) -> std::optional<Answer> {
    if (args[0] == command && args.size() > 1 && args[1] == key) return answer;
    return std::nullopt;
  };
}

TEST(RedisReplies, DoWhatEveryConnectorMust) {
  for (const bool byte_by_byte : {false, true}) {
    for (const auto net : {FakeServer::Net::kUnix, FakeServer::Net::kTcp}) {
      FakeServer server(net);
      server.SetByteByByte(byte_by_byte);
      Connection connection(Redis(), RedisOptions(server.Config()));
      ASSERT_TRUE(connection.ok()) << connection.open_error();
      RunBasics(connection);
      EXPECT_EQ(connection.Close(), SIXCALL_OK);
    }
  }
}

// Row 49: the peer's worker hangs at a missing key. Rows 50 and 101: another size
// leaves the peer's connection out of step.
TEST(RedisReplies, MissesAndOtherSizesDisturbNobody) {
  FakeServer server;
  Connection connection(Redis(), RedisOptions(server.Config()));
  server.Put("sixty", ValueOf("sixty", 60));
  server.Put("huge", std::string(3 << 20, 'h'));
  server.Put("empty", "");
  for (const uint64_t len : {1, 9, 10, 99, 100, 1000, 100000}) {
    const Result r = connection.Run(Request::Get({"absent", "sixty", "absent", "sixty"}, {len, 60, len, 60}));
    EXPECT_EQ(r.status, (Status{kMiss, kHit, kMiss, kHit})) << len;
    EXPECT_EQ(r.values[1], ValueOf("sixty", 60));
  }
  Request wrong = Request::Get({"sixty", "huge", "sixty", "sixty", "empty", "empty", "sixty"}, {50, 10, 70, 60, 5, 0, 60});
  wrong.value_lens = true;
  const Result r = connection.Run(wrong);
  EXPECT_EQ(r.status, (Status{kSize, kSize, kSize, kHit, kSize, kHit, kHit}));
  EXPECT_EQ(r.value_lens, (std::vector<uint64_t>{60, 3 << 20, 60, 60, 0, 0, 60}));
  EXPECT_EQ(r.values[6], ValueOf("sixty", 60));
  EXPECT_EQ(connection.Run(Request::Exists({"sixty", "absent"})).status, (Status{kHit, kMiss}));
  EXPECT_LE(server.connections(), 3) << "no connection was given up for it";
}

TEST(RedisReplies, LengthsComeWithExistence) {
  FakeServer server;
  Connection connection(Redis(), RedisOptions(server.Config()));
  server.Put("five", "12345");
  server.Put("empty", "");
  Request request = Request::Exists({"five", "empty", "absent"});
  request.value_lens = true;
  const Result r = connection.Run(request);
  EXPECT_EQ(r.status, (Status{kHit, kHit, kMiss}));
  EXPECT_EQ(r.value_lens, (std::vector<uint64_t>{5, 0, SIXCALL_LEN_UNKNOWN}));
  EXPECT_EQ(connection.Run(Request::Exists({"five"})).status, (Status{kHit}));
  EXPECT_EQ(server.Said("STRLEN"), 3) << "only when the host wants to know";
}

TEST(RedisReplies, ErrorsBelongToTheirKey) {
  const struct {
    const char *text;
    uint8_t get, set;
    int32_t code;
  } cases[] = {
      {"ERR something", kError, kError, SIXCALL_E_IO},
      {"LOADING Redis is loading the dataset in memory", kError, kError, SIXCALL_E_IO},
      {"OOM command not allowed when used memory > 'maxmemory'.", kRefused, kRefused, SIXCALL_E_NOSPACE},
      {"NOPERM this user has no permissions", kError, kError, SIXCALL_E_AUTH},
      {"READONLY You can't write against a read only replica.", kError, kError, SIXCALL_E_IO},
      {"MOVED 1 127.0.0.1:1", kError, kError, SIXCALL_E_IO},
      {"ASK 1 127.0.0.1:1", kError, kError, SIXCALL_E_IO},
      {"CLUSTERDOWN Hash slot not served", kError, kError, SIXCALL_E_IO},
      {"TRYAGAIN Multiple keys request during rehashing of slot", kError, kError, SIXCALL_E_IO},
      {"MISCONF Redis is configured to save RDB snapshots", kError, kError, SIXCALL_E_IO},
      {"", kError, kError, SIXCALL_E_IO},
  };
  FakeServer server;
  Connection connection(Redis(), RedisOptions(server.Config()));
  server.Put("a", "aa");
  server.Put("c", "cc");
  connection.Run(Request::Get({"a"}, 2));
  connection.Run(Request::Exists({"a"}));
  const int before = server.connections();
  for (const auto &c : cases) {
    for (const bool blob : {false, true}) {
      const std::string text = c.text;
      const Answer answer = blob ? Answer("!" + std::to_string(text.size()) + "\r\n" + text + "\r\n") : Answer("-" + text + "\r\n");
      server.SetScript(For("GET", "b", answer));
      Result r = connection.Run(Request::Get({"a", "b", "c"}, 2));
      EXPECT_EQ(r.status, (Status{kHit, c.get, kHit})) << text;
      EXPECT_EQ(r.err_code, c.code) << text;
      EXPECT_NE(r.err_text.find(text.substr(0, 20)), std::string::npos) << r.err_text;
      EXPECT_EQ(r.values[2], "cc");
      server.SetScript(For("SET", "b", answer));
      r = connection.Run(Request::Set({"x", "b", "y"}, {"1", "2", "3"}));
      EXPECT_EQ(r.status, (Status{kHit, c.set, kHit})) << text;
      server.SetScript(For("EXISTS", "b", answer));
      EXPECT_EQ(connection.Run(Request::Exists({"a", "b", "c"})).status, (Status{kHit, c.get, kHit})) << text;
      server.SetScript(For("UNLINK", "b", answer));
      EXPECT_EQ(connection.Run(Request::Delete({"x", "b", "y"})).status, (Status{kHit, c.set, kHit})) << text;
      Request lengths = Request::Exists({"a", "b"});
      lengths.value_lens = true;
      for (const char *half : {"EXISTS", "STRLEN"}) {
        server.SetScript(For(half, "b", answer));
        server.Put("b", "bbb");
        EXPECT_EQ(connection.Run(lengths).status, (Status{kHit, c.get})) << half << " " << text;
      }
    }
  }
  EXPECT_EQ(server.connections(), before) << "none was given up";
}

TEST(RedisReplies, KeysOfAnotherTypeAreMisses) {
  FakeServer server;
  Connection connection(Redis(), RedisOptions(server.Config()));
  const Answer wrong("-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
  server.SetScript([&](const Args &args) -> std::optional<Answer> {
    if (args.size() < 2 || args[1] != "list" || args[0] == "SET") return std::nullopt;
    return args[0] == "EXISTS" ? Answer(":1\r\n") : wrong;
  });
  EXPECT_EQ(connection.Run(Request::Get({"list"}, 5)).status, (Status{kMiss}));
  Request lengths = Request::Exists({"list"});
  lengths.value_lens = true;
  EXPECT_EQ(connection.Run(lengths).status, (Status{kMiss}));
  EXPECT_EQ(connection.Run(Request::Set({"list"}, {"value"})).status, (Status{kHit})) << "and are written over, row 102";
}

TEST(RedisReplies, TryAgainIsTriedAgain) {
  FakeServer server;
  server.Put("a", "aa");
  std::atomic<int> asked{0};
  server.SetScript([&](const Args &args) -> std::optional<Answer> {
    if (args[0] != "GET" || ++asked > 3) return std::nullopt;
    return Answer("-TRYAGAIN\r\n");
  });
  Connection connection(Redis(), RedisOptions(server.Config()));
  EXPECT_EQ(connection.Run(Request::Get({"a"}, 2)).status, (Status{kHit}));
  EXPECT_EQ(asked, 4);
}

TEST(RedisReplies, ProtocolThreeIsUnderstood) {
  FakeServer server;
  Connection connection(Redis(), RedisOptions(server.Config() + ",\"protocol\":\"3\""));
  server.Put("a", "aa");
  const std::string push = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n", attribute = "|1\r\n+ttl\r\n:3600\r\n";
  server.SetScript([&](const Args &args) -> std::optional<Answer> {
    if (args[0] == "GET" && args[1] == "none") return Answer(push + "_\r\n");
    if (args[0] == "GET") return Answer(push + attribute + Bulk("aa") + push);
    return std::nullopt;
  });
  const Result r = connection.Run(Request::Get({"a", "none", "a"}, 2));
  EXPECT_EQ(r.status, (Status{kHit, kMiss, kHit}));
  EXPECT_EQ(r.values[2], "aa");
  EXPECT_EQ(connection.Run(Request::Get({"a"}, 2)).status, (Status{kHit})) << "a push after the last reply is nobody's";
}

// Each of these is no answer to its request, and what follows cannot be trusted.
TEST(RedisReplies, NonsenseEndsTheConnection) {
  const struct {
    const char *command, *bytes;
  } cases[] = {
      {"GET", "garbage\r\n"},          {"GET", "+OK\r\n"},        {"GET", ":5\r\n"},           {"GET", "*1\r\n$2\r\nbb\r\n"}, {"GET", "$2\r\nbbb\r\n"},
      {"GET", "$x\r\n"},               {"GET", "$-5\r\n"},        {"GET", "=6\r\ntxt:bb\r\n"}, {"GET", "\r\n"},               {"GET", "%1\r\n+a\r\n+b\r\n"},
      {"SET", "+NO\r\n"},              {"SET", ":1\r\n"},         {"SET", "$2\r\nOK\r\n"},     {"SET", "$-1\r\n"},            {"SET", "_\r\n"},
      {"EXISTS", "+OK\r\n"},           {"EXISTS", ":2\r\n"},      {"EXISTS", ":-1\r\n"},       {"EXISTS", "$-1\r\n"},         {"EXISTS", "#t\r\n"},
      {"UNLINK", "+OK\r\n"},           {"UNLINK", ":3\r\n"},      {"GET", "~0\r\n"},           {"GET", ",1.5\r\n"},           {"GET", "$\r\n"},
  };
  FakeServer server;
  Connection connection(Redis(), RedisOptions(server.Config()));
  server.Put("a", "aa");
  server.Put("b", "bb");
  for (const auto &c : cases) {
    server.SetScript(For(c.command, "b", c.bytes));
    const std::string command = c.command;
    const std::vector<std::string> keys = {"a", "b"};
    const Request request = command == "GET" ? Request::Get(keys, 2) : command == "SET" ? Request::Set(keys, {"aa", "bb"}) : command == "EXISTS" ? Request::Exists(keys) : Request::Delete(keys);
    const int before = server.connections();
    Result r = connection.Run(request);
    EXPECT_EQ(r.status, (Status{kHit, kError})) << command << " answered by " << c.bytes;
    EXPECT_NE(r.err_text.find("protocol error"), std::string::npos) << r.err_text;
    server.SetScript(nullptr);
    server.Put("a", "aa");
    r = connection.Run(Request::Get(keys, 2));
    EXPECT_EQ(r.status[0], kHit) << "a new connection serves";
    r = connection.Run(Request::Exists({"a"}));
    EXPECT_EQ(r.status[0], kHit);
    EXPECT_GT(server.connections(), before);
    server.Put("b", "bb");
  }
}

TEST(RedisReplies, BytesThatNobodyAskedForEndTheConnection) {
  FakeServer server;
  Connection connection(Redis(), RedisOptions(server.Config()));
  server.Put("a", "aa");
  server.Put("b", "bb");
  // The second string would be the answer to the next GET, and the wrong one.
  EXPECT_EQ(connection.Run(Request::Get({"a"}, 2)).status, (Status{kHit}));
  EXPECT_EQ(connection.Run(Request::Exists({"a"})).status, (Status{kHit}));
  const int before = server.connections();
  server.SetScript(For("GET", "a", Answer(Bulk("aa") + Bulk("xx"))));
  EXPECT_EQ(connection.Run(Request::Get({"a"}, 2)).status, (Status{kHit}));
  ASSERT_TRUE(Eventually([&] { return server.connections() == before + 1; })) << before << ", then " << server.connections();
  server.SetScript(nullptr);
  const Result r = connection.Run(Request::Get({"b"}, 2));
  EXPECT_EQ(r.status, (Status{kHit}));
  EXPECT_EQ(r.values[0], "bb");
}

TEST(RedisReplies, ALostConnectionIsTriedOnceMore) {
  FakeServer server;
  Connection connection(Redis(), RedisOptions(server.Config()));
  const std::vector<std::string> keys = Keys(8);
  for (const std::string &key : keys) server.Put(key, ValueOf(key, 1000));
  for (const std::string &cut : {std::string(), std::string("$"), "$1000\r\n" + ValueOf("k4", 1000).substr(0, 500), "$1000\r\n" + ValueOf("k4", 1000), "$1000\r\n" + ValueOf("k4", 1000) + "\r"}) {
    std::atomic<int> times{1};
    server.SetScript([&](const Args &args) -> std::optional<Answer> {
      if (args[0] == "GET" && args[1] == "k4" && times-- > 0) return Answer::HangUp(cut);
      return std::nullopt;
    });
    const Result r = connection.Run(Request::Get(keys, 1000));
    EXPECT_EQ(r.status, Status(8, kHit)) << "cut after " << cut.size();
    EXPECT_EQ(r.values, ValuesOf(keys, 1000));
  }
  server.SetScript(For("GET", "k4", Answer::HangUp("$1000\r\nxxx")));
  const Result r = connection.Run(Request::Get(keys, 1000));
  EXPECT_EQ(r.status, (Status{kHit, kHit, kHit, kHit, kError, kError, kError, kError})) << "not for ever";
  server.SetScript(nullptr);
  EXPECT_TRUE(Eventually([&] { return connection.Run(Request::Get(keys, 1000)).status == Status(8, kHit); }));
}

TEST(RedisReplies, ADeleteIsNotSentTwice) {
  FakeServer server;
  Connection connection(Redis(), RedisOptions(server.Config()));
  server.SetScript(For("UNLINK", "a", Answer::HangUp()));
  EXPECT_EQ(connection.Run(Request::Delete({"a"})).status, (Status{kError})) << "nobody knows whether it was there";
  EXPECT_EQ(server.Said("UNLINK"), 1);
}

// Row 52: the peer wants one size in a batch. Row 103: concurrent stores.
TEST(RedisReplies, SizesMayDiffer) {
  FakeServer server;
  Connection connection(Redis(), RedisOptions(server.Config()));
  const std::vector<std::string> keys = Keys(6), values = {std::string(10, 'a'), std::string(20, 'b'), std::string(10, 'c'), "", std::string(100000, 'd'), std::string(2 << 20, 'e')};
  EXPECT_EQ(connection.Run(Request::Set(keys, values)).status, Status(6, kHit));
  const Result r = connection.Run(Request::Get(keys, {10, 20, 10, 0, 100000, 2 << 20}));
  EXPECT_EQ(r.status, Status(6, kHit));
  EXPECT_EQ(r.values, values);
}

// The server writes megabytes while it is written to: whoever only writes until
// all is sent, or only reads, waits for ever.
TEST(RedisReplies, LargeTransfersBothWaysDoNotBlockEachOther) {
  for (const char *window : {"1", "1000000", "1000000000"}) {
    FakeServer server;
    Connection connection(Redis(), RedisOptions(server.Config() + ",\"window_bytes\":" + window));
    const std::vector<std::string> keys = Keys(24), others = Keys(24, "w");
    for (const std::string &key : keys) server.Put(key, ValueOf(key, 1 << 20));
    std::vector<uint64_t> gets;
    for (int round = 0; round < 2; ++round) {
      gets.push_back(connection.Submit(Request::Get(keys, 1 << 20)));
      connection.Submit(Request::Set(others, ValuesOf(others, 1 << 20)));
    }
    for (const uint64_t ticket : gets) {
      const Result r = connection.Wait(ticket);
      EXPECT_EQ(r.status, Status(24, kHit));
      EXPECT_TRUE(r.values == ValuesOf(keys, 1 << 20));
    }
    connection.WaitForAll();
    for (const std::string &key : others) EXPECT_TRUE(server.Value(key) == ValueOf(key, 1 << 20));
  }
}

// Random damage to the framing. Every key has a size of its own, so that a value
// in the wrong place would not fit.
TEST(RedisReplies, RandomDamageNeverMakesAWrongHit) {
  FakeServer server;
  const std::vector<std::string> keys = Keys(20);
  std::vector<uint64_t> lens;
  for (size_t i = 0; i < keys.size(); ++i) {
    lens.push_back(i * 37 + 5);
    server.Put(keys[i], ValueOf(keys[i], lens[i]));
  }
  std::atomic<unsigned> seed{0};
  server.SetScript([&](const Args &args) -> std::optional<Answer> {
    std::minstd_rand random(++seed * 7919);
    random.discard(3);
    if (args[0] != "GET" || random() % 12 != 0) return std::nullopt;
    const size_t len = server.Value(args[1])->size();
    const std::string value = *server.Value(args[1]);
    std::string head = "$" + std::to_string(len) + "\r\n", tail = "\r\n";
    std::string &part = random() % 3 == 0 ? tail : head;
    switch (random() % 4) {
      case 0: part.insert(random() % (part.size() + 1), 1, static_cast<char>(random())); break;
      case 1: part.erase(random() % part.size(), 1); break;
      case 2: part[random() % part.size()] = static_cast<char>(random()); break;
      default: return Answer::HangUp((head + value).substr(0, random() % (len + 5)));
    }
    return Answer(head + value + tail);
  });
  Connection connection(Redis(), RedisOptions(server.Config() + ",\"timeout_ms\":50"));
  size_t hits = 0, failures = 0;
  for (int round = 0; round < 200; ++round) {
    const Result r = connection.Run(Request::Get(keys, lens));
    for (size_t i = 0; i < keys.size(); ++i) {
      failures += r.status[i] != kHit;
      if (r.status[i] != kHit) continue;
      ++hits;
      ASSERT_EQ(r.values[i], ValueOf(keys[i], lens[i])) << "round " << round;
    }
  }
  EXPECT_GT(hits, 300u);
  EXPECT_GT(failures, 50u);
  server.SetScript(nullptr);
  EXPECT_TRUE(Eventually([&] { return connection.Run(Request::Get(keys, lens)).status == Status(20, kHit); })) << "it recovers";
}

TEST(RedisReplies, ValuesThatTheServerFindsTooLargeAreRefused) {
  FakeServer server;
  Connection connection(Redis(), RedisOptions(server.Config() + ",\"max_value_bytes\":1000"));
  EXPECT_EQ(connection.TrySubmit(Request::Set({"a"}, {std::string(1001, 'x')})), SIXCALL_E_INVAL);
  EXPECT_EQ(connection.Run(Request::Set({"a"}, {std::string(1000, 'x')})).status, (Status{kHit}));
}

}  // namespace
}  // namespace sixcall_test
