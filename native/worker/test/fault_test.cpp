// SPDX-License-Identifier: Apache-2.0
// Libraries that crash, hang, exit or do what is forbidden, in every call.
#include <gtest/gtest.h>

#include "mini_host.h"

namespace worker_test {
namespace {

/// How a test gets the worker into a call.
struct CallCase {
  const char* call;         // of faulty_connector.cpp
  uint32_t ring_call;       // what the ring says meanwhile; NONE when the service thread is in it
  const char* report;       // what a crash report says
  void (*enter)(MiniHost&);  // sends what leads there; does not wait
};

template <typename T>
void Send(MiniHost& host, flatbuffers::Offset<T> (*create)(flatbuffers::FlatBufferBuilder&)) {
  flatbuffers::FlatBufferBuilder builder;
  host.Send(builder, create(builder));
}

const CallCase kCalls[] = {
    {"get", SIXCALL_CALL_SUBMIT | SIXCALL_OP_GET, "the pump is in submit_batch_get, ticket 1", [](MiniHost& h) { h.Submit(SIXCALL_OP_GET, {{"a", 1}}); }},
    {"set", SIXCALL_CALL_SUBMIT | SIXCALL_OP_SET, "the pump is in submit_batch_set, ticket 1", [](MiniHost& h) { h.Submit(SIXCALL_OP_SET, {{"a", 1}}); }},
    {"exists", SIXCALL_CALL_SUBMIT | SIXCALL_OP_EXISTS, "the pump is in submit_batch_exists, ticket 1", [](MiniHost& h) { h.Submit(SIXCALL_OP_EXISTS, {{"a", 0}}); }},
    {"delete", SIXCALL_CALL_SUBMIT | SIXCALL_OP_DELETE, "the pump is in submit_batch_delete, ticket 1", [](MiniHost& h) { h.Submit(SIXCALL_OP_DELETE, {{"a", 0}}); }},
    {"ping", SIXCALL_CALL_SUBMIT | SIXCALL_OP_PING, "the pump is in submit_ping, ticket 1", [](MiniHost& h) { h.Submit(SIXCALL_OP_PING, {}); }},
    {"cancel", SIXCALL_CALL_SUBMIT | SIXCALL_RING_CANCEL, "the pump is in cancel, ticket 99", [](MiniHost& h) { h.Cancel(99); }},
    {"list", SIXCALL_CALL_SUBMIT | SIXCALL_OP_LIST, "the pump is in submit_list", [](MiniHost& h) { Send<wire::List>(h, [](auto& b) { return wire::CreateList(b); }); }},
    {"drain", SIXCALL_CALL_DRAIN, "the pump is in drain_completions", [](MiniHost& h) { h.Submit(SIXCALL_OP_EXISTS, {{"a", 0}}); }},
    {"open", SIXCALL_CALL_NONE, "the service thread is in open", nullptr},
    {"event_fd", SIXCALL_CALL_NONE, "the service thread is in event_fd", nullptr},
    {"limits", SIXCALL_CALL_NONE, "the service thread is in limits", nullptr},
    {"usage", SIXCALL_CALL_NONE, "the service thread is in usage", [](MiniHost& h) { Send<wire::Usage>(h, [](auto& b) { return wire::CreateUsage(b); }); }},
    {"stats", SIXCALL_CALL_NONE, "the service thread is in stats_text", [](MiniHost& h) { Send<wire::Stats>(h, [](auto& b) { return wire::CreateStats(b); }); }},
    {"register", SIXCALL_CALL_NONE, "the service thread is in register_memory",
     [](MiniHost& h) {
       const Shared memory = MakeShared(4096);
       flatbuffers::FlatBufferBuilder builder;
       h.Send(builder, wire::CreateMap(builder, 4096, 0, true), {memory.fd.get()});
     }},
    {"close", SIXCALL_CALL_NONE, "the service thread is in close", [](MiniHost& h) { Send<wire::Close>(h, [](auto& b) { return wire::CreateClose(b, 1000); }); }},
};

void PrintTo(const CallCase& one, std::ostream* out) { *out << one.call; }

class InCall : public testing::TestWithParam<CallCase> {
 protected:
  /// A worker that does the action in the call.
  std::unique_ptr<MiniHost> Enter(const std::string& action, HostOptions options = {}) {
    auto host = std::make_unique<MiniHost>(options);
    const std::string config = R"({"x-fault":")" + action + "_in_" + GetParam().call + "\"}";
    if (GetParam().enter == nullptr) {
      if (host->Load(FaultyLibrary()).As<wire::Loaded>() == nullptr) throw std::runtime_error("Load failed");
      host->SendOpen(config);
    } else {
      host->Connect(FaultyLibrary(), config);
      GetParam().enter(*host);
    }
    return host;
  }
};

INSTANTIATE_TEST_SUITE_P(Calls, InCall, testing::ValuesIn(kCalls), [](const auto& one) { return std::string(one.param.call); });

TEST_P(InCall, ACrashIsReportedWithItsCallAndSignal) {
  auto host = Enter("crash");
  EXPECT_EQ(host->process().End(), "signal 11");
  const std::string output = host->process().Output();
  const std::string thread = std::string(GetParam().report).rfind("the pump", 0) == 0 ? "sixcall:pump" : "sixcall:service";
  EXPECT_EQ(output.rfind("sixcall-worker: SIGSEGV at address 0x10 in thread " + thread + "; the pump is ", 0), 0u) << output;
  EXPECT_NE(output.find(GetParam().report), std::string::npos) << output;
  EXPECT_NE(output.find("libsixcall_faulty.so("), std::string::npos) << "no backtrace: " << output;
}

TEST_P(InCall, AnAbortIsReported) {
  auto host = Enter("abort");
  EXPECT_EQ(host->process().End(), "signal 6");
  const std::string output = host->process().Output();
  EXPECT_EQ(output.rfind("sixcall-worker: SIGABRT in thread ", 0), 0u) << output;
  EXPECT_NE(output.find(GetParam().report), std::string::npos) << output;
}

TEST_P(InCall, AnExceptionEndsTheWorkerAndIsNamed) {
  auto host = Enter("throw");
  EXPECT_EQ(host->process().End(), "signal 6");
  const std::string output = host->process().Output();
  EXPECT_NE(output.find("thrown by the faulty connector"), std::string::npos) << output;
  EXPECT_NE(output.find("sixcall-worker: SIGABRT in thread "), std::string::npos) << output;
  EXPECT_NE(output.find(GetParam().report), std::string::npos) << output;
}

TEST_P(InCall, AnExitIsNamed) {
  auto host = Enter("exit");
  EXPECT_EQ(host->process().End(), "exit 6");
  const std::string output = host->process().Output();
  EXPECT_NE(output.find("sixcall-worker: the library called exit(3) in thread "), std::string::npos) << output;
  EXPECT_NE(output.find(GetParam().report), std::string::npos) << output;
}

TEST_P(InCall, OtherEndsAreSeenAsTheyAre) {
  const struct {
    const char* action;
    const char* want;
  } cases[] = {{"quick_exit", "exit 3"}, {"sigkill", "signal 9"}, {"sigterm", "signal 15"}};
  for (const auto& one : cases) EXPECT_EQ(Enter(one.action)->process().End(), one.want) << one.action;
}

TEST_P(InCall, AHangLeavesTheControlThreadAlive) {
  auto host = Enter("hang");
  if (GetParam().ring_call != SIXCALL_CALL_NONE) host->WaitForCall(GetParam().ring_call);
  for (int i = 0; i < 3; i++) {
    const Answer answer = host->Ping();
    const auto* pong = answer.As<wire::Pong>();
    ASSERT_NE(pong, nullptr);
    EXPECT_EQ(pong->call(), GetParam().ring_call);
    EXPECT_TRUE(pong->call() == SIXCALL_CALL_NONE || pong->since_ns() != 0);
  }
  Shared memory = MakeShared(4096);
  EXPECT_EQ(host->Map(&memory, false).Failure(), "");
  EXPECT_FALSE(host->process().Ended());
}

// ------------------------------------------------------------ before the calls

TEST(Loading, ACrashOrExitIsReported) {
  const struct {
    const char* what;
    const char* end;
    const char* want;
  } cases[] = {
      {"crash_in_constructor", "signal 11", "SIGSEGV at address 0x10 in thread sixcall:service"},
      {"crash_in_entry", "signal 11", "SIGSEGV at address 0x10 in thread sixcall:service"},
      {"throw_in_entry", "signal 6", "thrown by the faulty connector"},
      {"exit_in_constructor", "exit 6", "the library called exit(3)"},
  };
  for (const auto& one : cases) {
    MiniHost host;
    host.SendLoad(FaultyLibrary(one.what));
    EXPECT_EQ(host.process().End(), one.end) << one.what;
    EXPECT_NE(host.process().Output().find(one.want), std::string::npos) << host.process().Output();
    EXPECT_NE(host.process().Output().find("the service thread is in dlopen or the entry point"), std::string::npos) << host.process().Output();
  }
}

TEST(Loading, AHangLeavesTheControlThreadAlive) {
  for (const char* what : {"hang_in_constructor", "hang_in_entry"}) {
    MiniHost host;
    const uint64_t load = host.SendLoad(FaultyLibrary(what));
    for (int i = 0; i < 3; i++) EXPECT_NE(host.Ping().As<wire::Pong>(), nullptr) << what;
    EXPECT_FALSE(host.Answered(load));
  }
}

TEST(Loading, ChangedSignalsAreNamedAndPutBack) {
  MiniHost host;
  const Answer answer = host.Load(FaultyLibrary("signals_in_constructor"));
  const auto* loaded = answer.As<wire::Loaded>();
  ASSERT_NE(loaded, nullptr) << answer.Failure();
  std::string changed;
  for (const auto* text : *loaded->changed()) changed += text->str() + ";";
  EXPECT_EQ(changed, "the signal mask of the calling thread (SIGUSR2 blocked);the handler of SIGSEGV;the handler of SIGURG;");
#if !defined(__SANITIZE_THREAD__)  // it keeps handlers in a table of its own
  ASSERT_EQ(host.Open(R"({"x-fault":"crash_in_get"})").Failure(), "");
  host.Submit(SIXCALL_OP_GET, {{"a", 1}});
  EXPECT_EQ(host.process().End(), "signal 11");
  EXPECT_EQ(host.process().Output().rfind("sixcall-worker: SIGSEGV at address 0x10", 0), 0u) << "the report is written again";
#endif
}

TEST(Loading, HandlersStayWhenTheHostSaysSo) {
  HostOptions options;
  options.keep_handlers = true;
  MiniHost host(options);
  const Answer answer = host.Load(FaultyLibrary("signals_in_constructor"));
  ASSERT_NE(answer.As<wire::Loaded>(), nullptr) << answer.Failure();
  std::string changed;
  for (const auto* text : *answer.As<wire::Loaded>()->changed()) changed += text->str() + ";";
  EXPECT_EQ(changed,
            "the signal mask of the calling thread (SIGUSR2 blocked);the handler of SIGSEGV (left in place);the handler of SIGURG (left in place);");
}

TEST(Opening, ChangedSignalsAreNamed) {
  MiniHost host;
  ASSERT_NE(host.Load(FaultyLibrary()).As<wire::Loaded>(), nullptr);
  const Answer answer = host.Open(R"({"x-fault":"signals_in_open"})");
  ASSERT_NE(answer.As<wire::Opened>(), nullptr) << answer.Failure();
  EXPECT_EQ(answer.As<wire::Opened>()->changed()->size(), 3u);
}

// ----------------------------------------------------------------- other faults

/// Connects, submits one GET, and returns the host.
std::unique_ptr<MiniHost> Submit(const std::string& config, HostOptions options = {}) {
  auto host = std::make_unique<MiniHost>(options);
  host->Connect(FaultyLibrary(), config);
  host->Submit(SIXCALL_OP_GET, {{"a", 1}});
  return host;
}

TEST(Faults, ACrashOfALibraryThreadIsReported) {
  auto host = Submit(R"({"x-fault":"crash_in_thread"})");
  EXPECT_EQ(host->process().End(), "signal 11");
  EXPECT_EQ(host->process().Output().rfind("sixcall-worker: SIGSEGV at address 0x10 in thread sixcall:faulty", 0), 0u) << host->process().Output();
}

TEST(Faults, AStackOverflowIsReported) {
  auto host = Submit(R"({"x-fault":"overflow_in_get"})");
  EXPECT_EQ(host->process().End(), "signal 11");
  EXPECT_EQ(host->process().Output().rfind("sixcall-worker: SIGSEGV at address 0x", 0), 0u) << "it runs on a stack of its own: " << host->process().Output();
}

TEST(Faults, ACorruptHeapEndsTheWorker) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "its allocator does not notice";
#endif
  auto host = Submit(R"({"x-fault":"corrupt_heap_in_get"})");
  host->process().ExpectReport();
  const std::string end = host->process().End();
  if (kSanitized) {
    EXPECT_EQ(end, "exit 1") << "by the sanitizer";
  } else {
    EXPECT_EQ(end, "signal 6") << "by the checks of malloc";
  }
}

