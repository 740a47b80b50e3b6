// SPDX-License-Identifier: Apache-2.0
//
// The configuration.
#include "settings.h"

#include <gtest/gtest.h>

namespace redis {
namespace {

Settings Read(const std::string &json) {
  const sixcall::Config config(json);
  return Settings::Read(config);
}

std::string ErrorOf(const std::string &json) {
  try {
    Read(json);
  } catch (const sixcall::Error &e) {
    EXPECT_EQ(e.code(), SIXCALL_E_CONFIG) << json;
    return e.text();
  }
  return "accepted";
}

TEST(RedisSettings, HasDefaults) {
  const Settings s = Read("{}");
  EXPECT_EQ(s.mode, Mode::kSingle);
  ASSERT_EQ(s.servers.size(), 1u);
  EXPECT_EQ(s.servers[0].Text(), "127.0.0.1:6379");
  EXPECT_EQ(s.protocol, Protocol::kAuto);
  EXPECT_EQ(s.ttl_ms, 0u);
  EXPECT_FALSE(s.tls.enabled);
}

TEST(RedisSettings, ReadsServers) {
  EXPECT_EQ(Read(R"({"host":"::1","port":7})").servers[0].Text(), "[::1]:7");
  EXPECT_EQ(Read(R"({"unix_socket":"/run/r.sock"})").servers[0].Text(), "unix:/run/r.sock");
  const Settings cluster = Read(R"({"cluster":true,"host":"a","port":7000,"nodes":["b","c:7001"]})");
  EXPECT_EQ(cluster.mode, Mode::kCluster);
  ASSERT_EQ(cluster.servers.size(), 3u);
  EXPECT_EQ(cluster.servers[1].Text(), "b:7000");
  EXPECT_EQ(cluster.servers[2].Text(), "c:7001");
  EXPECT_EQ(Read(R"({"cluster":true,"nodes":["b"]})").servers.size(), 1u) << "the default host is not asked beside named nodes";
  const Settings sentinel = Read(R"({"sentinels":["a","b:1"],"sentinel_master":"m","cluster":false})");
  EXPECT_EQ(sentinel.mode, Mode::kSentinel);
  EXPECT_EQ(sentinel.servers[0].Text(), "a:26379");
}

TEST(RedisSettings, NamesWhatIsWrong) {
  const struct {
    const char *json, *want;
  } cases[] = {
      {R"({"unix_socket":"/x","host":"h"})", "\"unix_socket\" and \"host\" exclude each other"},
      {R"({"unix_socket":"/x","port":5})", "exclude"},
      {R"({"unix_socket":"/x","cluster":true})", "exclude"},
      {R"({"unix_socket":"/x","tls":true})", "exclude"},
      {R"({"unix_socket":""})", "want a path"},
      {R"({"host":""})", "\"host\" is empty"},
      {R"({"nodes":["a"]})", "\"nodes\" has no meaning without \"cluster\": true"},
      {R"({"sentinels":["a"]})", "\"sentinel_master\" is missing"},
      {R"({"sentinels":["a"],"sentinel_master":"m","host":"h"})", "exclude"},
      {R"({"sentinels":["a"],"sentinel_master":"m","cluster":true})", "exclude"},
      {R"({"sentinels":["a:x"],"sentinel_master":"m"})", "\"a:x\", want host:port"},
      {R"({"sentinel_master":"m"})", "no meaning without \"sentinels\""},
      {R"({"username":"u"})", "\"password\" is not"},
      {R"({"password":null})", "\"password\" is of the wrong kind, want a string"},
      {R"({"tls_ca_file":"/x"})", "no meaning without \"tls\": true"},
      {R"({"tls_verify":false})", "no meaning without \"tls\": true"},
      {R"({"tls":true,"tls_cert_file":"/x"})", "go together"},
      {R"({"cluster":true,"database":1})", "want 0"},
      {R"({"port":0})", "from 1 to 65535"},
      {R"({"port":65536})", "from 1 to 65535"},
      {R"({"protocol":"4"})", "one of auto, 2, 3"},
      {R"({"timeout_ms":0})", "timeout_ms"},
  };
  for (const auto &c : cases) EXPECT_NE(ErrorOf(c.json).find(c.want), std::string::npos) << c.json << ": " << ErrorOf(c.json);
  EXPECT_NE(ErrorOf(R"({"prefix":")" + std::string(257, 'x') + R"("})").find("257 bytes"), std::string::npos);
}

// The schema that the host checks with must know every key that is read, and be a
// JSON object itself.
TEST(RedisSettings, TheSchemaKnowsEveryKey) {
  sixcall::Config config(R"({"x-other":1})");
  config.Declare(kSchema);
  const sixcall::Config schema(kSchema);
  EXPECT_TRUE(schema.Has("properties"));
  const char *all = R"({"host":"h","port":1,"username":"u","password":"p","database":0,"prefix":"x","ttl_ms":1,"protocol":"2","cluster":true,"nodes":[],
      "connect_timeout_ms":1,"timeout_ms":1,"window_bytes":1,"max_value_bytes":1,"reconnect_min_ms":1,"reconnect_max_ms":1,"tls":true,"tls_ca_file":"a",
      "tls_cert_file":"b","tls_key_file":"c","tls_server_name":"d","tls_verify":true,"workers":1,"lookup_workers":1,"max_inflight":1,"lazy":true})";
  sixcall::Config declared(all);
  declared.Declare(kSchema);
  EXPECT_NO_THROW(declared.CheckUnknown());
  EXPECT_NO_THROW(Read(all));
}

}  // namespace
}  // namespace redis
