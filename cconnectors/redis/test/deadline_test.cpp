// SPDX-License-Identifier: Apache-2.0
//
// Ends that come before the server's answer. The memory of a batch is closed as
// soon as it has ended: a late touch ends the test program.
#include "redis.h"

namespace sixcall_test {
namespace {

Request Soon(Request request, uint64_t ms) {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  request.deadline_ns = static_cast<uint64_t>(t.tv_sec) * 1000000000 + static_cast<uint64_t>(t.tv_nsec) + ms * 1000000;
  return request;
}

TEST(RedisDeadline, EveryOperationMeetsIt) {
  FakeServer server;
  const std::vector<std::string> keys = Keys(5);
  Connection connection(Redis(), RedisOptions(server.Config() + ",\"timeout_ms\":60000"));
  for (const std::string &key : keys) server.Put(key, ValueOf(key, 100));
  EXPECT_EQ(connection.Run(Request::Get(keys, 100)).status, Status(5, kHit));
  EXPECT_EQ(connection.Run(Request::Exists(keys)).status, Status(5, kHit));
  server.SetDeaf(true);
  for (const Request &request : {Request::Get(keys, 100), Request::Set(keys, ValuesOf(keys, 100)), Request::Exists(keys), Request::Delete({"x"})}) {
    const Result r = connection.Run(Soon(request, 30));
    EXPECT_EQ(r.status, Status(request.keys.size(), kTimeout)) << "op " << request.op;
    EXPECT_EQ(r.err_code, SIXCALL_E_TIMEOUT);
  }
  EXPECT_EQ(connection.Run(Soon(Request::Ping(), 30)).rc, SIXCALL_E_TIMEOUT);
  EXPECT_EQ(connection.Run(Soon(Request::List(4096), 30)).rc, SIXCALL_E_TIMEOUT);
  // The answers come late, and are nobody's; what is asked after them is in step.
  server.SetDeaf(false);
  const Result r = connection.Run(Request::Get(keys, 100));
  EXPECT_EQ(r.status, Status(5, kHit));
  EXPECT_EQ(r.values, ValuesOf(keys, 100));
  EXPECT_EQ(server.Said("GET"), 15) << "on the connection that it was";
}

// The deadline passes in the middle of a value.
TEST(RedisDeadline, AValueThatIsHalfReadIsLetGo) {
  FakeServer server;
  Connection connection(Redis(), RedisOptions(server.Config() + ",\"timeout_ms\":60000,\"window_bytes\":100000000"));
  const std::string value = ValueOf("big", 8 << 20);
  server.Put("big", value);
  server.Put("small", "small");
  std::mutex mutex;
  std::condition_variable changed;
  bool half = false, go = false, begun = false;
  const std::string bytes = Bulk(value);
  // "first" answers a head and half a value; the rest comes as the answer to "half".
  for (const bool cancel : {false, true}) {
    {
      std::lock_guard<std::mutex> lock(mutex);
      half = go = begun = false;
    }
    server.SetScript([&](const Args &args) -> std::optional<Answer> {
      if (args[0] != "GET") return std::nullopt;
      std::unique_lock<std::mutex> lock(mutex);
      if (args[1] == "first") {
        begun = true;
        return Answer(bytes.substr(0, bytes.size() / 2));
      }
      if (args[1] != "half") return std::nullopt;
      half = true;
      changed.notify_all();
      changed.wait(lock, [&] { return go; });
      // On a slow machine the deadline may have passed before "first" was sent.
      return Answer((begun ? bytes.substr(bytes.size() / 2) : "") + "$4\r\nhalf\r\n");
    });
    Request first = Request::Get({"first"}, 8 << 20);
    if (!cancel) first = Soon(first, 300);
    const uint64_t ticket = connection.Submit(first);
    const uint64_t second = connection.Submit(Request::Get({"half"}, 4));
    {
      std::unique_lock<std::mutex> lock(mutex);
      changed.wait(lock, [&] { return half; });
    }
    if (cancel) {
      EXPECT_EQ(Redis()->cancel(connection.handle(), ticket), SIXCALL_OK);
    }
    EXPECT_EQ(connection.Wait(ticket).status, (Status{cancel ? kCancelled : kTimeout}));
    {
      std::lock_guard<std::mutex> lock(mutex);
      go = true;
      changed.notify_all();
    }
    const Result r = connection.Wait(second);
    EXPECT_EQ(r.status, (Status{kHit})) << r.err_text;
    EXPECT_EQ(r.values[0], "half");
    EXPECT_EQ(connection.Run(Request::Get({"small"}, 5)).values[0], "small");
  }
  EXPECT_LE(server.connections(), 3) << "in step all the while";
}

// The deadline passes while a value is on its way out: the rest would be read from
// memory that is the host's again.
TEST(RedisDeadline, AValueThatIsHalfSentIsLetGo) {
  for (const bool cancel : {false, true}) {
    FakeServer server;
    Connection connection(Redis(), RedisOptions(server.Config() + ",\"timeout_ms\":60000"));
    server.Put("a", "aa");
    EXPECT_EQ(connection.Run(Request::Get({"a"}, 2)).status, (Status{kHit}));
    server.SetDeaf(true);
    const std::vector<std::string> keys = Keys(3);
    Request sets = Request::Set(keys, ValuesOf(keys, 4 << 20));
    if (!cancel) sets = Soon(sets, 50);
    const uint64_t ticket = connection.Submit(sets), other = connection.Submit(Request::Get({"a"}, 2));
    if (cancel) {
      EXPECT_EQ(Redis()->cancel(connection.handle(), ticket), SIXCALL_OK);
    }
    EXPECT_EQ(connection.Wait(ticket).status, Status(3, cancel ? kCancelled : kTimeout));
    server.SetDeaf(false);
    EXPECT_EQ(connection.Wait(other).status, (Status{kHit})) << "others are sent again";
    for (const std::string &key : keys) EXPECT_TRUE(!server.Value(key) || *server.Value(key) == ValueOf(key, 4 << 20)) << "old, new or absent";
  }
}

TEST(RedisDeadline, AServerThatDoesNotAnswerTimesOut) {
  FakeServer server;
  Connection connection(Redis(), RedisOptions(server.Config() + ",\"timeout_ms\":50,\"connect_timeout_ms\":50,\"lazy\":true"));
  server.Put("a", "aa");
  // A busy machine may need more than 50 ms for the first answers.
  EXPECT_TRUE(Eventually([&] { return connection.Run(Request::Get({"a"}, 2)).status == Status{kHit}; }));
  server.SetDeaf(true);
  const Result r = connection.Run(Request::Get(Keys(100), 2));
  EXPECT_EQ(r.status, Status(100, kTimeout));
  EXPECT_NE(r.err_text.find("timeout_ms"), std::string::npos) << r.err_text;
  EXPECT_EQ(connection.Run(Request::Set({"a"}, {std::string(8 << 20, 'x')})).status[0] == kHit, false);
  EXPECT_NE(connection.Run(Request::Exists({"a"})).status[0], kHit);
  EXPECT_LT(connection.Run(Request::Ping()).rc, 0);
  server.SetDeaf(false);
  EXPECT_TRUE(Eventually([&] { return connection.Run(Request::Get({"a"}, 2)).status == Status{kHit}; }));
  EXPECT_TRUE(Eventually([&] { return connection.Run(Request::Ping()).rc == SIXCALL_OK; }));
}

TEST(RedisDeadline, CancelEndsWhatIsQueued) {
  FakeServer server;
  Connection connection(Redis(), RedisOptions(server.Config() + ",\"timeout_ms\":60000"));
  server.SetDeaf(true);
  std::vector<uint64_t> tickets;
  for (int i = 0; i < 50; ++i) {
    tickets.push_back(connection.Submit(Request::Get(Keys(20), 100)));
    tickets.push_back(connection.Submit(Request::Exists(Keys(20))));
  }
  tickets.push_back(connection.Submit(Request::Ping()));
  tickets.push_back(connection.Submit(Request::List(4096)));
  tickets.push_back(connection.Submit(Request::List(4096)));
  for (const uint64_t ticket : tickets) EXPECT_EQ(Redis()->cancel(connection.handle(), ticket), SIXCALL_OK);
  for (const uint64_t ticket : tickets) {
    const Result r = connection.Wait(ticket);
    EXPECT_EQ(r.status, Status(r.status.size(), kCancelled));
    if (r.status.empty()) {
      EXPECT_EQ(r.rc, SIXCALL_E_CANCELLED);
    }
  }
  EXPECT_EQ(Redis()->cancel(connection.handle(), 999999), SIXCALL_E_INVAL);
}

TEST(RedisDeadline, CloseDoesNotWaitForAServerThatDoesNotAnswer) {
  FakeServer server;
  Connection connection(Redis(), RedisOptions(server.Config() + ",\"timeout_ms\":60000"));
  connection.Run(Request::Get({"a"}, 2));
  server.SetDeaf(true);
  for (int i = 0; i < 10; ++i) {
    connection.Submit(Request::Get(Keys(20), 100));
    connection.Submit(Request::Set({"x", "y"}, {std::string(4 << 20, 'x'), std::string(4 << 20, 'y')}));
    connection.Submit(Request::Exists({"a"}));
  }
  connection.Submit(Request::List(4096));
  EXPECT_EQ(connection.Close(50), SIXCALL_OK) << "and no memory is touched after it";
}

TEST(RedisDeadline, CloseFinishesWhatIsQueued) {
  FakeServer server;
  {
    Connection connection(Redis(), RedisOptions(server.Config()));
    for (int i = 0; i < 200; ++i) connection.Submit(Request::Set({"k" + std::to_string(i)}, {"value"}));
    EXPECT_EQ(connection.Close(), SIXCALL_OK);
  }
  EXPECT_EQ(server.keys(), 200u) << "row 46";
}

}  // namespace
}  // namespace sixcall_test
