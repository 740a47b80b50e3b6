// SPDX-License-Identifier: Apache-2.0
//
// What NIXL does wrong, and what the host sees of it.
#include <sys/resource.h>

#include <thread>

#include "nixl.h"

namespace sixcall_test {
namespace {

using std::chrono::milliseconds;

fake_script Script(int fake_script::*field, int value) {
  fake_script script = {};
  script.*field = value;
  return script;
}

TEST(NixlFault, EveryStatusIsAnErrorOfThatKeyInWords) {
  Fake fake;
  TempFolder folder;
  Connection connection(Nixl(), FileOptions(folder, R"(,"workers":1)"));
  const std::vector<std::string> words = {"", "NIXL calls a parameter wrong (-1)", "the NIXL backend failed (-2)", "NIXL is in a wrong state (-3)",
                                          "NIXL caught an exception (-4)", "NIXL has no telemetry (-5)", "NIXL found no backend or registration (-6)"};
  for (int status = -1; status >= -6; --status) {
    fake_script script = {};
    script.skip = 1;
    script.end_with = status;
    script.end_with_n = 1;
    fake.Script(script);
    const Result set = connection.Run(Request::Set({"a", "b", "c"}, {"1", "2", "3"}));
    EXPECT_EQ(set.rc, SIXCALL_OK);
    EXPECT_EQ(set.status, (Status{kHit, kError, kHit})) << status;
    EXPECT_EQ(set.err_code, status == -1 ? SIXCALL_E_INTERNAL : SIXCALL_E_IO);
    EXPECT_NE(set.err_text.find("write %key-b.data with backend POSIX: " + words[static_cast<size_t>(-status)]), std::string::npos) << set.err_text;
    connection.Run(Request::Set({"b"}, {"2"}));
    fake.Script(script);
    const Result get = connection.Run(Request::Get({"a", "b", "c"}, 1));
    EXPECT_EQ(get.status, (Status{kHit, kError, kHit})) << status;
    connection.Run(Request::Delete({"a", "b", "c"}));
    EXPECT_EQ(folder.Unfinished(), 0u);
    EXPECT_EQ(Stat(connection, "sixcall_nixl_errors_total{status=\"" + std::to_string(status) + "\"}"), 2u);
  }
  EXPECT_EQ(Stat(connection, "sixcall_nixl_failures_total{direction=\"write\"}"), 6u);
}

TEST(NixlFault, AStoreThatFailedIsNotThere) {
  Fake fake;
  TempFolder folder;
  Connection connection(Nixl(), FileOptions(folder));
  connection.Run(Request::Set({"old"}, {"old value"}));
  fake_script script = {};
  script.end_with = -2;
  script.end_with_n = 2;
  fake.Script(script);
  EXPECT_EQ(connection.Run(Request::Set({"old", "new"}, {"new value", "new value"})).n_ok, 0u);
  EXPECT_EQ(connection.Run(Request::Exists({"old", "new"})).status, (Status{kHit, kMiss}));
  EXPECT_EQ(connection.Run(Request::Get({"old"}, 9)).values[0], "old value") << "the value before stays";
}

TEST(NixlFault, ARefusedRequestIsAnErrorOfThatKey) {
  for (int fake_script::*what : {&fake_script::refuse_post, &fake_script::refuse_create}) {
    Fake fake;
    TempFolder folder;
    Connection connection(Nixl(), FileOptions(folder, R"(,"workers":1)"));
    fake.Script(Script(what, 1));
    const Result set = connection.Run(Request::Set({"a", "b", "c"}, {"1", "2", "3"}));
    EXPECT_EQ(set.status, (Status{kError, kHit, kHit}));
    EXPECT_EQ(Stat(connection, "sixcall_nixl_refused_total"), 1u);
    EXPECT_EQ(folder.Unfinished(), 0u);
  }
}

TEST(NixlFault, ARefusedRegistrationIsAnErrorOfItsKeys) {
  Fake fake;
  TempFolder folder;
  Connection connection(Nixl(), FileOptions(folder, R"(,"workers":1)"));
  fake.Script(Script(&fake_script::refuse_register, 1));
  const Result set = connection.Run(Request::Set({"a", "b"}, {"1", "2"}));
  EXPECT_EQ(set.status, (Status{kError, kError}));
  EXPECT_NE(set.err_text.find("register 2 files: the NIXL backend failed (-2)"), std::string::npos) << set.err_text;
  EXPECT_EQ(connection.Run(Request::Set({"a", "b"}, {"1", "2"})).n_ok, 2u);
}

TEST(NixlFault, RequestsDoneAtPostAreDone) {
  Fake fake;
  TempFolder folder;
  Connection connection(Nixl(), FileOptions(folder));
  fake.Script(Script(&fake_script::done_at_post, 1));
  EXPECT_EQ(connection.Run(Request::Set({"a", "b"}, {"1", "2"})).n_ok, 2u);
  EXPECT_EQ(connection.Run(Request::Get({"a", "b"}, 1)).values, (std::vector<std::string>{"1", "2"}));
}

TEST(NixlFault, ABackendThatIsDeadForGoodIsReplaced) {
  Fake fake;
  TempFolder folder;
  Connection connection(Nixl(), FileOptions(folder, R"(,"workers":2)"));
  connection.Run(Request::Set({"k"}, {"v"}));
  ASSERT_TRUE(Eventually([&] { return Stat(connection, "sixcall_nixl_workers_up") == 2; }));
  fake.Kill();
  int failed = 0;
  EXPECT_TRUE(Eventually([&] {
    const bool hit = connection.Run(Request::Get({"k"}, 1)).status == Status{kHit};
    failed += !hit;
    return Stat(connection, "sixcall_nixl_agents_retired_total") == 2;
  }));
  EXPECT_GE(failed, 8);
  EXPECT_TRUE(Eventually([&] { return Stat(connection, "sixcall_nixl_workers_up") == 2; }));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(connection.Run(Request::Get({"k"}, 1)).status, Status{kHit});
}

TEST(NixlFault, ABackendThatCannotBeMadeIsTriedAgainWithPauses) {
  Fake fake;
  TempFolder folder;
  {
    fake.Script(Script(&fake_script::refuse_backend, 1));
    Connection connection(Nixl(), FileOptions(folder));
    EXPECT_EQ(connection.open_rc(), SIXCALL_E_CONNECT);
    EXPECT_NE(connection.open_error().find("make the NIXL backend \"POSIX\""), std::string::npos) << connection.open_error();
  }
  fake.Script(Script(&fake_script::refuse_backend, 3));
  Connection connection(Nixl(), FileOptions(folder, R"(,"lazy":true,"workers":1)"));
  ASSERT_TRUE(connection.ok()) << connection.open_error();
  ASSERT_TRUE(Eventually([&] { return connection.Run(Request::Set({"k"}, {"v"})).n_ok == 1; }));
  EXPECT_EQ(Stat(connection, "sixcall_nixl_agent_errors_total"), 3u);
}

TEST(NixlFault, TheProbeNoticesABackendThatDoesNotWork) {
  Fake fake;
  TempFolder folder;
  fake_script script = {};
  script.end_with = -2;
  script.end_with_n = 1;
  fake.Script(script);
  {
    Connection connection(Nixl(), FileOptions(folder));
    EXPECT_EQ(connection.open_rc(), SIXCALL_E_CONNECT);
    EXPECT_NE(connection.open_error().find("a first write with backend POSIX failed: the NIXL backend failed (-2)"), std::string::npos)
        << connection.open_error();
    EXPECT_EQ(folder.Unfinished(), 0u);
  }
  fake.Script(script);
  Connection connection(Nixl(), FileOptions(folder, R"(,"probe":false)"));
  EXPECT_TRUE(connection.ok()) << connection.open_error();
}

TEST(NixlFault, AnOpenThatHangsIsATimeout) {
  Fake fake;
  TempFolder folder;
  fake.LeavesSomething();
  fake.Script(Script(&fake_script::hang, 1));
  OpenOptions options = FileOptions(folder);
  options.open_timeout_ms = 100;
  Connection connection(Nixl(), options);
  EXPECT_EQ(connection.open_rc(), SIXCALL_E_TIMEOUT);
  EXPECT_EQ(connection.open_error(), "backend \"POSIX\" did not answer within 100 ms");
  fake.LetGo();
  EXPECT_TRUE(Eventually([&] { return fake.Agents() == 0; })) << "the thread that was left behind ends";
}

TEST(NixlFault, ARequestThatDoesNotEndHoldsUpNobodyElse) {
  Fake fake;
  TempFolder folder;
  Connection connection(Nixl(), FileOptions(folder, R"(,"workers":1,"request_timeout_ms":100)"));
  connection.Run(Request::Set({"k"}, {"value"}));
  fake.Script(Script(&fake_script::hang, 1));
  const uint64_t stuck = connection.Submit(Request::Get({"k"}, 5));
  ASSERT_TRUE(Eventually([&] { return fake.Counts().hanging == 1; }));
  // The agent is given up, with its request, and the work goes on with another.
  ASSERT_TRUE(Eventually([&] { return Stat(connection, "sixcall_nixl_agents_retired_total") == 1; }));
  EXPECT_EQ(Stat(connection, "sixcall_nixl_stuck_requests"), 1u);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(connection.Run(Request::Get({"k"}, 5)).values[0], "value");
  EXPECT_FALSE(connection.Finished(stuck)) << "its memory may still be written";
  fake.LetGo();
  const Result late = connection.Wait(stuck);
  EXPECT_EQ(late.status, Status{kHit});
  EXPECT_EQ(late.values[0], "value");
  EXPECT_TRUE(Eventually([&] { return fake.Agents() == 1; })) << "the agent goes when its last request has ended";
  EXPECT_EQ(Stat(connection, "sixcall_nixl_stuck_requests"), 0u);
}

TEST(NixlFault, CloseIsBusyWhileARequestMayTouchTheHostsMemory) {
  Fake fake;
  TempFolder folder;
  fake.LeavesSomething();
  Connection connection(Nixl(), FileOptions(folder, R"(,"workers":1)"));
  connection.Run(Request::Set({"k"}, {"value"}));
  fake.Script(Script(&fake_script::hang, 1));
  connection.Submit(Request::Get({"k"}, 5));
  ASSERT_TRUE(Eventually([&] { return fake.Counts().hanging == 1; }));
  EXPECT_EQ(connection.Close(20), SIXCALL_E_BUSY);
  fake.LetGo();  // and it is written, into memory that the host keeps
  EXPECT_TRUE(Eventually([&] { return fake.Counts().hanging == 0; }));
}

TEST(NixlFault, CloseWaitsForWhatIsInProgress) {
  Fake fake;
  TempFolder folder;
  Connection connection(Nixl(), FileOptions(folder));
  fake.Script(Script(&fake_script::polls, 50));
  for (int i = 0; i < 20; ++i) connection.Submit(Request::Set({"k" + std::to_string(i)}, {"value"}));
  EXPECT_EQ(connection.Close(), SIXCALL_OK);
  EXPECT_EQ(folder.Names().size(), 20u) << "what was accepted is stored";
}

TEST(NixlFault, QueuedBatchesCanBeCancelled) {
  Fake fake;
  TempFolder folder;
  Connection connection(Nixl(), FileOptions(folder, R"(,"workers":1,"queue_depth":1)"));
  fake.Script(Script(&fake_script::hang, 1));
  const uint64_t running = connection.Submit(Request::Set({"a"}, {"1"}));
  ASSERT_TRUE(Eventually([&] { return fake.Counts().hanging == 1; }));
  const uint64_t queued = connection.Submit(Request::Set({"b", "c"}, {"1", "2"}));
  EXPECT_EQ(Nixl()->cancel(connection.handle(), queued), SIXCALL_OK);
  EXPECT_EQ(connection.Wait(queued).status, (Status{kCancelled, kCancelled}));
  EXPECT_EQ(Nixl()->cancel(connection.handle(), queued), SIXCALL_E_INVAL);
  fake.LetGo();
  EXPECT_EQ(connection.Wait(running).status, Status{kHit});
  EXPECT_EQ(connection.Run(Request::Exists({"a", "b", "c"})).status, (Status{kHit, kMiss, kMiss}));
}

TEST(NixlFault, ADeadlineEndsWhatWaitsInTheQueue) {
  Fake fake;
  TempFolder folder;
  Connection connection(Nixl(), FileOptions(folder, R"(,"workers":1,"queue_depth":1)"));
  fake.Script(Script(&fake_script::hang, 1));
  const uint64_t running = connection.Submit(Request::Set({"a"}, {"1"}));
  ASSERT_TRUE(Eventually([&] { return fake.Counts().hanging == 1; }));
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  Request late = Request::Set({"b"}, {"1"});
  late.deadline_ns = static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec) + 20000000;
  const uint64_t queued = connection.Submit(late);
  ASSERT_TRUE(Eventually([&] {
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec) > late.deadline_ns;
  }));
  fake.LetGo();
  EXPECT_EQ(connection.Wait(queued).status, Status{kTimeout});
  EXPECT_EQ(connection.Wait(running).status, Status{kHit});
}

