// SPDX-License-Identifier: Apache-2.0
//
// Values in objects, which NIXL moves through memory of our own.
#include <sys/socket.h>
#include <netinet/in.h>
#include <unistd.h>

#include "harness/basics.h"
#include "nixl.h"

namespace sixcall_test {
namespace {

const std::string kKey = "m@00000000@0@00112233";
const std::string kName = "m@0x00000000@0@00112233.data";

TEST(NixlObject, PassesABasicRun) {
  for (const char *more : {"", R"(,"workers":1,"lookup_workers":1,"queue_depth":1)", R"(,"key_prefix":"kv/")"}) {
    Fake fake;
    Connection connection(Nixl(), ObjectOptions(more));
    ASSERT_TRUE(connection.ok()) << connection.open_error();
    RunBasics(connection);
    EXPECT_EQ(connection.Run(Request::Ping()).rc, SIXCALL_OK);
    EXPECT_EQ(connection.Close(), SIXCALL_OK);
  }
}

TEST(NixlObject, SurvivesAtEverySizeWithASeal) {
  Fake fake;
  Connection connection(Nixl(), ObjectOptions(R"(,"key_prefix":"kv/")"));
  for (const size_t size : {0, 1, 4096, 65537, (3 << 20) + 1}) {
    const std::string value = Pattern(size, static_cast<unsigned>(size));
    ASSERT_EQ(connection.Run(Request::Set({kKey}, {value})).status, Status{kHit});
    EXPECT_EQ(fake.Size("kv/" + kName), static_cast<long>(size) + 32);
    const Result got = connection.Run(Request::Get({kKey}, size));
    ASSERT_EQ(got.status, Status{kHit}) << size;
    EXPECT_TRUE(got.values[0] == value);
  }
}

TEST(NixlObject, OfAnotherSizeIsNotServed) {
  Fake fake;
  Connection connection(Nixl(), ObjectOptions());
  connection.Run(Request::Set({kKey}, {Pattern(1000, 1)}));
  for (const size_t len : {0, 1, 500, 968, 999, 1001, 1032, 5000}) {
    EXPECT_EQ(connection.Run(Request::Get({kKey}, len)).status, Status{kSize}) << len;
  }
  EXPECT_EQ(connection.Run(Request::Get({kKey}, 1000)).status, Status{kHit});
  // Objects of another writer: of the same size, shorter, longer, with the seal of another key.
  connection.Run(Request::Set({"other"}, {Pattern(1000, 1)}));
  for (const size_t len : {999, 1000, 1032, 2000}) {
    fake.Put(kName, Pattern(len, 3));
    EXPECT_EQ(connection.Run(Request::Get({kKey}, 1000)).status, Status{kSize}) << len;
  }
  EXPECT_GT(Stat(connection, "sixcall_nixl_bad_seals_total"), 0u);
}

TEST(NixlObject, WithoutASealIsTheValueAlone) {
  Fake fake;
  Connection connection(Nixl(), ObjectOptions(R"(,"seal":false)"));
  const std::string value = Pattern(1000, 1);
  connection.Run(Request::Set({kKey}, {value}));
  EXPECT_EQ(fake.Size(kName), 1000);
  EXPECT_EQ(connection.Run(Request::Get({kKey}, 1000)).values[0], value);
  const Result empty = connection.Run(Request::Set({kKey}, {""}));
  EXPECT_EQ(empty.status, Status{kError});
  EXPECT_EQ(empty.err_text, "an empty value needs \"seal\": true");
}

TEST(NixlObject, AnAbsentOneIsAMissAndAnErrorIsAnError) {
  Fake fake;
  Connection connection(Nixl(), ObjectOptions(R"(,"workers":1)"));
  connection.Run(Request::Set({"a", "b"}, {"1", "2"}));
  EXPECT_EQ(connection.Run(Request::Get({"a", "absent", "b"}, 1)).status, (Status{kHit, kMiss, kHit}));
  fake_script script = {};
  script.end_with = -2;
  script.end_with_n = 1;
  fake.Script(script);
  const Result failed = connection.Run(Request::Get({"a", "absent", "b"}, 1));
  EXPECT_EQ(failed.status, (Status{kError, kMiss, kHit}));
  EXPECT_NE(failed.err_text.find("read %key-a.data with backend OBJ: the NIXL backend failed (-2)"), std::string::npos) << failed.err_text;
  fake_script mute = {};
  mute.refuse_query = 1;
  fake.Script(mute);
  EXPECT_EQ(connection.Run(Request::Get({"a", "absent"}, 1)).status, (Status{kHit, kError})) << "nobody could tell";
}

TEST(NixlObject, Lookups) {
  Fake fake;
  Connection connection(Nixl(), ObjectOptions());
  std::vector<std::string> keys, values(100, "v");
  for (int i = 0; i < 100; ++i) keys.push_back(std::to_string(i));
  connection.Run(Request::Set({keys.begin(), keys.begin() + 50}, {values.begin(), values.begin() + 50}));
  Request exists = Request::Exists(keys);
  exists.value_lens = true;
  const Result found = connection.Run(exists);
  for (size_t i = 0; i < 100; ++i) {
    EXPECT_EQ(found.status[i], i < 50 ? kHit : kMiss);
    EXPECT_EQ(found.value_lens[i], SIXCALL_LEN_UNKNOWN) << "NIXL does not tell";
  }
  fake_script script = {};
  script.refuse_query = 1;
  fake.Script(script);
  const Result failed = connection.Run(Request::Exists({"1"}));
  EXPECT_EQ(failed.status, Status{kError});
  EXPECT_NE(failed.err_text.find("ask backend OBJ for objects"), std::string::npos) << failed.err_text;
  fake.Script(script);
  EXPECT_EQ(connection.Run(Request::Ping()).rc, SIXCALL_E_IO);
}

TEST(NixlObject, CannotBeDeleted) {
  Fake fake;
  Connection connection(Nixl(), ObjectOptions());
  EXPECT_EQ(connection.TrySubmit(Request::Delete({"k"})), SIXCALL_E_UNSUPPORTED);
}

// The request goes on in memory of our own, so the host has its answer and its
// memory back. What comes late touches neither.
TEST(NixlObject, ARequestThatDoesNotEndIsATimeout) {
  Fake fake;
  Connection connection(Nixl(), ObjectOptions(R"(,"workers":1,"request_timeout_ms":100)"));
  connection.Run(Request::Set({"k", "l"}, {"value", "value"}));
  fake_script script = {};
  script.hang = 1;
  fake.Script(script);
  const Result get = connection.Run(Request::Get({"k", "l"}, 5));
  EXPECT_EQ(get.status, (Status{kTimeout, kTimeout}));
  EXPECT_EQ(get.err_code, SIXCALL_E_TIMEOUT);
  EXPECT_EQ(connection.Run(Request::Get({"k"}, 5)).values[0], "value") << "with another agent";
  EXPECT_EQ(Stat(connection, "sixcall_nixl_stuck_requests"), 1u);
  fake.Script(script);
  EXPECT_EQ(connection.Run(Request::Set({"k"}, {"other"})).status, Status{kTimeout});
  fake.LetGo();
  EXPECT_TRUE(Eventually([&] { return Stat(connection, "sixcall_nixl_stuck_requests") == 0; }));
  EXPECT_EQ(connection.Run(Request::Ping()).rc, SIXCALL_OK);
}

// Every ticket is answered, as nothing of the host is in use; but close may not
// say that all has ended.
TEST(NixlObject, CloseIsBusyWhileNixlHoldsAThread) {
  for (int fake_script::*what : {&fake_script::hang, &fake_script::hang_query}) {
    Fake fake;
    Connection connection(Nixl(), ObjectOptions(R"(,"workers":1)"));
    connection.Run(Request::Set({"k"}, {"value"}));
    fake_script script = {};
    script.*what = 1;
    fake.Script(script);
    connection.Submit(what == &fake_script::hang ? Request::Get({"k"}, 5) : Request::Exists({"k"}));
    ASSERT_TRUE(Eventually([&] { return fake.Counts().hanging == 1; }));
    EXPECT_EQ(connection.Close(20), SIXCALL_E_BUSY);
    fake.LetGo();
    EXPECT_TRUE(Eventually([&] { return fake.Agents() == 0; })) << "the threads that were left behind end";
  }
}

TEST(NixlObject, ALookupThatDoesNotEndIsATimeout) {
  Fake fake;
  Connection connection(Nixl(), ObjectOptions(R"(,"lookup_workers":2,"request_timeout_ms":100)"));
  connection.Run(Request::Set({"k"}, {"value"}));
  fake_script script = {};
  script.hang_query = 1;
  fake.Script(script);
  EXPECT_EQ(connection.Run(Request::Exists({"k", "l"})).status, (Status{kTimeout, kTimeout}));
  EXPECT_EQ(connection.Run(Request::Exists({"k"})).status, Status{kHit}) << "by the other lookup worker";
  fake.LetGo();
}

TEST(NixlObject, ManySmallBatchesAndABounceLimit) {
  Fake fake;
  Connection connection(Nixl(), ObjectOptions(R"(,"workers":2,"bounce_bytes":1048576)"));
  fake_script script = {};
  script.polls = 3;
  fake.Script(script);
  const std::string large = Pattern(3 << 20, 9);  // more than may be in flight: it goes alone
  for (int i = 0; i < 60; ++i) connection.Submit(Request::Set({"k" + std::to_string(i)}, {i % 10 == 0 ? large : Pattern(100000, static_cast<unsigned>(i))}));
  connection.WaitForAll();
  for (int i = 0; i < 60; ++i) {
    const std::string want = i % 10 == 0 ? large : Pattern(100000, static_cast<unsigned>(i));
    ASSERT_TRUE(connection.Run(Request::Get({"k" + std::to_string(i)}, want.size())).values[0] == want) << i;
  }
}

TEST(NixlObject, AServerThatIsNotThereIsToldAtOnce) {
  // A port that is ours and does not listen.
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr *>(&address), size), 0);
  ASSERT_EQ(getsockname(fd, reinterpret_cast<sockaddr *>(&address), &size), 0);
  const std::string port = std::to_string(ntohs(address.sin_port));
  Fake fake;
  const std::string params = R"(,"backend":"OBJ","backend_params":{"endpoint_override":"http://127.0.0.1:)" + port + R"(","access_key":"AKIASECRET","secret_key":"HUSH"})";
  {
    Connection connection(Nixl(), Options(params));
    EXPECT_EQ(connection.open_rc(), SIXCALL_E_CONNECT);
    EXPECT_EQ(connection.open_error(), "connect to 127.0.0.1:" + port + ": Connection refused; is the server running?");
  }
  Connection lazy(Nixl(), Options(params + R"(,"lazy":true)"));
  ASSERT_TRUE(lazy.ok()) << lazy.open_error();
  EXPECT_EQ(lazy.Run(Request::Get({"k"}, 5)).status, Status{kError});
  EXPECT_EQ(lazy.Run(Request::Exists({"k"})).status, Status{kError});
  ASSERT_EQ(listen(fd, 100), 0);  // and now it is there
  EXPECT_TRUE(Eventually([&] { return lazy.Run(Request::Set({"k"}, {"value"})).status == Status{kHit}; }));
  EXPECT_TRUE(Eventually([&] { return lazy.Run(Request::Exists({"k"})).status == Status{kHit}; }));
  for (const std::string &line : lazy.log()) EXPECT_EQ(line.find("HUSH"), std::string::npos);
  close(fd);
}

}  // namespace
}  // namespace sixcall_test
