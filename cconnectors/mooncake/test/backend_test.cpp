// SPDX-License-Identifier: Apache-2.0
//
// The life of the client: a master that is missing, frozen, gone and back, a
// library that hangs, registered memory, close.
#include <sys/mman.h>

#include "mooncake.h"

namespace sixcall_test {
namespace {

class MooncakeBackend : public MooncakeTest {};

// What "lazy" connections are waited for with: a run of op until it succeeds.
bool Recovers(Connection &connection) {
  return Eventually([&] { return connection.Run(Request::Exists({"any"})).rc == SIXCALL_OK; });
}

TEST_F(MooncakeBackend, OpenSaysThatTheMasterIsNotThereAndAsksTheLibraryNothing) {
  master_.Stop();
  Connection connection(Mooncake(), Options());
  EXPECT_EQ(connection.open_rc(), SIXCALL_E_CONNECT);
  EXPECT_EQ(connection.open_error(), "connect to the Mooncake master at " + master_.address() + ": Connection refused; is mooncake_master running?");
  EXPECT_EQ(FakeCalls("create"), 0) << "the library would wait for a minute and more";
}

TEST_F(MooncakeBackend, OpenEndsWhenSetupHangs) {
  FakeHold("setup");
  const auto from = std::chrono::steady_clock::now();
  Connection connection(Mooncake(), Options("", 300));
  EXPECT_EQ(connection.open_rc(), SIXCALL_E_TIMEOUT) << connection.open_error();
  // Far from any real bound; without one, open would not return before TearDown.
  EXPECT_LT(std::chrono::steady_clock::now() - from, std::chrono::seconds(60));
  EXPECT_EQ(FakeHeld("setup"), 1) << "still in the library";
  FakeRelease("setup");
  EXPECT_TRUE(Eventually([] { return FakeHandles() == 0; })) << "what ends late is destroyed";
}

TEST_F(MooncakeBackend, ASetupThatHangsBoundsEachAttempt) {
  FakeHold("setup");
  Connection connection(Mooncake(), Options(R"("lazy":true,"setup_timeout_ms":50)"));
  ASSERT_TRUE(connection.ok()) << connection.open_error();
  const Result result = connection.Run(Request::Get({"a", "b"}, 10));
  EXPECT_EQ(result.rc, SIXCALL_E_TIMEOUT);
  EXPECT_EQ(result.status, (Statuses{kTimeout, kTimeout}));
  EXPECT_NE(result.err_text.find("gave no answer within 50 ms; still trying"), std::string::npos) << result.err_text;
  FakeRelease("setup");
  EXPECT_TRUE(Recovers(connection));
  EXPECT_EQ(FakeCalls("setup"), 1) << "the setup that hung was not lost";
}

TEST_F(MooncakeBackend, SetupsThatHangAreNotPiledUp) {
  FakeHold("setup");
  for (int i = 0; i < 40; i++) {
    Connection connection(Mooncake(), Options("", 30));
    EXPECT_EQ(connection.open_rc(), SIXCALL_E_TIMEOUT) << connection.open_error();
  }
  EXPECT_EQ(FakeHeld("setup"), 32);
  FakeRelease("setup");
  EXPECT_TRUE(Eventually([] { return FakeHandles() == 0; }));
  Connection connection(Mooncake(), Options());
  EXPECT_TRUE(connection.ok()) << connection.open_error();
}

TEST_F(MooncakeBackend, OpenReportsWhatSetupReturned) {
  FakeRc("setup", -1, -1);
  Connection connection(Mooncake(), Options());
  EXPECT_EQ(connection.open_rc(), SIXCALL_E_CONNECT);
  EXPECT_NE(connection.open_error().find("INTERNAL_ERROR (-1)"), std::string::npos) << connection.open_error();
  EXPECT_TRUE(Eventually([] { return FakeHandles() == 0; }));
}

TEST_F(MooncakeBackend, FailedOpensLeaveNothingBehind) {
  { Connection connection(Mooncake(), Options()); }
  master_.Stop();
  const auto threads = ListThreads();
  const auto fds = OpenFds();
  for (int i = 0; i < 50; i++) {
    Connection connection(Mooncake(), Options());
    EXPECT_EQ(connection.open_rc(), SIXCALL_E_CONNECT);
  }
  EXPECT_TRUE(Eventually([&] { return NewThreads(threads).empty(); }));
  EXPECT_EQ(OpenFds(), fds);
}

TEST_F(MooncakeBackend, LazyOpensWithoutAMasterAndFindsItLater) {
  master_.Stop();
  Connection connection(Mooncake(), Options(R"("lazy":true)"));
  ASSERT_TRUE(connection.ok()) << connection.open_error();
  for (const Request &request : {Request::Get({"a"}, 1), Request::Set({"a"}, {"1"}), Request::Exists({"a"}), Request::Delete({"a"})}) {
    const Result result = connection.Run(request);
    EXPECT_EQ(result.rc, SIXCALL_E_CONNECT);
    EXPECT_EQ(result.status, (Statuses{kError}));
  }
  EXPECT_EQ(connection.Run(Request::Ping()).rc, SIXCALL_E_CONNECT);
  master_.Start();
  EXPECT_TRUE(Recovers(connection));
  EXPECT_TRUE(Eventually([&] { return connection.Run(Request::Set({"a"}, {"1"})).n_ok == 1; }));
  EXPECT_EQ(connection.Run(Request::Get({"a"}, 1)).values[0], "1");
}

TEST_F(MooncakeBackend, AMasterThatIsGoneFailsTheBatchAndIsFoundAgain) {
  Connection connection(Mooncake(), Options(R"("workers":1)"));
  connection.Run(Request::Set({"a", "b", "c"}, {"1", "2", "3"}));
  for (const int code : {-900, -901}) {
    FakeResult("batch_get_into", code, 2, 1);
    const Result result = connection.Run(Request::Get({"a", "b", "c"}, 1));
    EXPECT_EQ(result.rc, code == -900 ? SIXCALL_E_CONNECT : SIXCALL_E_TIMEOUT);
    EXPECT_EQ(result.status[0], kHit) << "what came before is good";
    EXPECT_EQ(result.values[0], "1");
    EXPECT_EQ(result.status[1], code == -900 ? kError : kTimeout);
    EXPECT_NE(result.err_text.find(code == -900 ? "RPC_FAIL (-900)" : "RPC_TIMEOUT (-901)"), std::string::npos) << result.err_text;
    EXPECT_TRUE(Eventually([&] { return connection.Run(Request::Get({"a", "b", "c"}, 1)).n_ok == 3; }));
  }
  EXPECT_EQ(FakeCalls("setup"), 1) << "the client finds the master again by itself";
}

TEST_F(MooncakeBackend, EveryOperationNoticesThatTheMasterIsGone) {
  const auto gone = [](const char *call) { FakeResult(call, -900); };
  Connection connection(Mooncake(), Options(R"("workers":1)"));
  connection.Run(Request::Set({"a"}, {"1"}));
  const auto check = [&](const char *call, const Request &request) {
    gone(call);
    EXPECT_EQ(connection.Run(request).rc, SIXCALL_E_CONNECT) << call;
    EXPECT_TRUE(Recovers(connection)) << call;
    EXPECT_TRUE(Eventually([&] { return connection.Run(Request::Get({"a"}, 1)).n_ok == 1; })) << call;
  };
  check("batch_is_exist", Request::Exists({"a"}));
  check("batch_is_exist", Request::Set({"b"}, {"1"}));
  check("batch_get_into", Request::Set({"a"}, {"1"}));
  check("batch_put_from", Request::Set({"b"}, {"1"}));
  check("remove", Request::Set({"a"}, {"2"}));
  check("remove", Request::Delete({"a"}));
}

TEST_F(MooncakeBackend, WorkersTellEachOtherThatTheMasterIsGone) {
  Connection connection(Mooncake(), Options(R"("workers":1)"));
  connection.Run(Request::Set({"a"}, {"1"}));
  master_.Stop();
  FakeResult("batch_is_exist", -900);
  EXPECT_EQ(connection.Run(Request::Exists({"a"})).rc, SIXCALL_E_CONNECT);
  const int64_t gets = FakeCalls("batch_get_into");
  EXPECT_EQ(connection.Run(Request::Get({"a"}, 1)).rc, SIXCALL_E_CONNECT) << "another lane, another worker";
  EXPECT_EQ(FakeCalls("batch_get_into"), gets) << "the call would have waited for seconds";
  master_.Start();
  EXPECT_TRUE(Eventually([&] { return connection.Run(Request::Get({"a"}, 1)).n_ok == 1; }));
}

TEST_F(MooncakeBackend, PingIsTrue) {
  Connection connection(Mooncake(), Options());
  EXPECT_EQ(connection.Run(Request::Ping()).rc, SIXCALL_OK);
  FakeResult("batch_is_exist", -900);
  EXPECT_EQ(connection.Run(Request::Ping()).rc, SIXCALL_E_CONNECT);
  EXPECT_TRUE(Eventually([&] { return connection.Run(Request::Ping()).rc == SIXCALL_OK; }));
  master_.Stop();
  const int64_t asked = FakeCalls("batch_is_exist");
  const Result result = connection.Run(Request::Ping());
  EXPECT_EQ(result.rc, SIXCALL_E_CONNECT);
  EXPECT_NE(result.err_text.find("Connection refused"), std::string::npos) << result.err_text;
  EXPECT_EQ(FakeCalls("batch_is_exist"), asked) << "the library would wait for seconds";
}

TEST_F(MooncakeBackend, AClientThatDoesNotComeBackIsMadeAnewWithItsMemory) {
  Connection connection(Mooncake(), Options(R"("workers":1)"));
  connection.Run(Request::Set({"a"}, {"1"}));
  std::string memory(4096, 'm');
  sixcall_memory m = {};
  m.struct_size = sizeof(m);
  m.base = memory.data();
  m.len = memory.size();
  m.fd = -1;
  uint64_t handle = 0;
  ASSERT_EQ(Mooncake()->register_memory(connection.handle(), &m, &handle, nullptr), SIXCALL_OK);
  ASSERT_GT(handle, 0u);
  EXPECT_EQ(FakeRegistered(), 1);

  FakeKillHandles();
  EXPECT_TRUE(Eventually([&] { return connection.Run(Request::Get({"a"}, 1)).n_ok == 1; }));
  EXPECT_EQ(FakeCalls("setup"), 2);
  EXPECT_EQ(Stat(connection, "sixcall_mooncake_setups_total"), 2);
  EXPECT_TRUE(Recovers(connection)) << "so that no worker holds the old client";
  EXPECT_TRUE(Eventually([] { return FakeHandles() == 1; }));
  EXPECT_EQ(FakeRegistered(), 1);

  Request request = Request::Get({"a"}, 1);
  request.mem_handle = handle;
  EXPECT_EQ(connection.Run(request).n_ok, 1u);
  EXPECT_EQ(Mooncake()->unregister_memory(connection.handle(), handle), SIXCALL_OK);
  EXPECT_EQ(FakeRegistered(), 0);
}

TEST_F(MooncakeBackend, MemoryThatTheLibraryRefusesIsAnErrorInWords) {
  Connection connection(Mooncake(), Options());
  char memory[64];
  sixcall_memory m = {};
  m.struct_size = sizeof(m);
  m.base = memory;
  m.len = sizeof(memory);
  m.fd = -1;
  uint64_t handle = 0;
  sixcall_err err = {};
  err.struct_size = sizeof(err);
  FakeRc("register_buffer", -600);
  EXPECT_LT(Mooncake()->register_memory(connection.handle(), &m, &handle, &err), 0);
  EXPECT_EQ(err.vendor_code, -600);
  EXPECT_NE(std::string(err.msg).find("register memory"), std::string::npos) << err.msg;
  EXPECT_EQ(Mooncake()->register_memory(connection.handle(), &m, &handle, &err), SIXCALL_OK);
}

TEST_F(MooncakeBackend, MemoryCanBeRegisteredBeforeThereIsAClient) {
  master_.Stop();
  Connection connection(Mooncake(), Options(R"("lazy":true)"));
  char memory[64];
  sixcall_memory m = {};
  m.struct_size = sizeof(m);
  m.base = memory;
  m.len = sizeof(memory);
  m.fd = -1;
  uint64_t handle = 0;
  ASSERT_EQ(Mooncake()->register_memory(connection.handle(), &m, &handle, nullptr), SIXCALL_OK);
  EXPECT_EQ(FakeRegistered(), 0);
  master_.Start();
  EXPECT_TRUE(Recovers(connection));
  EXPECT_EQ(FakeRegistered(), 1);
}

TEST_F(MooncakeBackend, ConnectionsShareNoClient) {
  Connection one(Mooncake(), Options()), other(Mooncake(), Options());
  ASSERT_TRUE(one.ok() && other.ok());
  EXPECT_EQ(FakeHandles(), 2);
  one.Close();
  EXPECT_EQ(FakeHandles(), 1);
  EXPECT_EQ(other.Run(Request::Exists({"a"})).rc, SIXCALL_OK);
}

// ---- close

TEST_F(MooncakeBackend, CloseDestroysTheClientAndItsRegistrations) {
  const auto threads = ListThreads();
  const auto fds = OpenFds();
  for (int i = 0; i < 5; i++) {
    Connection connection(Mooncake(), Options());
    connection.Run(Request::Set({"a"}, {"1"}));
    EXPECT_EQ(connection.Close(), SIXCALL_OK);
    EXPECT_EQ(FakeHandles(), 0) << "close returns after the client is gone";
  }
  EXPECT_TRUE(Eventually([&] { return NewThreads(threads).empty(); }));
  EXPECT_EQ(OpenFds(), fds);
}

TEST_F(MooncakeBackend, CloseIsBusyWhileTheLibraryHasTheMemory) {
  Connection connection(Mooncake(), Options(R"("workers":1)"));
  connection.Run(Request::Set({"a"}, {"1"}));
  FakeHold("batch_get_into");
  connection.Submit(Request::Get({"a"}, 1));
  ASSERT_TRUE(Eventually([] { return FakeHeld("batch_get_into") == 1; }));
  EXPECT_EQ(connection.Close(10), SIXCALL_E_BUSY) << "the get may still write";
}

TEST_F(MooncakeBackend, CloseEndsWhileSetupHangs) {
  FakeHold("setup");
  Connection connection(Mooncake(), Options(R"("lazy":true,"setup_timeout_ms":600000)"));
  connection.Submit(Request::Get({"a"}, 1));
  ASSERT_TRUE(Eventually([] { return FakeHeld("setup") == 1; }));
  EXPECT_EQ(connection.Close(10), SIXCALL_OK) << "nothing of the host's is in the library";
}

TEST_F(MooncakeBackend, AQueuedSetOfABusyKeyCanBeCancelled) {
  Connection connection(Mooncake(), Options(R"("workers":2)"));
  FakeHold("batch_put_from");
  const uint64_t first = connection.Submit(Request::Set({"k"}, {"1"}));
  ASSERT_TRUE(Eventually([] { return FakeHeld("batch_put_from") == 1; }));
  const uint64_t second = connection.Submit(Request::Set({"k"}, {"1"}));
  EXPECT_TRUE(Eventually([&] { return Mooncake()->cancel(connection.handle(), second) == SIXCALL_OK; }));
  EXPECT_EQ(connection.Wait(second).status, (Statuses{kCancelled}));
  EXPECT_FALSE(connection.Finished(first));
  FakeRelease("batch_put_from");
  EXPECT_EQ(connection.Wait(first).status, (Statuses{kHit}));
}

}  // namespace
}  // namespace sixcall_test