TEST(NixlFault, PollsSeldomWhileItWaitsAndNotAtAllWhenIdle) {
  Fake fake;
  TempFolder folder;
  Connection connection(Nixl(), FileOptions(folder, R"(,"workers":2)"));
  connection.Run(Request::Set({"k"}, {"value"}));
  const auto spend = [](milliseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(milliseconds(5));
  };
  fake.Script(Script(&fake_script::hang, 1));
  const uint64_t waiting = connection.Submit(Request::Get({"k"}, 5));
  ASSERT_TRUE(Eventually([&] { return fake.Counts().hanging == 1; }));
  spend(milliseconds(100));
  const long before = fake.Counts().polled;
  spend(milliseconds(300));
  // A loop without pauses polls some hundred thousand times.
  const long polls = fake.Counts().polled - before;
  EXPECT_GT(polls, 0);
  EXPECT_LT(polls, 5000);
  fake.LetGo();
  connection.Wait(waiting);
  const long idle = fake.Counts().polled;
  spend(milliseconds(200));
  EXPECT_EQ(fake.Counts().polled, idle);
}

TEST(NixlFault, TooManyOpenFilesIsAnErrorInWords) {
  Fake fake;
  TempFolder folder;
  Connection connection(Nixl(), FileOptions(folder));
  connection.Run(Request::Set({"k"}, {"value"}));
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 3;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const Result get = connection.Run(Request::Get({"k"}, 5));
  const Result set = connection.Run(Request::Set({"k"}, {"other"}));
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(get.status, Status{kError});
  EXPECT_NE(get.err_text.find("raise the limit of open files or lower \"queue_depth\""), std::string::npos) << get.err_text;
  EXPECT_EQ(set.status, Status{kError});
  EXPECT_EQ(connection.Run(Request::Get({"k"}, 5)).values[0], "value");
}

TEST(NixlFault, AWriteThatTheKernelCutsIsToldWithItsReason) {
  Fake fake;
  TempFolder folder;
  Connection connection(Nixl(), FileOptions(folder));
  // No file of this process may grow over 1000 bytes, which the kernel also tells
  // with a signal.
  signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 1000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const Result set = connection.Run(Request::Set({"a", "b"}, {Pattern(1000, 1), Pattern(1001, 2)}));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(set.status, (Status{kHit, kError}));
  EXPECT_NE(set.err_text.find("write 1001 bytes of %key-b.data: File too large"), std::string::npos) << set.err_text;
  EXPECT_EQ(folder.Names(), std::vector<std::string>{"%key-a.data"});
}

}  // namespace
}  // namespace sixcall_test
