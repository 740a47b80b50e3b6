// SPDX-License-Identifier: Apache-2.0
//
// Clusters and sentinels, as far as a scripted server can show them.
#include <array>
#include <atomic>

#include "redis.h"

namespace sixcall_test {
namespace {

// Nodes that share the slots as a test says. Keys live where their slot is.
class FakeCluster {
 public:
  explicit FakeCluster(size_t n) {
    for (size_t i = 0; i < n; ++i) nodes_.push_back(std::make_unique<FakeServer>(FakeServer::Net::kTcp));
    for (size_t i = 0; i < n; ++i) UseScript(i, nullptr);
    SetBounds(Even());
  }

  FakeServer &node(size_t i) { return *nodes_[i]; }
  std::string Config() const { return nodes_[0]->Config() + ",\"cluster\":true"; }

  // Node i serves the slots from bounds[i] to bounds[i+1]-1.
  void SetBounds(std::vector<int> bounds) {
    std::string map = "*" + std::to_string(nodes_.size()) + "\r\n";
    for (size_t i = 0; i < nodes_.size(); ++i) {
      map += "*3\r\n:" + std::to_string(bounds[i]) + "\r\n:" + std::to_string(bounds[i + 1] - 1) + "\r\n*3\r\n" + Bulk("127.0.0.1") + ":" + std::to_string(nodes_[i]->port()) + "\r\n" + Bulk("id" + std::to_string(i));
    }
    std::lock_guard<std::mutex> lock(mutex_);
    map_ = map;
  }
  std::vector<int> Even() const {
    std::vector<int> bounds;
    for (size_t i = 0; i <= nodes_.size(); ++i) bounds.push_back(static_cast<int>(16384 * i / nodes_.size()));
    return bounds;
  }

  void UseScript(size_t i, FakeServer::Script script) {
    nodes_[i]->SetScript([this, script](const Args &args) -> std::optional<Answer> {
      if (args[0] == "CLUSTER") {
        ++asked_;
        std::lock_guard<std::mutex> lock(mutex_);
        return Answer(map_);
      }
      return script ? script(args) : std::nullopt;
    });
  }
  int asked() const { return asked_; }
  std::string Where(size_t i) const { return "127.0.0.1:" + std::to_string(nodes_[i]->port()); }

