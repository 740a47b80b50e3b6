// SPDX-License-Identifier: Apache-2.0
//
// Opening, logging in, losing the server and finding it again.
#include <dirent.h>

#include <atomic>

#include "redis.h"

namespace sixcall_test {
namespace {

TEST(RedisConnection, TheTableSaysWhatIsThere) {
  const sixcall_api *api = Redis();
  EXPECT_STREQ(api->name, "redis");
  const uint64_t want = SIXCALL_CAP_DELETE | SIXCALL_CAP_LIMITS | SIXCALL_CAP_PING | SIXCALL_CAP_CANCEL | SIXCALL_CAP_USAGE | SIXCALL_CAP_LIST |
                        SIXCALL_CAP_STATS_TEXT | SIXCALL_CAP_READ_YOUR_WRITES | SIXCALL_CAP_DEADLINE | SIXCALL_CAP_PERSISTENT | SIXCALL_CAP_VALUE_LENS;
  EXPECT_EQ(api->caps, want);
  EXPECT_NE(api->config_schema, nullptr);
}

TEST(RedisConnection, WrongSettingsAreNamed) {
  for (const std::string config : {R"({"prot":1})", R"({"host":5})", R"({"password":null})", R"({"tls":true,"tls_ca_file":"/nonexistent"})"}) {
    OpenOptions options;
    options.config = config;
    Connection connection(Redis(), options);
    EXPECT_FALSE(connection.ok());
    EXPECT_EQ(connection.open_code(), SIXCALL_E_CONFIG) << connection.open_error();
  }
  FakeServer server;
  OpenOptions options = RedisOptions(server.Config() + ",\"hots\":\"x\"");
  Connection connection(Redis(), options);
  EXPECT_NE(connection.open_error().find("\"hots\"; the nearest known key is \"host\""), std::string::npos) << connection.open_error();
  EXPECT_EQ(server.connections(), 0) << "nothing is connected to before the configuration is right";
}

// Row 48: the peer opens, and hangs.
TEST(RedisConnection, AServerThatIsNotThereFailsOpen) {
  const std::vector<int> fds = OpenFds();
  const auto threads = ListThreads();
  for (const char *where : {R"("unix_socket":"/nonexistent/socket")", R"("host":"127.0.0.1","port":1)", R"("host":"name.invalid")"}) {
    OpenOptions options = RedisOptions(where);
    options.open_timeout_ms = 5000;
    Connection connection(Redis(), options);
    EXPECT_FALSE(connection.ok());
    EXPECT_TRUE(connection.open_code() == SIXCALL_E_CONNECT || connection.open_code() == SIXCALL_E_TIMEOUT) << connection.open_error();
    EXPECT_NE(connection.open_error().find(where[1] == 'u' ? "/nonexistent/socket" : where[8] == 'n' ? "name.invalid" : "127.0.0.1:1"), std::string::npos) << connection.open_error();
  }
  EXPECT_TRUE(Eventually([&] { return NewThreads(threads).empty(); }));
  EXPECT_EQ(OpenFds(), fds) << "nothing is left behind";
}

TEST(RedisConnection, AServerThatDoesNotAnswerFailsOpenInTime) {
  FakeServer server;
  server.SetDeaf(true);
  OpenOptions options = RedisOptions(server.Config() + ",\"connect_timeout_ms\":60000");
  options.open_timeout_ms = 100;
  Connection connection(Redis(), options);
  EXPECT_FALSE(connection.ok());
  EXPECT_EQ(connection.open_code(), SIXCALL_E_TIMEOUT) << connection.open_error();
}

TEST(RedisConnection, AServerThatDoesNotWantUsFailsOpen) {
  const struct {
    const char *command, *answer;
    int32_t code;
  } cases[] = {
      {"AUTH", "-WRONGPASS invalid username-password pair or user is disabled.\r\n", SIXCALL_E_AUTH},
      {"PING", "-NOAUTH Authentication required.\r\n", SIXCALL_E_AUTH},
      {"PING", "-LOADING Redis is loading the dataset in memory\r\n", SIXCALL_E_CONNECT},
      {"SELECT", "-ERR DB index is out of range\r\n", SIXCALL_E_CONFIG},
      {"PING", "+WHO\r\n", SIXCALL_E_IO},
      {"PING", "HTTP/1.1 400 Bad Request\r\n", SIXCALL_E_IO},
  };
  for (const auto &c : cases) {
    FakeServer server;
    server.SetScript([&](const Args &args) -> std::optional<Answer> { return args[0] == c.command ? std::optional<Answer>(c.answer) : std::nullopt; });
    Connection connection(Redis(), RedisOptions(server.Config() + ",\"username\":\"u\",\"password\":\"secret\",\"database\":7"));
    EXPECT_FALSE(connection.ok());
    EXPECT_EQ(connection.open_code(), c.code) << connection.open_error();
    EXPECT_EQ(connection.open_error().find("secret"), std::string::npos);
  }
}

TEST(RedisConnection, LogsInEverywhere) {
  FakeServer server;
  Connection connection(Redis(), RedisOptions(server.Config() + ",\"username\":\"u\",\"password\":\"pw\",\"database\":3"));
  ASSERT_TRUE(connection.ok()) << connection.open_error();
  EXPECT_EQ(connection.Run(Request::Exists({"a"})).status, (Status{kMiss}));
  EXPECT_EQ(connection.Run(Request::Get({"a"}, 1)).status, (Status{kMiss}));
  int logins = 0, selects = 0;
  for (const Args &args : server.Commands()) {
    logins += args == Args{"HELLO", "3", "AUTH", "u", "pw"} || args == Args{"AUTH", "u", "pw"};
    selects += args == Args{"SELECT", "3"};
  }
  EXPECT_EQ(logins, server.connections());
  EXPECT_EQ(selects, server.connections());
  for (const std::string &line : connection.log()) EXPECT_EQ(line.find("pw"), std::string::npos) << line;
}

TEST(RedisConnection, OldServersAreSpokenToInTwo) {
  FakeServer server;
  server.Put("a", "aa");
  for (const bool hangs_up : {false, true}) {
    server.SetScript([=](const Args &args) -> std::optional<Answer> {
      if (args[0] != "HELLO") return std::nullopt;
      return hangs_up ? Answer::HangUp() : Answer("-ERR unknown command 'HELLO'\r\n");
    });
    Connection connection(Redis(), RedisOptions(server.Config() + ",\"password\":\"pw\""));
    ASSERT_TRUE(connection.ok()) << connection.open_error();
    EXPECT_TRUE(Eventually([&] { return connection.Run(Request::Get({"a"}, 2)).status == Status{kHit}; }));
  }
  EXPECT_GE(server.Said("AUTH"), 2);
  FakeServer two;
  Connection connection(Redis(), RedisOptions(two.Config() + ",\"protocol\":\"2\""));
  EXPECT_EQ(connection.Run(Request::Get({"a"}, 2)).status, (Status{kMiss}));
  EXPECT_EQ(two.Said("HELLO"), 0);
}

TEST(RedisConnection, PrefixAndExpiryGoIntoTheCommands) {
  FakeServer server;
  Connection connection(Redis(), RedisOptions(server.Config() + ",\"prefix\":\"kv:\",\"ttl_ms\":60000"));
  EXPECT_EQ(connection.Run(Request::Set({"a"}, {"aa"})).status, (Status{kHit}));
  EXPECT_EQ(connection.Run(Request::Get({"a"}, 2)).status, (Status{kHit}));
  EXPECT_EQ(connection.Run(Request::Exists({"a", "kv:a"})).status, (Status{kHit, kMiss}));
  EXPECT_EQ(server.Value("kv:a"), "aa");
  bool seen = false;
  for (const Args &args : server.Commands()) seen = seen || args == Args{"SET", "kv:a", "aa", "PX", "60000"};
  EXPECT_TRUE(seen);
  EXPECT_EQ(connection.Run(Request::Delete({"a"})).status, (Status{kHit}));
}

TEST(RedisConnection, LazyOpensWithoutAServer) {
  FakeServer server;
  server.Stop();
  Connection connection(Redis(), RedisOptions(server.Config() + ",\"lazy\":true"));
  ASSERT_TRUE(connection.ok()) << connection.open_error();
  const Result down = connection.Run(Request::Get(Keys(3), 2));
  EXPECT_EQ(down.status, Status(3, kError));
  EXPECT_EQ(down.err_code, SIXCALL_E_CONNECT);
  EXPECT_NE(down.err_text.find("is the server running?"), std::string::npos) << down.err_text;
  EXPECT_EQ(connection.Run(Request::Ping()).rc, SIXCALL_E_CONNECT);
  server.Start();
  EXPECT_TRUE(Eventually([&] { return connection.Run(Request::Ping()).rc == SIXCALL_OK; }));
  EXPECT_TRUE(Eventually([&] { return connection.Run(Request::Set({"a"}, {"aa"})).status == Status{kHit}; }));
}

// Row 51: the peer never connects again.
TEST(RedisConnection, ALostConnectionIsMadeAgain) {
  FakeServer server;
  Connection connection(Redis(), RedisOptions(server.Config()));
  server.Put("a", "aa");
  for (int round = 0; round < 20; ++round) {
    EXPECT_EQ(connection.Run(Request::Get({"a"}, 2)).status, (Status{kHit})) << "round " << round;
    server.HangUp();
    EXPECT_EQ(connection.Run(Request::Get({"a"}, 2)).status, (Status{kHit})) << "right after the loss, round " << round;
    const Result r = connection.Run(Request::Exists({"a"}));
    EXPECT_EQ(r.status, (Status{kHit})) << r.err_text << ", round " << round;
  }
}

TEST(RedisConnection, AServerThatIsAwayFailsFastAndComesBack) {
  FakeServer server;
  Connection connection(Redis(), RedisOptions(server.Config()));
  server.Put("a", "aa");
  for (int round = 0; round < 5; ++round) {
    EXPECT_TRUE(Eventually([&] { return connection.Run(Request::Get({"a"}, 2)).status == Status{kHit}; }));
    server.Stop();
    const Result r = connection.Run(Request::Get({"a", "b"}, 2));
    EXPECT_EQ(r.status, Status(2, kError));
    EXPECT_EQ(r.err_code, SIXCALL_E_CONNECT) << r.err_text;
    server.Start();
  }
  EXPECT_TRUE(Eventually([&] { return connection.Run(Request::Get({"a"}, 2)).status == Status{kHit}; }));
}

// A server that takes the connection and hangs up must not be called without a pause.
TEST(RedisConnection, AServerThatHangsUpIsNotCalledWithoutAPause) {
  FakeServer server;
  Connection connection(Redis(), RedisOptions(server.Config(), R"("reconnect_min_ms":200,"reconnect_max_ms":200)"));
  connection.Run(Request::Get({"a"}, 2));
  server.SetScript([](const Args &) -> std::optional<Answer> { return Answer::HangUp(); });
  server.HangUp();
  for (int i = 0; i < 50; ++i) EXPECT_EQ(connection.Run(Request::Get({"a"}, 2)).status, (Status{kError}));
  EXPECT_LT(server.connections(), 30);
}

TEST(RedisConnection, AnotherLoginIsTriedWhenTheOldOneIsGone) {
  FakeServer server;
  Connection connection(Redis(), RedisOptions(server.Config()));
  server.Put("a", "aa");
  EXPECT_EQ(connection.Run(Request::Get({"a"}, 2)).status, (Status{kHit}));
  std::atomic<int> times{1};
  server.SetScript([&](const Args &args) -> std::optional<Answer> {
    if (args[0] == "GET" && times-- > 0) return Answer("-NOAUTH Authentication required.\r\n");
    return std::nullopt;
  });
  const Result r = connection.Run(Request::Get({"a", "a"}, 2));
  EXPECT_EQ(r.status, (Status{kError, kHit}));
  EXPECT_EQ(r.err_code, SIXCALL_E_AUTH);
}

TEST(RedisConnection, ThreadsAreNamedAndLeaveSignalsAlone) {
  FakeServer server;
  const auto before = ListThreads();
  Connection connection(Redis(), RedisOptions(server.Config()));
  connection.Run(Request::Get({"a"}, 2));
  int ours = 0;
  for (const ThreadInfo &t : NewThreads(before)) {
    if (t.name != "sixcall:redis") continue;  // the server's own
    ++ours;
    EXPECT_NE(t.blocked & (uint64_t{1} << (SIGTERM - 1)), 0u);
    EXPECT_EQ(t.blocked & (uint64_t{1} << (SIGSEGV - 1)), 0u);
  }
  EXPECT_EQ(ours, 4) << "a worker, a lookup worker, the directory, the control thread";
}

TEST(RedisConnection, NothingIsLeftBehind) {
  FakeServer server;
  const std::vector<int> fds = OpenFds();
  for (int i = 0; i < 10; ++i) {
    Connection connection(Redis(), RedisOptions(server.Config()));
    connection.Run(Request::Set(Keys(10), ValuesOf(Keys(10), 1000)));
    connection.Run(Request::Exists(Keys(10)));
    EXPECT_EQ(connection.Close(), SIXCALL_OK);
  }
  EXPECT_TRUE(Eventually([&] { return OpenFds() == fds; }));
  EXPECT_TRUE(Eventually([&] {
    for (const ThreadInfo &t : ListThreads()) {
      if (t.name == "sixcall:redis") return false;
    }
    return true;
  }));
}

TEST(RedisConnection, UsageAndStatisticsAreThere) {
  FakeServer server;
  server.Put("a", "aa");
  Connection connection(Redis(), RedisOptions(server.Config()));
  sixcall_usage usage = {};
  usage.struct_size = sizeof(usage);
  ASSERT_EQ(Redis()->usage(connection.handle(), &usage), SIXCALL_OK);
  EXPECT_EQ(usage.bytes_used, 4242u);
  EXPECT_EQ(usage.bytes_capacity, 100000u);
  EXPECT_EQ(usage.keys, 1u);
  server.Put("b", "bb");
  EXPECT_TRUE(Eventually([&] { return Redis()->usage(connection.handle(), &usage) == SIXCALL_OK && usage.keys == 2; })) << "figures are taken anew";
  std::string text(10000, '\0');
  text.resize(static_cast<size_t>(Redis()->stats_text(connection.handle(), text.data(), text.size())));
  EXPECT_NE(text.find("sixcall_redis_connects_total"), std::string::npos) << text;
}

}  // namespace
}  // namespace sixcall_test
