// SPDX-License-Identifier: Apache-2.0
//
// close and cancel of connector.hpp. After close has returned 0 the harness
// forbids every access to memory that was lent.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "../harness/threads.h"
#include "scripted.h"

namespace sixcall_test {
namespace {

using std::chrono::milliseconds;
using Status = std::vector<uint8_t>;

constexpr uint8_t kHit = SIXCALL_STATUS_HIT;
constexpr uint8_t kCancelled = SIXCALL_STATUS_CANCELLED;

class Close : public HelperTest {
 protected:
  ~Close() override {
    EXPECT_TRUE(Eventually([&] { return script->sessions.load() == 0; })) << "a session outlives its connection";
  }
};

TEST_F(Close, LeavesNothingBehind) {
  const auto threads = ListThreads();
  const auto fds = OpenFds();
  for (int i = 0; i < 5; ++i) {
    Connection connection(Api(), WithConfig(R"({"workers":4,"lookup_workers":2})"));
    ASSERT_TRUE(connection.ok());
    if (i > 0) connection.Run(Request::Set(Keys(9), std::vector<std::string>(9, "v")));
    EXPECT_EQ(connection.Close(), SIXCALL_OK);
    EXPECT_EQ(script->sessions.load(), 0);
  }
  EXPECT_TRUE(Eventually([&] { return NewThreads(threads).empty(); }));
  EXPECT_EQ(OpenFds(), fds);
}

TEST_F(Close, RightAfterALazyOpen) {
  Connection connection(Api(), WithConfig(R"({"lazy":true,"workers":8})"));
  EXPECT_EQ(connection.Close(0), SIXCALL_OK);
}

TEST_F(Close, WithCompletionsThatNobodyDrained) {
  Connection connection(Api());
  for (int i = 0; i < 20; ++i) connection.Submit(Request::Exists({"k"}));
  ASSERT_TRUE(connection.Readable(30000));
  EXPECT_EQ(connection.Close(), SIXCALL_OK);
}

TEST_F(Close, WaitsForTheBatchThatRuns) {
  Gate gate;
  script->before_key = [&](uint32_t, std::string_view) { gate.Pass(); };
  script->values["k"] = "v";
  Connection connection(Api());
  connection.Submit(Request::Get({"k"}, 1));
  ASSERT_TRUE(Eventually([&] { return gate.waiting() == 1; }));
  std::thread opener([&] {
    std::this_thread::sleep_for(milliseconds(50));  // most likely close has begun by then
    gate.Open();
  });
  EXPECT_EQ(connection.Close(60000), SIXCALL_OK);
  opener.join();
}

TEST_F(Close, RunsWhatIsQueuedWithinItsGrace) {
  std::atomic<int> ran{0};
  Gate gate;
  script->before_key = [&](uint32_t, std::string_view) {
    gate.Pass();
    ++ran;
  };
  Connection connection(Api());
  for (int i = 0; i < 30; ++i) connection.Submit(Request::Set({"k" + std::to_string(i)}, {"v"}));
  ASSERT_TRUE(Eventually([&] { return gate.waiting() == 1; }));
  std::thread opener([&] {
    std::this_thread::sleep_for(milliseconds(20));
    gate.Open();
  });
  EXPECT_EQ(connection.Close(60000), SIXCALL_OK);
  opener.join();
  EXPECT_EQ(ran.load(), 30);
  EXPECT_EQ(script->values.size(), 30u);
}

TEST_F(Close, CancelsWhatIsQueuedAfterItsGrace) {
  // The running tile notices that it is cancelled, as a good client does.
  std::atomic<int> started{0};
  script->before_tile = [&](sixcall::Tile &tile) {
    ++started;
    while (tile.Sleep(milliseconds(10))) {
    }
  };
  Connection connection(Api(), WithConfig(R"({"workers":2})"));
  for (int i = 0; i < 30; ++i) connection.Submit(Request::Get({"k"}, 1));
  ASSERT_TRUE(Eventually([&] { return started.load() == 2; }));
  EXPECT_EQ(connection.Close(50), SIXCALL_OK);
  EXPECT_EQ(started.load(), 2) << "what was queued never began";
}

TEST_F(Close, WhileBatchesOfBothLanesFly) {
  for (int round = 0; round < 20; ++round) {
    Connection connection(Api(), WithConfig(R"({"workers":3,"lookup_workers":2})"));
    for (int i = 0; i < 40; ++i) {
      connection.Submit(Request::Set(Keys(5), std::vector<std::string>(5, "v")));
      connection.Submit(Request::Exists(Keys(3)));
    }
    EXPECT_EQ(connection.Close(static_cast<uint32_t>(round % 3)), SIXCALL_OK);
  }
}

TEST_F(Close, SaysBusyWhenASessionIsStuck) {
  const auto threads = ListThreads();
  Gate gate;
  std::atomic<int> woken{0};
  script->before_key = [&](uint32_t op, std::string_view) {
    if (op != SIXCALL_OP_GET) return;
    gate.Pass();
    ++woken;
  };
  script->values["k"] = "v";
  {
    Connection connection(Api(), WithConfig(R"({"workers":2})"));
    connection.Submit(Request::Get({"k"}, 1));
    connection.Submit(Request::Get({"k"}, 1));
    connection.Submit(Request::Get({"k"}, 1));  // queued behind them
    connection.Submit(Request::Exists({"k"}));
    ASSERT_TRUE(Eventually([&] { return gate.waiting() == 2; }));
    EXPECT_EQ(connection.Close(20), SIXCALL_E_BUSY);
    EXPECT_EQ(gate.waiting(), 2);
  }
  // The handle is gone for the host. The threads that were left behind wake up
  // now and must find their memory; a sanitizer or a guard page tells if not.
  gate.Open();
  EXPECT_TRUE(Eventually([&] { return NewThreads(threads).empty(); }));
  EXPECT_EQ(woken.load(), 2) << "the queued batch does not begin after close";
}

TEST_F(Close, SaysBusyWhenMakingASessionIsStuck) {
  const auto threads = ListThreads();
  Gate gate;
  std::atomic<int> attempts{0};
  script->connect = [&] {
    if (++attempts > 1) gate.Pass();  // the first worker proves the backend, the others hang
  };
  {
    Connection connection(Api(), WithConfig(R"({"workers":3})"));
    ASSERT_TRUE(connection.ok());
    ASSERT_TRUE(Eventually([&] { return gate.waiting() == 3; }));
    EXPECT_EQ(connection.Run(Request::Set({"k"}, {"v"})).n_ok, 1u) << "the worker with a session does the work";
    EXPECT_EQ(connection.Close(20), SIXCALL_E_BUSY);
  }
  gate.Open();
  EXPECT_TRUE(Eventually([&] { return NewThreads(threads).empty(); }));
}

TEST_F(Close, WhileTheBackendIsDown) {
  script->start = [](const sixcall::Config &, sixcall::Options &options) { options.backoff_first_ms = 100000; };
  script->connect = [] { throw sixcall::Error(SIXCALL_E_CONNECT, "connection refused"); };
  Connection connection(Api(), WithConfig(R"({"lazy":true,"workers":3})"));
  ASSERT_TRUE(connection.ok());
  connection.Run(Request::Get({"k"}, 1));
  for (int i = 0; i < 10; ++i) connection.Submit(Request::Get({"k"}, 1));
  EXPECT_EQ(connection.Close(60000), SIXCALL_OK) << "no worker sleeps through its back-off";
}

TEST_F(Close, LogsNothingAfterwards) {
  // The harness fails the test on a line after close.
  std::atomic<bool> down{false};
  script->before_key = [&](uint32_t, std::string_view) {
    if (down) throw sixcall::Error(SIXCALL_E_CONNECT, "reset by peer");
  };
  Connection connection(Api(), WithConfig(R"({"workers":3})"));
  down = true;
  for (int i = 0; i < 30; ++i) connection.Submit(Request::Get({"k"}, 1));
  EXPECT_EQ(connection.Close(), SIXCALL_OK);
}

// ---- cancel

class Cancel : public HelperTest {};

TEST_F(Cancel, EndsAQueuedBatch) {
  Gate gate;
  script->before_key = [&](uint32_t, std::string_view) { gate.Pass(); };
  Connection connection(Api());
  const uint64_t running = connection.Submit(Request::Get({"k"}, 1));
  ASSERT_TRUE(Eventually([&] { return gate.waiting() == 1; }));
  std::vector<uint64_t> queued;
  for (int i = 0; i < 3; ++i) queued.push_back(connection.Submit(Request::Get({"a", "b"}, 1)));
  EXPECT_EQ(connection.api().cancel(connection.handle(), queued[1]), SIXCALL_OK);
  const Result result = connection.Wait(queued[1]);
  EXPECT_EQ(result.rc, SIXCALL_E_CANCELLED);
  EXPECT_EQ(result.status, (Status{kCancelled, kCancelled}));
  EXPECT_EQ(connection.api().cancel(connection.handle(), queued[1]), SIXCALL_E_INVAL) << "it has ended";
  EXPECT_EQ(connection.api().cancel(connection.handle(), 12345), SIXCALL_E_INVAL) << "never submitted";
  gate.Open();
  for (const uint64_t ticket : {running, queued[0], queued[2]}) EXPECT_EQ(connection.Wait(ticket).rc, SIXCALL_OK);
}

TEST_F(Cancel, TellsARunningTile) {
  std::atomic<bool> started{false};
  script->before_tile = [&](sixcall::Tile &tile) {
    tile.Done(0, sixcall::Status::kHit);
    started = true;
    while (tile.Sleep(milliseconds(10))) {
    }
  };
  Connection connection(Api());
  const uint64_t ticket = connection.Submit(Request::Set(Keys(3), {"1", "2", "3"}));
  ASSERT_TRUE(Eventually([&] { return started.load(); }));
  EXPECT_EQ(connection.api().cancel(connection.handle(), ticket), SIXCALL_OK);
  const Result result = connection.Wait(ticket);
  EXPECT_EQ(result.rc, SIXCALL_E_CANCELLED);
  EXPECT_EQ(result.status, (Status{kHit, kCancelled, kCancelled})) << "what was done stays";
}

TEST_F(Cancel, RacesWithTheEnd) {
  // Whatever happens first, every ticket completes once: the harness checks.
  script->start = [](const sixcall::Config &, sixcall::Options &options) {
    options.workers = 3;
    options.tile_keys = 1;
  };
  Connection connection(Api());
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> latest{0};
  std::thread canceller([&] {
    while (!stop) {
      const uint64_t ticket = latest.load();
      for (uint64_t t = ticket < 8 ? 0 : ticket - 8; t <= ticket; ++t) connection.api().cancel(connection.handle(), t);
    }
  });
  for (int i = 0; i < 600; ++i) {
    const size_t n = 1 + static_cast<size_t>(i) % 9;
    latest = connection.Submit(Request::Get(Keys(n), 1));
    if (i % 6 == 5) connection.WaitForAll();
  }
  connection.WaitForAll();
  stop = true;
  canceller.join();
}

// ---- deadlines, as far as the helper knows them

TEST_F(Cancel, ADeadlineThatPassesInTheQueueEndsTheBatch) {
  Gate gate;
  script->before_key = [&](uint32_t, std::string_view key) {
    if (key == "held") gate.Pass();
  };
  Connection connection(Api());
  const uint64_t held = connection.Submit(Request::Get({"held"}, 1));
  Request late = Request::Get({"a", "b"}, 1);
  late.deadline_ns = 1;
  Request early = Request::Get({"a", "b"}, 1);
  early.deadline_ns = UINT64_MAX;
  const uint64_t late_ticket = connection.Submit(late), early_ticket = connection.Submit(early);
  gate.Open();
  connection.Wait(held);
  const Result result = connection.Wait(late_ticket);
  EXPECT_EQ(result.rc, SIXCALL_E_TIMEOUT);
  EXPECT_EQ(result.status, (Status{SIXCALL_STATUS_TIMEOUT, SIXCALL_STATUS_TIMEOUT}));
  EXPECT_EQ(connection.Wait(early_ticket).rc, SIXCALL_OK);
}

}  // namespace
}  // namespace sixcall_test