TEST(Faults, ALeakEndsAtTheHardLimit) {
  if (kSanitized) GTEST_SKIP() << "no limit is set: the shadow memory of sanitizers counts as data";
  HostOptions options;
  options.memory_limit = 64 << 20;  // so 320 MiB
  MiniHost host(options);
  host.Connect(FaultyLibrary(), R"({"x-fault":"leak_in_get","x-mib":4096})");
  host.Submit(SIXCALL_OP_GET, {{"a", 1}});
  host.WaitForLog("fault leak: malloc failed after ");
  const std::string line = host.logs().back();
  const int mib = std::stoi(line.substr(std::string("fault leak: malloc failed after ").size()));
  EXPECT_GT(mib, 64);
  EXPECT_LT(mib, 320);
}

TEST(Faults, SigpipeIsSurvived) {
  auto host = Submit(R"({"x-fault":"sigpipe_in_get"})");
  EXPECT_EQ(host->WaitForCompletion().rc, 0);
}

TEST(Faults, ClosedDescriptorsEndTheWorkerWithAReason) {
  for (const char* call : {"get", "usage"}) {
    MiniHost host;
    host.process().ExpectReport();  // of descriptors that are closed under their users, which is the point
    host.Connect(FaultyLibrary(), std::string(R"({"x-fault":"close_fds_in_)") + call + "\"}");
    host.Submit(SIXCALL_OP_GET, {{"a", 1}});
    if (std::string(call) == "usage") {
      host.WaitForCompletion();
      flatbuffers::FlatBufferBuilder builder;
      host.Send(builder, wire::CreateUsage(builder));
    }
    // Its own answer, the log line or the next message finds the socket gone.
    try {
      host.SendPing();
    } catch (const std::exception&) {
    }
    EXPECT_EQ(host.process().End(), "exit 5") << call;
    EXPECT_NE(host.process().Output().find("the library closes descriptors that are not its own"), std::string::npos) << host.process().Output();
  }
}

