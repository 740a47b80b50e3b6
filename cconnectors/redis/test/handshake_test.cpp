// SPDX-License-Identifier: Apache-2.0
//
// What a new connection says first.
#include "handshake.h"

#include <gtest/gtest.h>

namespace redis {
namespace {

Value Text(char type, const std::string &text) {
  Value v;
  v.type = type;
  v.text = text;
  return v;
}
Value Map() {
  Value v;
  v.type = '%';
  return v;
}
Value Role(const std::string &role) {
  Value v;
  v.type = '*';
  v.items = {Text('$', role)};
  return v;
}

const std::string kPing = "*1\r\n$4\r\nPING\r\n";

TEST(RedisHandshake, AsksForProtocol3) {
  Handshake h({Protocol::kAuto, {}, 0, false}, "h:1");
  EXPECT_EQ(h.Begin(), "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n");
  EXPECT_TRUE(h.in_hello());
  EXPECT_EQ(h.OnReply(Map()), kPing);
  EXPECT_FALSE(h.done());
  EXPECT_EQ(h.OnReply(Text('+', "PONG")), "");
  EXPECT_TRUE(h.done());
}

TEST(RedisHandshake, LogsInWithHello) {
  Handshake h({Protocol::kResp3, {"", "pw"}, 5, true}, "h:1");
  EXPECT_EQ(h.Begin(), "*5\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$7\r\ndefault\r\n$2\r\npw\r\n");
  EXPECT_EQ(h.OnReply(Map()), "*2\r\n$6\r\nSELECT\r\n$1\r\n5\r\n*1\r\n$4\r\nROLE\r\n" + kPing);
  h.OnReply(Text('+', "OK"));
  h.OnReply(Role("master"));
  h.OnReply(Text('+', "PONG"));
  EXPECT_TRUE(h.done());
}

TEST(RedisHandshake, TakesProtocol2WhenThereIsNo3) {
  for (const std::string no : {"ERR unknown command 'HELLO'", "NOPROTO unsupported protocol version", "NOPERM this user has no permissions to run the 'hello' command"}) {
    Handshake h({Protocol::kAuto, {"u", "pw"}, 0, false}, "h:1");
    h.Begin();
    EXPECT_EQ(h.OnReply(Text('-', no)), "*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$2\r\npw\r\n" + kPing);
    EXPECT_FALSE(h.in_hello());
    Handshake strict({Protocol::kResp3, {}, 0, false}, "h:1");
    strict.Begin();
    EXPECT_THROW(strict.OnReply(Text('-', no)), sixcall::Error);
  }
}

TEST(RedisHandshake, SaysAtOnceWhatProtocol2Needs) {
  Handshake h({Protocol::kResp2, {"", "pw"}, 3, false}, "h:1");
  EXPECT_EQ(h.Begin(), "*2\r\n$4\r\nAUTH\r\n$2\r\npw\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n" + kPing);
}

int32_t CodeOf(Handshake &h, const Value &reply) {
  try {
    h.OnReply(reply);
  } catch (const sixcall::Error &e) {
    EXPECT_EQ(e.text().find("secret"), std::string::npos);
    return e.code();
  }
  return 0;
}

TEST(RedisHandshake, ExplainsRefusals) {
  const auto with = [](Protocol protocol, uint32_t database, bool master, const std::vector<Value> &before, const Value &reply) {
    Handshake h({protocol, {"u", "secret"}, database, master}, "h:1");
    h.Begin();
    for (const Value &v : before) h.OnReply(v);
    return CodeOf(h, reply);
  };
  const Value ok = Text('+', "OK");
  EXPECT_EQ(with(Protocol::kAuto, 0, false, {}, Text('-', "WRONGPASS invalid username-password pair")), SIXCALL_E_AUTH);
  EXPECT_EQ(with(Protocol::kAuto, 0, false, {}, Text('-', "NOAUTH HELLO must be called")), SIXCALL_E_AUTH);
  EXPECT_EQ(with(Protocol::kAuto, 0, false, {}, Text('-', "ERR max number of clients reached")), SIXCALL_E_IO);
  EXPECT_EQ(with(Protocol::kAuto, 0, false, {}, Text('+', "OK")), SIXCALL_E_IO) << "HELLO is answered by a map";
  EXPECT_EQ(with(Protocol::kResp2, 0, false, {}, Text('-', "WRONGPASS no")), SIXCALL_E_AUTH);
  EXPECT_EQ(with(Protocol::kResp2, 0, false, {}, Text('-', "ERR invalid password")), SIXCALL_E_AUTH) << "servers before 6";
  EXPECT_EQ(with(Protocol::kResp2, 9, false, {ok}, Text('-', "ERR DB index is out of range")), SIXCALL_E_CONFIG);
  EXPECT_EQ(with(Protocol::kResp2, 0, true, {ok}, Role("slave")), SIXCALL_E_CONNECT);
  EXPECT_EQ(with(Protocol::kResp2, 0, true, {ok}, ok), SIXCALL_E_IO) << "ROLE is answered by a list";
  EXPECT_EQ(with(Protocol::kResp2, 0, false, {ok}, Text('-', "LOADING Redis is loading the dataset in memory")), SIXCALL_E_CONNECT);
  EXPECT_EQ(with(Protocol::kResp2, 0, false, {ok}, Text('-', "NOAUTH Authentication required.")), SIXCALL_E_AUTH);
  EXPECT_EQ(with(Protocol::kResp2, 0, false, {ok}, Text('-', "NOPERM no ping for you")), 0) << "whoever may not PING is alive all the same";
  EXPECT_EQ(with(Protocol::kResp2, 0, false, {ok}, Text('+', "OK")), SIXCALL_E_IO) << "out of step";
}

}  // namespace
}  // namespace redis
