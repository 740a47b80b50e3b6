// SPDX-License-Identifier: Apache-2.0
//
// Listings: every key, in pages of any size.
#include <map>
#include <set>

#include "redis.h"

namespace sixcall_test {
namespace {

// A server whose SCAN walks through buckets of chosen sizes.
FakeServer::Script Scanning(std::vector<std::vector<std::string>> buckets) {
  return [buckets](const Args &args) -> std::optional<Answer> {
    if (args[0] != "SCAN") return std::nullopt;
    const size_t at = std::stoul(args[1]);
    const size_t next = at + 1 < buckets.size() ? at + 1 : 0;
    std::string reply = "*2\r\n" + Bulk(std::to_string(next)) + "*" + std::to_string(buckets[at].size()) + "\r\n";
    for (const std::string &key : buckets[at]) reply += Bulk(key);
    return Answer(reply);
  };
}

std::map<std::string, uint64_t> ListAll(Connection &connection, uint64_t page_cap, size_t *entries = nullptr) {
  std::map<std::string, uint64_t> all;
  std::string cursor;
  for (int pages = 0; pages < 10000; ++pages) {
    const Result page = connection.Run(Request::List(page_cap, cursor));
    EXPECT_EQ(page.rc, SIXCALL_OK) << page.err_text;
    if (page.rc != SIXCALL_OK) break;
    for (const ListedKey &k : page.listed) all[k.key] = k.value_len;
    if (entries != nullptr) *entries += page.listed.size();
    if (page.last_page) return all;
    cursor = page.cursor;
  }
  ADD_FAILURE() << "a listing without an end";
  return all;
}

TEST(RedisList, FindsEveryKeyInPagesOfAnySize) {
  FakeServer server;
  std::vector<std::vector<std::string>> buckets;
  std::map<std::string, uint64_t> want;
  for (size_t i = 0; i < 12; ++i) {
    buckets.emplace_back();
    for (size_t j = 0; j < i * i; ++j) {
      const std::string key = "key-" + std::to_string(i) + "-" + std::to_string(j);
      buckets.back().push_back(key);
      server.Put(key, std::string(i + 1, 'x'));
      want[key] = i + 1;
    }
  }
  buckets[3].push_back("key-5-0");  // a server may say one twice
  server.SetScript(Scanning(buckets));
  Connection connection(Redis(), RedisOptions(server.Config()));
  for (const uint64_t cap : {32, 64, 200, 1000, 100000}) EXPECT_EQ(ListAll(connection, cap), want) << cap;
  EXPECT_EQ(connection.Run(Request::List(16)).rc, SIXCALL_E_NOSPACE) << "not even one fits";
  EXPECT_EQ(connection.Run(Request::List(1000, "nonsense")).rc, SIXCALL_E_INVAL);
  EXPECT_EQ(connection.Run(Request::Exists({"key-1-0"})).status, (Status{kHit}));
}

TEST(RedisList, LeavesOutWhatIsNotOurs) {
  FakeServer server;
  for (const char *key : {"kv:a", "kv:b", "kv:", "other"}) server.Put(key, "xx");
  std::string pattern;
  server.SetScript([&](const Args &args) -> std::optional<Answer> {
    if (args[0] == "STRLEN" && args[1] == "kv:set") return Answer("-WRONGTYPE Operation against a key\r\n");
    if (args[0] == "STRLEN" && args[1] == "kv:b") return Answer("-MOVED 1 127.0.0.1:1\r\n");
    if (args[0] != "SCAN") return std::nullopt;
    pattern = args[3];
    return Answer("*2\r\n$1\r\n0\r\n*5\r\n" + Bulk("kv:a") + Bulk("kv:b") + Bulk("kv:") + Bulk("other") + Bulk("kv:set"));
  });
  Connection connection(Redis(), RedisOptions(server.Config() + ",\"prefix\":\"kv:\""));
  const std::map<std::string, uint64_t> want = {{"a", 2}, {"b", SIXCALL_LEN_UNKNOWN}};
  EXPECT_EQ(ListAll(connection, 4096), want);
  EXPECT_EQ(pattern, "kv:*");
}

TEST(RedisList, ReportsWhatGoesWrong) {
  FakeServer server;
  Connection connection(Redis(), RedisOptions(server.Config() + ",\"timeout_ms\":100"));
  for (const char *bad : {"-NOPERM no\r\n", "+OK\r\n", "*1\r\n$1\r\n0\r\n", "*2\r\n$1\r\nx\r\n*0\r\n", "*2\r\n$0\r\n\r\n*0\r\n", "garbage\r\n", "*2\r\n:5\r\n*0\r\n"}) {
    server.SetScript([&](const Args &args) -> std::optional<Answer> { return args[0] == "SCAN" ? std::optional<Answer>(bad) : std::nullopt; });
    EXPECT_LT(connection.Run(Request::List(4096)).rc, 0) << bad;
  }
  server.SetScript(Scanning({{}}));
  EXPECT_TRUE(ListAll(connection, 4096).empty()) << "it goes on";
  server.Stop();
  EXPECT_LT(connection.Run(Request::List(4096)).rc, 0);
  server.Start();
  EXPECT_TRUE(Eventually([&] { return connection.Run(Request::List(4096)).rc == SIXCALL_OK; }));
}

// A cluster whose slots move in the middle of a listing: the key that went from
// the node that is still to come to the one that is done must not be lost.
TEST(RedisList, StartsAgainWhenTheMapChanges) {
  FakeServer one(FakeServer::Net::kTcp), two(FakeServer::Net::kTcp);
  std::atomic<bool> moved{false};
  const auto map = [&] {
    const std::string split = moved ? "10000" : "8000", after = moved ? "10001" : "8001";
    const auto node = [](const FakeServer &s) { return "*3\r\n" + Bulk("127.0.0.1") + ":" + std::to_string(s.port()) + "\r\n" + Bulk("id"); };
    const FakeServer &first = one.port() < two.port() ? one : two, &second = one.port() < two.port() ? two : one;
    return "*2\r\n*3\r\n:0\r\n:" + split + "\r\n" + node(first) + "*3\r\n:" + after + "\r\n:16383\r\n" + node(second);
  };
  const auto script = [&](bool first) {
    return [&, first](const Args &args) -> std::optional<Answer> {
      if (args[0] == "CLUSTER") return Answer(map());
      if (args[0] != "SCAN") return std::nullopt;
      std::vector<std::string> keys = {first ? "on-first" : "on-second"};
      if (first == moved) keys.push_back("traveller");
      std::string reply = "*2\r\n$1\r\n0\r\n*" + std::to_string(keys.size()) + "\r\n";
      for (const std::string &key : keys) reply += Bulk(key);
      if (first && !moved) moved = true;  // right after the first node was scanned
      return Answer(reply);
    };
  };
  const bool order = "127.0.0.1:" + std::to_string(one.port()) < "127.0.0.1:" + std::to_string(two.port());
  one.SetScript(script(order));
  two.SetScript(script(!order));
  for (FakeServer *s : {&one, &two}) {
    for (const char *key : {"on-first", "on-second", "traveller"}) s->Put(key, "x");
  }
  Connection connection(Redis(), RedisOptions(one.Config() + ",\"cluster\":true"));
  ASSERT_TRUE(connection.ok()) << connection.open_error();
  for (const uint64_t cap : {40, 4096}) {
    moved = false;
    const auto all = ListAll(connection, cap);
    EXPECT_EQ(all.size(), 3u) << cap;
    EXPECT_EQ(all.count("traveller"), 1u);
  }
}

}  // namespace
}  // namespace sixcall_test