TEST(Faults, AFloodOfStderrThatNobodyReadsBlocksItsOwnThreadOnly) {
  HostOptions options;
  // Its stderr is a pipe that is never read.
  options.wrapper = {"bash", "-c", R"(exec "$@" 2> >(sleep 1000))", "flood"};
  MiniHost host(options);
  host.Connect(FaultyLibrary(), R"({"x-fault":"flood_in_thread","x-mib":1024})");
  Batch batch;
  for (int i = 0; i < 100; i++) {
    EXPECT_EQ(host.Run(&batch, SIXCALL_OP_EXISTS, {{"a", 0}}).rc, 0);
    EXPECT_NE(host.Ping().As<wire::Pong>(), nullptr);
  }
}

TEST(Faults, AFloodOfStderrThatIsReadPasses) {
  auto host = Submit(R"({"x-fault":"flood_in_get","x-mib":8})");
  EXPECT_EQ(host->WaitForCompletion().rc, 0);
  EXPECT_EQ(host->process().Output().size(), size_t{8} << 20);
}

class Forbidden : public testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Actions, Forbidden, testing::Values("fork", "spawn", "exec", "ptrace", "read_parent", "kill_parent"),
                         [](const auto& one) { return std::string(one.param); });

TEST_P(Forbidden, IsRefusedAndTheWorkerGoesOn) {
  for (const char* where : {"get", "usage", "thread", "open"}) {
    MiniHost host;
    host.Connect(FaultyLibrary(), std::string(R"({"x-fault":")") + GetParam() + "_in_" + where + "\"}");
    host.Submit(SIXCALL_OP_GET, {{"a", 1}});
    EXPECT_EQ(host.WaitForCompletion().rc, 0);
    flatbuffers::FlatBufferBuilder builder;
    host.Ask(builder, wire::CreateUsage(builder));
    host.WaitForLog(std::string("fault ") + GetParam() + ": Operation not permitted");
  }
}

// Those that leave the worker as it is.
TEST(Faults, WhatIsForbiddenIsAllowedWhereTheHostSaysSo) {
  HostOptions options;
  options.allow_exec = true;
  for (const std::string action : {"fork", "spawn", "kill_parent"}) {
    MiniHost host(options);
    host.Connect(FaultyLibrary(), R"({"x-fault":")" + action + "_in_get\"}");
    host.Submit(SIXCALL_OP_GET, {{"a", 1}});
    EXPECT_EQ(host.WaitForCompletion().rc, 0);
    host.WaitForLog("fault " + action + ": worked");
  }
}

// What a hostile worker can do to its host's rings, for the tests of hosts. This
// worker's own pump starts on the garbage, so it may end in any way.
TEST(Faults, TheRingsCanBeFilledWithGarbage) {
  MiniHost host;
  host.process().ExpectReport();
  ASSERT_NE(host.Load(FaultyLibrary()).As<wire::Loaded>(), nullptr);
  host.SendOpen(R"({"x-fault":"scribble_ring_in_open"})");
  host.WaitForLog("fault scribble_ring: done");
  EXPECT_NE(host.ring()->cq_tail, 0u);
}

}  // namespace
}  // namespace worker_test
