// SPDX-License-Identifier: Apache-2.0
//
// Exceptions and sessions of connector.hpp.
#include <gtest/gtest.h>

#include <new>
#include <stdexcept>

#include "../harness/threads.h"
#include "scripted.h"

namespace sixcall_test {
namespace {

using sixcall::Error;
using Status = std::vector<uint8_t>;

constexpr uint8_t kMiss = SIXCALL_STATUS_MISS;
constexpr uint8_t kHit = SIXCALL_STATUS_HIT;
constexpr uint8_t kError = SIXCALL_STATUS_ERROR;

class Failure : public HelperTest {
 protected:
  Request OfOp(uint32_t op, const std::vector<std::string> &keys) {
    if (op == SIXCALL_OP_GET) return Request::Get(keys, 1);
    if (op == SIXCALL_OP_SET) return Request::Set(keys, std::vector<std::string>(keys.size(), "v"));
    return op == SIXCALL_OP_EXISTS ? Request::Exists(keys) : Request::Delete(keys);
  }
};

TEST_F(Failure, OfOneKeyLeavesTheOthersAlone) {
  Connection connection(Api());
  connection.Run(Request::Set({"a", "b", "c"}, {"1", "2", "3"}));
  script->before_key = [](uint32_t, std::string_view key) {
    if (key == "b") throw Error(SIXCALL_E_IO, "read of b: disk on fire", 42);
  };
  for (const uint32_t op : {SIXCALL_OP_GET, SIXCALL_OP_SET, SIXCALL_OP_EXISTS, SIXCALL_OP_DELETE}) {
    const Result result = connection.Run(OfOp(op, {"a", "b", "c"}));
    EXPECT_EQ(result.rc, SIXCALL_OK) << "the batch ran";
    EXPECT_EQ(result.status, (Status{kHit, kError, kHit})) << "op " << op;
    EXPECT_EQ(result.err_code, SIXCALL_E_IO);
    EXPECT_EQ(result.err_text, "read of b: disk on fire");
  }
  EXPECT_EQ(script->connects.load(), 2) << "the sessions of both lanes go on";
}

TEST_F(Failure, MapsWhateverIsThrown) {
  Connection connection(Api());
  const std::vector<std::pair<std::function<void()>, std::pair<int32_t, uint8_t>>> thrown = {
      {[] { throw Error(SIXCALL_E_TIMEOUT, "x"); }, {SIXCALL_E_TIMEOUT, SIXCALL_STATUS_TIMEOUT}},
      {[] { throw Error(SIXCALL_E_CANCELLED, "x"); }, {SIXCALL_E_CANCELLED, SIXCALL_STATUS_CANCELLED}},
      {[] { throw Error(SIXCALL_E_NOSPACE, "x"); }, {SIXCALL_E_NOSPACE, SIXCALL_STATUS_REFUSED}},
      {[] { throw Error(SIXCALL_E_CORRUPT, "x"); }, {SIXCALL_E_CORRUPT, SIXCALL_STATUS_CORRUPT}},
      {[] { throw std::bad_alloc(); }, {SIXCALL_E_NOMEM, kError}},
      {[] { throw std::runtime_error("x"); }, {SIXCALL_E_IO, kError}},
      {[] { throw std::out_of_range("x"); }, {SIXCALL_E_INTERNAL, kError}},
      {[] { throw 7; }, {SIXCALL_E_INTERNAL, kError}},
  };
  for (size_t i = 0; i < thrown.size(); ++i) {
    script->before_key = [&, i](uint32_t, std::string_view) { thrown[i].first(); };
    for (const uint32_t op : {SIXCALL_OP_GET, SIXCALL_OP_SET, SIXCALL_OP_EXISTS}) {
      const Result result = connection.Run(OfOp(op, {"a"}));
      EXPECT_EQ(result.rc, SIXCALL_OK) << "case " << i;
      EXPECT_EQ(result.err_code, thrown[i].second.first) << "case " << i;
      EXPECT_EQ(result.status, (Status{thrown[i].second.second})) << "case " << i;
      EXPECT_FALSE(result.err_text.empty()) << "case " << i;
    }
  }
}

TEST_F(Failure, KeepsTheFirstErrorOfABatch) {
  Connection connection(Api());
  script->before_key = [](uint32_t, std::string_view key) { throw Error(SIXCALL_E_IO, "failed at " + std::string(key)); };
  EXPECT_EQ(connection.Run(Request::Get({"a", "b", "c"}, 1)).err_text, "failed at a");
}

TEST_F(Failure, IsRunWithoutAnErrStruct) {
  Connection connection(Api());
  script->before_key = [](uint32_t, std::string_view) { throw Error(SIXCALL_E_IO, "x"); };
  Request request = Request::Get({"a"}, 1);
  request.err = false;
  EXPECT_EQ(connection.Run(request).status, (Status{kError}));
}

TEST_F(Failure, TextIsOneLineOfUtf8ThatFits) {
  Connection connection(Api());
  std::string text;
  script->before_key = [&](uint32_t, std::string_view) { throw Error(SIXCALL_E_IO, text); };
  text = "two\nlines\tand a \xFF byte";
  EXPECT_EQ(connection.Run(Request::Get({"a"}, 1)).err_text, "two lines and a ? byte");
  text = std::string(238, 'x') + "\xC3\xA4" "tail";  // the two bytes of an umlaut do not fit
  EXPECT_EQ(connection.Run(Request::Get({"a"}, 1)).err_text, std::string(238, 'x'));
  text = std::string(5000, 'y');
  EXPECT_EQ(connection.Run(Request::Get({"a"}, 1)).err_text, std::string(239, 'y'));
}

TEST_F(Failure, OfATileHookFailsWhatHasNoStatus) {
  Connection connection(Api());
  connection.Run(Request::Set({"a", "b"}, {"1", "2"}));
  script->before_tile = [](sixcall::Tile &tile) {
    tile.Done(0, sixcall::Status::kMiss);
    throw Error(SIXCALL_E_IO, "the stream broke");
  };
  const Result result = connection.Run(Request::Get({"a", "b"}, 1));
  EXPECT_EQ(result.rc, SIXCALL_E_IO);
  EXPECT_EQ(result.status, (Status{kMiss, kError}));
  EXPECT_EQ(result.err_text, "the stream broke");
}

TEST_F(Failure, OfAPingIsItsRc) {
  Connection connection(Api());
  script->ping = [] { throw Error(SIXCALL_E_CONNECT, "no answer"); };
  Result result = connection.Run(Request::Ping());
  EXPECT_EQ(result.rc, SIXCALL_E_CONNECT);
  EXPECT_EQ(result.err_text, "no answer");
  script->ping = [] {};
  EXPECT_TRUE(Eventually([&] { return connection.Run(Request::Ping()).rc == SIXCALL_OK; }));
}

// A connector that forgets a key, and one whose tiles overlap nothing.
class Forgetful final : public ScriptedConnector {
 public:
  void GetTile(ScriptedSession &, sixcall::Tile &tile) override {
    for (size_t i = 0; i < tile.size(); i += 2) tile.Done(i, sixcall::Status::kMiss);
  }
};

TEST_F(Failure, AForgottenKeyIsAnError) {
  Connection connection(TableOf<Forgetful>());
  const Result result = connection.Run(Request::Get({"a", "b", "c"}, 1));
  EXPECT_EQ(result.status, (Status{kMiss, kError, kMiss}));
  EXPECT_EQ(result.rc, SIXCALL_E_INTERNAL);
  EXPECT_NE(result.err_text.find("without a status"), std::string::npos) << result.err_text;
}

// ---- sessions

class Sessions : public HelperTest {};

TEST_F(Sessions, OnePerWorkerAndNoneAfterClose) {
  Connection connection(Api(), WithConfig(R"({"workers":3,"lookup_workers":2})"));
  ASSERT_TRUE(connection.ok());
  EXPECT_TRUE(Eventually([&] { return script->sessions.load() == 5; }));
  EXPECT_EQ(script->connects.load(), 5);
  EXPECT_EQ(connection.Close(), SIXCALL_OK);
  EXPECT_EQ(script->sessions.load(), 0);
}

TEST_F(Sessions, OpenFailsWhenTheFirstCannotBeMade) {
  const auto threads = ListThreads();
  const auto fds = OpenFds();
  script->connect = [] { throw Error(SIXCALL_E_AUTH, "login at 10.0.0.7: wrong password; check \"user\""); };
  {
    Connection connection(Api(), WithConfig(R"({"workers":4})"));
    EXPECT_FALSE(connection.ok());
    EXPECT_EQ(connection.open_rc(), SIXCALL_E_AUTH);
    EXPECT_EQ(connection.open_error(), "login at 10.0.0.7: wrong password; check \"user\"");
  }
  EXPECT_TRUE(Eventually([&] { return NewThreads(threads).empty(); }));
  EXPECT_EQ(OpenFds(), fds);
  EXPECT_EQ(script->sessions.load(), 0);
}

TEST_F(Sessions, OpenFailsWhateverTheConstructorThrows) {
  for (const std::function<void()> &thrower : std::vector<std::function<void()>>{
           [] { throw std::runtime_error("no route"); }, [] { throw std::bad_alloc(); }, [] { throw 7; }}) {
    script->connect = thrower;
    Connection connection(Api());
    EXPECT_FALSE(connection.ok());
    EXPECT_LT(connection.open_rc(), 0);
  }
}

TEST_F(Sessions, OpenEndsAfterItsTimeout) {
  Gate gate;
  script->connect = [&] { gate.Pass(); };
  const auto threads = ListThreads();
  {
    OpenOptions options;
    options.open_timeout_ms = 100;
    Connection connection(Api(), options);
    EXPECT_EQ(connection.open_rc(), SIXCALL_E_TIMEOUT);
    EXPECT_NE(connection.open_error().find("100 ms"), std::string::npos) << connection.open_error();
  }
  gate.Open();  // the stuck thread was left behind and must find its memory in place
  EXPECT_TRUE(Eventually([&] { return NewThreads(threads).empty(); }));
  EXPECT_TRUE(Eventually([&] { return script->sessions.load() == 0; }));
}

TEST_F(Sessions, LazyOpensWithoutTheBackend) {
  std::atomic<bool> up{false};
  script->connect = [&] {
    if (!up) throw Error(SIXCALL_E_CONNECT, "connection refused");
  };
  Connection connection(Api(), WithConfig(R"({"lazy":true})"));
  ASSERT_TRUE(connection.ok()) << connection.open_error();
  EXPECT_EQ(script->connects.load(), 0) << "nothing happens before the first batch";
  const Result result = connection.Run(Request::Get({"a", "b"}, 1));
  EXPECT_EQ(result.rc, SIXCALL_E_CONNECT);
  EXPECT_EQ(result.status, (Status{kError, kError}));
  EXPECT_EQ(result.err_text, "connection refused");
  up = true;
  EXPECT_TRUE(Eventually([&] { return connection.Run(Request::Get({"a"}, 1)).rc == SIXCALL_OK; }));
}

TEST_F(Sessions, AreMadeAgainAfterALoss) {
  Connection connection(Api());
  ASSERT_TRUE(connection.ok());
  ASSERT_TRUE(Eventually([&] { return script->sessions.load() == 2; }));
  const int connects = script->connects.load();
  std::atomic<bool> cut{true};
  script->before_key = [&](uint32_t op, std::string_view key) {
    if (op == SIXCALL_OP_GET && key == "b" && cut) throw Error(SIXCALL_E_CONNECT, "reset by peer");
  };
  const Result result = connection.Run(Request::Get({"a", "b", "c"}, 1));
  EXPECT_EQ(result.rc, SIXCALL_E_CONNECT) << "the connection is gone, not only a key";
  EXPECT_EQ(result.status, (Status{kMiss, kError, kError})) << "what was read before stays";
  EXPECT_EQ(result.err_text, "reset by peer");
  cut = false;
  EXPECT_TRUE(Eventually([&] { return connection.Run(Request::Get({"a", "b", "c"}, 1)).rc == SIXCALL_OK; }));
  EXPECT_EQ(script->connects.load(), connects + 1) << "a new session";
  EXPECT_EQ(script->sessions.load(), 2) << "the old one has ended";
}

TEST_F(Sessions, FailFastWhileTheBackendIsDownAndComeBack) {
  script->start = [](const sixcall::Config &, sixcall::Options &options) {
    options.workers = 2;
    options.backoff_first_ms = 1;
    options.backoff_max_ms = 20;
  };
  std::atomic<bool> up{true};
  const auto fail_if_down = [&] {
    if (!up) throw Error(SIXCALL_E_CONNECT, "connection refused");
  };
  script->connect = fail_if_down;
  script->before_key = [&](uint32_t, std::string_view) { fail_if_down(); };
  Connection connection(Api());
  ASSERT_TRUE(connection.ok());
  for (int round = 0; round < 3; ++round) {
    up = false;
    for (int i = 0; i < 50; ++i) {
      const Result result = connection.Run(i % 2 == 0 ? Request::Get({"a"}, 1) : Request::Exists({"a"}));
      EXPECT_EQ(result.rc, SIXCALL_E_CONNECT);
      EXPECT_EQ(result.status, (Status{kError}));
    }
    up = true;
    EXPECT_TRUE(Eventually([&] { return connection.Run(Request::Get({"a"}, 1)).rc == SIXCALL_OK; }));
    EXPECT_TRUE(Eventually([&] { return connection.Run(Request::Exists({"a"})).rc == SIXCALL_OK; }));
  }
}

TEST_F(Sessions, WorkGoesToTheWorkersThatHaveOne) {
  script->start = [](const sixcall::Config &, sixcall::Options &options) {
    options.workers = 4;
    options.backoff_first_ms = 1;
    options.backoff_max_ms = 10;
  };
  // Three of the bulk workers never get a session: the backend takes one client
  // per lane.
  std::atomic<int> allowed{2};
  script->connect = [&] {
    if (allowed.fetch_sub(1) <= 0) throw Error(SIXCALL_E_CONNECT, "too many clients");
  };
  Connection connection(Api(), WithConfig(R"({"lookup_workers":1})"));
  ASSERT_TRUE(connection.ok()) << connection.open_error();
  ASSERT_TRUE(Eventually([&] { return script->connects.load() >= 8; })) << "the others keep trying";
  for (int i = 0; i < 300; ++i) {
    const Result result = connection.Run(Request::Set({"k"}, {"v"}));
    EXPECT_EQ(result.rc, SIXCALL_OK) << result.err_text;
  }
}

TEST_F(Sessions, WorkIsNotLeftToAWorkerThatIsDown) {
  // Both bulk workers are down; one comes back, the other stays down. A batch
  // must run on the first, even if the second is the one that is woken.
  for (int round = 0; round < 5; ++round) {
    auto fresh = std::make_shared<Script>();
    ScriptedConnector::Current() = fresh;
    fresh->start = [](const sixcall::Config &, sixcall::Options &options) {
      options.workers = 2;
      options.tile_keys = 1;
      options.backoff_first_ms = 200;
      options.backoff_max_ms = 100000;
    };
    std::atomic<int> allowed{0};
    fresh->connect = [&] {
      if (allowed.fetch_sub(1) <= 0) throw Error(SIXCALL_E_CONNECT, "too many clients");
    };
    Connection connection(Api(), WithConfig(R"({"lazy":true})"));
    ASSERT_TRUE(connection.ok());
    ASSERT_TRUE(Eventually([&] {
      connection.Run(Request::Get(Keys(2), 1));  // a tile for each of the two
      return fresh->connects.load() >= 2;
    }));
    allowed = 1;
    ASSERT_TRUE(Eventually([&] { return fresh->sessions.load() == 1; }));
    for (int i = 0; i < 20; ++i) {
      const Result result = connection.Run(Request::Get({"k"}, 1));  // throws when it is not completed
      EXPECT_TRUE(result.rc == SIXCALL_OK || result.rc == SIXCALL_E_CONNECT);
    }
  }
}

// The default Connect makes the session from the configuration.
struct ConfiguredSession {
  explicit ConfiguredSession(const sixcall::Config &config) : endpoint(config.Require("endpoint")) {}
  std::string endpoint;
};

class Configured final : public sixcall::Connector<ConfiguredSession> {
 public:
  sixcall::Result Get(ConfiguredSession &session, sixcall::Key, sixcall::MutableBytes buffer) override {
    if (buffer.size() != session.endpoint.size()) return sixcall::Status::kSize;
    std::copy(session.endpoint.begin(), session.endpoint.end(), buffer.begin());
    return sixcall::Status::kHit;
  }
  sixcall::Status Set(ConfiguredSession &, sixcall::Key, sixcall::Bytes) override { return sixcall::Status::kRefused; }
  sixcall::Result Exists(ConfiguredSession &, sixcall::Key) override { return sixcall::Status::kMiss; }
};

TEST_F(Sessions, AreMadeFromTheConfiguration) {
  const char *schema = R"({"type":"object","properties":{"endpoint":{"type":"string"}}})";
  Connection without(TableOf<Configured>(0, schema), WithConfig("{}"));
  EXPECT_EQ(without.open_rc(), SIXCALL_E_CONFIG);
  EXPECT_NE(without.open_error().find("\"endpoint\" is missing"), std::string::npos) << without.open_error();

  Connection connection(TableOf<Configured>(0, schema), WithConfig(R"({"endpoint":"host:1"})"));
  ASSERT_TRUE(connection.ok()) << connection.open_error();
  EXPECT_EQ(connection.Run(Request::Get({"k"}, 6)).values[0], "host:1");
  EXPECT_EQ(connection.api().submit_batch_delete, nullptr) << "Erase is not overridden";
  EXPECT_EQ(connection.api().submit_ping, nullptr);
  EXPECT_EQ(connection.api().submit_list, nullptr);
  EXPECT_EQ(connection.api().usage, nullptr);
  EXPECT_EQ(connection.api().caps & (SIXCALL_CAP_DELETE | SIXCALL_CAP_PING | SIXCALL_CAP_LIST | SIXCALL_CAP_USAGE), 0u);
}

}  // namespace
}  // namespace sixcall_test
