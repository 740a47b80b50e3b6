// SPDX-License-Identifier: Apache-2.0
//
// What the threads of connector.hpp look like from outside.
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>

#include "../harness/threads.h"
#include "scripted.h"

namespace sixcall_test {
namespace {

class Threads : public HelperTest {};

bool Blocks(const ThreadInfo &thread, int signo) { return (thread.blocked >> (signo - 1) & 1) != 0; }

TEST_F(Threads, AreNamedAndAsManyAsConfigured) {
  const auto before = ListThreads();
  Connection connection(Api(), WithConfig(R"({"workers":5,"lookup_workers":2})"));
  ASSERT_TRUE(connection.ok());
  // The name is set by the opener, so it is there when open has returned.
  const auto threads = NewThreads(before);
  EXPECT_EQ(threads.size(), 7u);
  for (const ThreadInfo &thread : threads) EXPECT_EQ(thread.name, "sixcall:scripte") << "15 bytes of the name";
  connection.Run(Request::Set(Keys(100), std::vector<std::string>(100, "v")));
  EXPECT_EQ(NewThreads(before).size(), 7u) << "work starts no more";
}

TEST_F(Threads, BlockAsynchronousSignalsOnly) {
  const auto before = ListThreads();
  Connection connection(Api(), WithConfig(R"({"workers":3})"));
  ASSERT_TRUE(connection.ok());
  const std::vector<int> synchronous = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
  // The C library starts every thread with all signals blocked, for a moment.
  std::vector<ThreadInfo> threads;
  ASSERT_TRUE(Eventually([&] {
    threads = NewThreads(before);
    return std::none_of(threads.begin(), threads.end(), [](const ThreadInfo &thread) { return Blocks(thread, SIGSEGV); });
  }));
  EXPECT_EQ(threads.size(), 4u);
  for (const ThreadInfo &thread : threads) {
    for (int signo = 1; signo <= SIGRTMAX; ++signo) {
      // The two below SIGRTMIN belong to the C library; the others cannot be blocked.
      if (signo == SIGKILL || signo == SIGSTOP || (signo > SIGSYS && signo < SIGRTMIN)) continue;
      const bool leave = std::count(synchronous.begin(), synchronous.end(), signo) != 0;
      EXPECT_EQ(Blocks(thread, signo), !leave) << "signal " << signo << " in " << thread.name;
    }
  }
}

TEST_F(Threads, LeaveTheCallersMaskAlone) {
  sigset_t own, after;
  sigemptyset(&own);
  sigaddset(&own, SIGUSR2);
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, &own, &before);
  sigset_t expected;
  pthread_sigmask(SIG_SETMASK, nullptr, &expected);
  {
    Connection connection(Api());
    ASSERT_TRUE(connection.ok());
    connection.Run(Request::Exists({"k"}));
    EXPECT_EQ(connection.Close(), SIXCALL_OK);
  }
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  for (int signo = 1; signo < SIGRTMIN - 2; ++signo) {
    EXPECT_EQ(sigismember(&after, signo), sigismember(&expected, signo)) << "signal " << signo;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_F(Threads, LeaveTheSignalHandlersAlone) {
  const GuardedMemory first(1, Edge::kEnd, "first");  // the harness has handlers of its own from here on
  struct sigaction before[65], after[65];
  for (int signo = 1; signo < 65; ++signo) sigaction(signo, nullptr, &before[signo]);
  {
    Connection connection(Api());
    connection.Run(Request::Set(Keys(20), std::vector<std::string>(20, "v")));
  }
  for (int signo = 1; signo < 65; ++signo) {
    if (sigaction(signo, nullptr, &after[signo]) != 0) continue;
    EXPECT_EQ(before[signo].sa_handler, after[signo].sa_handler) << "signal " << signo;
    EXPECT_EQ(before[signo].sa_flags, after[signo].sa_flags) << "signal " << signo;
  }
}

TEST_F(Threads, CallsWorkOnASmallStackThatEndsAtOnce) {
  // As from a Go host: every call on another thread, 256 KiB of stack each.
  Connection connection(Api());
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  ASSERT_EQ(pthread_attr_setstacksize(&attr, 256 << 10), 0);
  for (int i = 0; i < 20; ++i) {
    const auto body = [](void *context) -> void * {
      static_cast<Connection *>(context)->Run(Request::Exists({"k"}));
      return nullptr;
    };
    pthread_t thread;
    ASSERT_EQ(pthread_create(&thread, &attr, body, &connection), 0);
    pthread_join(thread, nullptr);
  }
  pthread_attr_destroy(&attr);
}

TEST_F(Threads, HandlesAreIndependent) {
  std::vector<std::unique_ptr<Connection>> connections;
  std::vector<std::shared_ptr<Script>> scripts;
  for (int i = 0; i < 8; ++i) {
    scripts.push_back(std::make_shared<Script>());
    ScriptedConnector::Current() = scripts.back();
    connections.push_back(std::make_unique<Connection>(Api()));
    ASSERT_TRUE(connections.back()->ok());
  }
  for (size_t i = 0; i < connections.size(); ++i) {
    connections[i]->Run(Request::Set({"k"}, {"value " + std::to_string(i)}));
  }
  for (size_t i = 0; i < connections.size(); ++i) {
    EXPECT_EQ(connections[i]->Run(Request::Get({"k"}, 7)).values[0], "value " + std::to_string(i));
  }
}

}  // namespace
}  // namespace sixcall_test