 private:
  std::vector<std::unique_ptr<FakeServer>> nodes_;
  std::atomic<int> asked_{0};
  std::mutex mutex_;
  std::string map_;
};

bool OfKey(const Args &args) { return args[0] == "GET" || args[0] == "SET" || args[0] == "EXISTS" || args[0] == "UNLINK"; }

TEST(RedisCluster, KeysGoToTheirNodes) {
  FakeCluster cluster(3);
  Connection connection(Redis(), RedisOptions(cluster.Config()));
  ASSERT_TRUE(connection.ok()) << connection.open_error();
  const std::vector<std::string> keys = Keys(300);
  EXPECT_EQ(connection.Run(Request::Set(keys, ValuesOf(keys, 50))).status, Status(300, kHit));
  size_t total = 0;
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_GT(cluster.node(i).keys(), 50u);
    total += cluster.node(i).keys();
  }
  EXPECT_EQ(total, 300u) << "each is on one node";
  const Result r = connection.Run(Request::Get(keys, 50));
  EXPECT_EQ(r.values, ValuesOf(keys, 50));
  EXPECT_EQ(connection.Run(Request::Exists(keys)).status, Status(300, kHit));
  EXPECT_EQ(connection.Run(Request::Ping()).rc, SIXCALL_OK);
  EXPECT_EQ(connection.Run(Request::Delete(keys)).status, Status(300, kHit));
  for (const char *tagged : {"{x}1", "{x}2", "{x}3"}) connection.Run(Request::Set({tagged}, {"v"}));
  size_t nodes = 0;
  for (size_t i = 0; i < 3; ++i) nodes += cluster.node(i).keys() != 0;
  EXPECT_EQ(nodes, 1u) << "one tag, one node";
}

TEST(RedisCluster, MovedIsFollowedAndTheMapIsFetchedAgain) {
  FakeCluster cluster(2);
  Connection connection(Redis(), RedisOptions(cluster.Config()));
  const int before = cluster.asked();
  // All slots have gone to node 1, and nobody has told us.
  cluster.UseScript(0, [&](const Args &args) -> std::optional<Answer> {
    return OfKey(args) ? std::optional<Answer>("-MOVED 7 " + cluster.Where(1) + "\r\n") : std::nullopt;
  });
  const std::vector<std::string> keys = Keys(100);
  EXPECT_EQ(connection.Run(Request::Set(keys, ValuesOf(keys, 50))).status, Status(100, kHit));
  EXPECT_EQ(cluster.node(1).keys(), 100u);
  EXPECT_TRUE(Eventually([&] { return cluster.asked() > before; }));
  Request lengths = Request::Exists(keys);
  lengths.value_lens = true;
  const Result r = connection.Run(lengths);
  EXPECT_EQ(r.status, Status(100, kHit)) << "the two replies of such a lookup both say MOVED";
  EXPECT_EQ(r.value_lens, std::vector<uint64_t>(100, 50));
  cluster.SetBounds({0, 1, 16384});
  EXPECT_TRUE(Eventually([&] {
    const int said = cluster.node(0).Said("GET");
    connection.Run(Request::Get(keys, 50));
    return cluster.node(0).Said("GET") == said;
  })) << "with the new map nobody is asked in vain";
}

TEST(RedisCluster, AskIsFollowedOnce) {
  FakeCluster cluster(2);
  Connection connection(Redis(), RedisOptions(cluster.Config()));
  cluster.UseScript(0, [&](const Args &args) -> std::optional<Answer> {
    return OfKey(args) || args[0] == "STRLEN" ? std::optional<Answer>("-ASK 7 " + cluster.Where(1) + "\r\n") : std::nullopt;
  });
  const std::vector<std::string> keys = Keys(100);
  EXPECT_EQ(connection.Run(Request::Set(keys, ValuesOf(keys, 50))).status, Status(100, kHit));
  const int asking = cluster.node(1).Said("ASKING");
  EXPECT_GT(asking, 20);
  const Result r = connection.Run(Request::Get(keys, 50));
  EXPECT_EQ(r.values, ValuesOf(keys, 50));
  EXPECT_EQ(cluster.node(1).Said("ASKING"), 2 * asking) << "each time anew: the slot is not moved yet";
  Request lengths = Request::Exists(keys);
  lengths.value_lens = true;
  EXPECT_EQ(connection.Run(lengths).value_lens, std::vector<uint64_t>(100, 50));
}

TEST(RedisCluster, RedirectionsThatGoRoundEnd) {
  FakeCluster cluster(2);
  Connection connection(Redis(), RedisOptions(cluster.Config()));
  for (const std::string word : {"MOVED", "ASK"}) {
    for (size_t i = 0; i < 2; ++i) {
      cluster.UseScript(i, [&, i](const Args &args) -> std::optional<Answer> {
        return OfKey(args) ? std::optional<Answer>("-" + word + " 7 " + cluster.Where(1 - i) + "\r\n") : std::nullopt;
      });
    }
    const Result r = connection.Run(Request::Get({"a", "b", "c"}, 5));
    EXPECT_EQ(r.status, Status(3, kError));
    EXPECT_NE(r.err_text.find(word), std::string::npos) << r.err_text;
  }
  for (const char *bad : {"-MOVED\r\n", "-MOVED 1 nowhere\r\n", "-ASK x 127.0.0.1:1\r\n", "-MOVED 7 127.0.0.1:1\r\n", "-MOVED 7 some.name:7000\r\n"}) {
    for (size_t i = 0; i < 2; ++i) {
      cluster.UseScript(i, [&](const Args &args) -> std::optional<Answer> { return OfKey(args) ? std::optional<Answer>(bad) : std::nullopt; });
    }
    EXPECT_EQ(connection.Run(Request::Get({"a"}, 5)).status, (Status{kError})) << bad;
  }
}

TEST(RedisCluster, ANodeThatIsAwayCostsItsKeysOnly) {
  FakeCluster cluster(3);
  Connection connection(Redis(), RedisOptions(cluster.Config()));
  const std::vector<std::string> keys = Keys(300);
  EXPECT_EQ(connection.Run(Request::Set(keys, ValuesOf(keys, 50))).status, Status(300, kHit));
  const size_t lost = cluster.node(1).keys();
  cluster.node(1).Stop();
  Result r = connection.Run(Request::Get(keys, 50));
  size_t hits = 0, errors = 0;
  for (size_t i = 0; i < keys.size(); ++i) {
    hits += r.status[i] == kHit;
    errors += r.status[i] == kError;
    if (r.status[i] != kHit) continue;
    EXPECT_EQ(r.values[i], ValueOf(keys[i], 50));
  }
  EXPECT_EQ(errors, lost);
  EXPECT_EQ(hits, 300 - lost);
  // Its slots go to node 2.
  cluster.SetBounds({0, 5461, 5462, 16384});
  cluster.node(1).Start();
  EXPECT_TRUE(Eventually([&] { return connection.Run(Request::Set(keys, ValuesOf(keys, 50))).status == Status(300, kHit); }));
}

TEST(RedisCluster, TheFirstNodeMayBeAway) {
  FakeCluster cluster(3);
  FakeServer away(FakeServer::Net::kTcp);
  away.Stop();
  Connection connection(Redis(), RedisOptions(away.Config() + ",\"cluster\":true,\"nodes\":[\"" + cluster.Where(2) + "\"]"));
  ASSERT_TRUE(connection.ok()) << connection.open_error();
  EXPECT_EQ(connection.Run(Request::Set(Keys(50), ValuesOf(Keys(50), 5))).status, Status(50, kHit));
}

TEST(RedisCluster, AServerThatIsNoneFailsOpen) {
  FakeServer server;
  server.SetScript([](const Args &args) -> std::optional<Answer> {
    return args[0] == "CLUSTER" ? std::optional<Answer>("-ERR This instance has cluster support disabled\r\n") : std::nullopt;
  });
  FakeServer tcp(FakeServer::Net::kTcp);
  tcp.SetScript([](const Args &args) -> std::optional<Answer> {
    return args[0] == "CLUSTER" ? std::optional<Answer>("-ERR This instance has cluster support disabled\r\n") : std::nullopt;
  });
  Connection connection(Redis(), RedisOptions(tcp.Config() + ",\"cluster\":true"));
  EXPECT_EQ(connection.open_code(), SIXCALL_E_CONFIG) << connection.open_error();
}

// ---------------------------------------------------------------- sentinels

struct Sentinel {
  FakeServer server{FakeServer::Net::kTcp};
  std::atomic<int> master{0};
  std::string Where() const { return "\"127.0.0.1:" + std::to_string(server.port()) + "\""; }
  void Know(std::vector<FakeServer *> masters) {
    server.SetScript([this, masters](const Args &args) -> std::optional<Answer> {
      if (args[0] == "SUBSCRIBE") return Answer("*3\r\n$9\r\nsubscribe\r\n" + Bulk(args[1]) + ":1\r\n");
      if (args[0] != "SENTINEL") return std::nullopt;
      if (args.size() != 3 || args[2] != "mymaster") return Answer("*-1\r\n");
      return Answer("*2\r\n" + Bulk("127.0.0.1") + Bulk(std::to_string(masters[static_cast<size_t>(master)]->port())));
    });
  }
};

void MakeReplica(FakeServer &server) {
  server.SetScript([](const Args &args) -> std::optional<Answer> {
    if (args[0] == "ROLE") return Answer("*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:1\r\n$9\r\nconnected\r\n:0\r\n");
    if (args[0] == "SET") return Answer("-READONLY You can't write against a read only replica.\r\n");
    return std::nullopt;
  });
}

TEST(RedisSentinel, FollowsTheMaster) {
  FakeServer one(FakeServer::Net::kTcp), two(FakeServer::Net::kTcp);
  MakeReplica(two);
  Sentinel a, b;
  a.Know({&one, &two});
  b.Know({&one, &two});
  FakeServer gone(FakeServer::Net::kTcp);
  const std::string none = "\"127.0.0.1:" + std::to_string(gone.port()) + "\"";
  gone.Stop();
  Connection connection(Redis(), RedisOptions("\"sentinels\":[" + none + "," + a.Where() + "," + b.Where() + "],\"sentinel_master\":\"mymaster\""));
  ASSERT_TRUE(connection.ok()) << connection.open_error();
  EXPECT_EQ(connection.Run(Request::Set({"k"}, {"v"})).status, (Status{kHit}));
  EXPECT_EQ(one.keys(), 1u);

  // The master becomes a replica and keeps its connections; only writes tell.
  two.SetScript(nullptr);
  MakeReplica(one);
  a.master = 1;  // b is behind the times, and must not win
  EXPECT_TRUE(Eventually([&] { return connection.Run(Request::Set({"k2"}, {"v"})).status == Status{kHit}; }));
  EXPECT_EQ(two.Value("k2"), "v");
  EXPECT_FALSE(one.Value("k2"));

  // The new master dies, the old one is master again.
  b.master = 0;
  a.master = 0;
  one.SetScript(nullptr);
  two.Stop();
  EXPECT_TRUE(Eventually([&] { return connection.Run(Request::Set({"k3"}, {"v"})).status == Status{kHit}; }));
  EXPECT_EQ(one.Value("k3"), "v");
  EXPECT_TRUE(Eventually([&] { return connection.Run(Request::Exists({"k3"})).status == Status{kHit}; }));
}

TEST(RedisSentinel, UnknownMastersFailOpen) {
  FakeServer one(FakeServer::Net::kTcp);
  Sentinel a;
  a.Know({&one});
  Connection connection(Redis(), RedisOptions("\"sentinels\":[" + a.Where() + "],\"sentinel_master\":\"other\""));
  EXPECT_EQ(connection.open_code(), SIXCALL_E_CONNECT);
  EXPECT_NE(connection.open_error().find("\"other\""), std::string::npos) << connection.open_error();
  MakeReplica(one);
  Connection replica(Redis(), RedisOptions("\"sentinels\":[" + a.Where() + "],\"sentinel_master\":\"mymaster\""));
  EXPECT_EQ(replica.open_code(), SIXCALL_E_CONNECT);
  EXPECT_NE(replica.open_error().find("want master"), std::string::npos) << replica.open_error();
}

}  // namespace
}  // namespace sixcall_test
