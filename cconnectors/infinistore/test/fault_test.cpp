// SPDX-License-Identifier: Apache-2.0
// A server that is slow, full, broken or gone. At the end of each test the server
// has seen nothing that would have killed the real one.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "harness/threads.h"
#include "infinistore.h"

namespace infinistore_test {
namespace {

using sixcall_test::Connection;
using sixcall_test::Eventually;
using sixcall_test::OpenOptions;
using ToolRequest = sixcall_test::Request;
using sixcall_test::Result;

std::string Int(int32_t v) { return std::string(reinterpret_cast<const char *>(&v), 4); }

constexpr char kOneWorker[] = R"(,"workers":1,"lookup_workers":1)";

class InfiniStoreFault : public testing::Test {
 protected:
  void TearDown() override { EXPECT_EQ(server_.hazards(), std::vector<std::string>()); }
  // The plan for requests of one kind; the others are served.
  void Plan1(char op, const Plan &plan, const std::string &key = "") {
    server_.SetPlan([=](const Request &r) { return r.op == op && (key.empty() || r.key == key) ? plan : Plan(); });
  }
  // Runs a request whose deadline passes while the server holds it. A deadline that has
  // passed before the request began, on a busy machine, is doubled.
  Result RunPastDeadline(Connection &c, ToolRequest request) {
    for (uint64_t ms = 250;; ms *= 2) {
      request.deadline_ns = InMs(ms);
      Result result = c.Run(request);  // its memory faults on a touch from here on
      if (ms > 60000 || result.status[0] != kTimeout) ADD_FAILURE() << "held, and not timed out: " << result.err_text;
      if (ms > 60000 || result.status[0] != kTimeout || Stat(c, "parked") != 0) {
        server_.AwaitHeld(1);
        return result;
      }
    }
  }
  FakeServer server_;
};

TEST_F(InfiniStoreFault, ADeadlineDuringAGetLeavesTheMemoryAlone) {
  Connection c(Library(), To(server_.port(), kOneWorker));
  const std::string value(100000, 'v');
  c.Run(ToolRequest::Set({"k", "other"}, {value, "o"}));
  Plan hold;
  hold.hold = true;
  Plan1('G', hold, "k");
  const Result result = RunPastDeadline(c, ToolRequest::Get({"k", "other"}, {value.size(), 1}));
  EXPECT_EQ(result.rc, SIXCALL_E_TIMEOUT);
  EXPECT_EQ(result.status, (Status{kTimeout, kTimeout}));
  EXPECT_EQ(Stat(c, "parked_total"), 1u);
  EXPECT_EQ(c.Run(ToolRequest::Get({"other"}, 1)).status, Status{kHit}) << "another connection goes on";
  server_.Release();
  EXPECT_TRUE(Eventually([&] { return Stat(c, "parked") == 0; }));
  EXPECT_EQ(c.Run(ToolRequest::Get({"k"}, value.size())).values[0], value);
}

TEST_F(InfiniStoreFault, ADeadlineInTheMiddleOfAnAnswer) {
  Connection c(Library(), To(server_.port(), kOneWorker));
  const std::string value(3 << 20, 'v');
  c.Run(ToolRequest::Set({"k"}, {value}));
  Plan slow;
  slow.hold_after = 1 << 20;
  Plan1('G', slow, "k");
  EXPECT_EQ(RunPastDeadline(c, ToolRequest::Get({"k"}, value.size())).status, Status{kTimeout});
  EXPECT_EQ(Stat(c, "parked"), 1u);
  server_.Release();
  EXPECT_TRUE(Eventually([&] { return Stat(c, "parked") == 0; })) << "the rest of the answer is taken";
}

TEST_F(InfiniStoreFault, ADeadlineDuringAPutSendsTheRestAndRemovesTheKey) {
  for (const char *trailer : {R"(,"trailer":true)", R"(,"trailer":false)"}) {
    Connection c(Library(), To(server_.port(), std::string(kOneWorker) + trailer));
    Plan stall;
    stall.stall_after = 1000;
    Plan1('P', stall, "k");
    EXPECT_EQ(RunPastDeadline(c, ToolRequest::Set({"k"}, {std::string(24 << 20, 'v')})).status, Status{kTimeout});
    EXPECT_EQ(Stat(c, "parked"), 1u);
    // The key is taken until the server has it whole: a get or a delete would kill it.
    ToolRequest get = ToolRequest::Get({"k"}, 5);
    get.deadline_ns = InMs(60);
    EXPECT_EQ(c.Run(get).status, Status{kTimeout});
    ToolRequest erase = ToolRequest::Delete({"k"});
    erase.deadline_ns = InMs(60);
    EXPECT_EQ(c.Run(erase).status, Status{kTimeout});
    EXPECT_EQ(c.Run(ToolRequest::Set({"free"}, {"1"})).status, Status{kHit});
    server_.Release();
    EXPECT_TRUE(Eventually([&] { return Stat(c, "parked") == 0; }));
    EXPECT_FALSE(server_.Has("k")) << "its ticket has failed";
    EXPECT_EQ(c.Run(ToolRequest::Set({"k"}, {"now"})).status, Status{kHit});
    EXPECT_EQ(c.Run(ToolRequest::Get({"k"}, 3)).values[0], "now");
  }
}

TEST_F(InfiniStoreFault, AGetWaitsForAPutOfTheSameKeyOnAnyHandle) {
  Connection a(Library(), To(server_.port(), kOneWorker)), b(Library(), To(server_.port(), kOneWorker));
  Plan stall;
  stall.stall_after = 10;
  Plan1('P', stall);
  const std::string value(1000, 'v');
  const uint64_t put = a.Submit(ToolRequest::Set({"k"}, {value}));
  server_.AwaitHeld(1);
  const uint64_t get = b.Submit(ToolRequest::Get({"k"}, value.size()));
  const uint64_t other = b.Submit(ToolRequest::Exists({"k"}));
  b.Wait(other);  // lookups do not wait
  server_.Release();
  EXPECT_EQ(a.Wait(put).status, Status{kHit});
  EXPECT_EQ(b.Wait(get).values[0], value);
}

TEST_F(InfiniStoreFault, TicketsInTheQueueMeetTheirDeadline) {
  Connection c(Library(), To(server_.port(), kOneWorker));
  Plan hold;
  hold.hold = true;
  Plan1('G', hold, "slow");
  const uint64_t slow = c.Submit(ToolRequest::Get({"slow"}, 1));
  server_.AwaitHeld(1);
  ToolRequest get = ToolRequest::Get({"k"}, 1);
  get.deadline_ns = InMs(50);
  const Result result = c.Run(get);
  EXPECT_EQ(result.status, Status{kTimeout});
  EXPECT_FALSE(c.Finished(slow)) << "the only worker was busy all the time";
  server_.Release();
  EXPECT_EQ(c.Wait(slow).status, Status{kMiss});
}

TEST_F(InfiniStoreFault, ARequestWithoutDeadlineEndsAfterTheConfiguredTime) {
  Connection c(Library(), To(server_.port(), std::string(kOneWorker) + R"(,"request_timeout_ms":100)"));
  Plan hold;
  hold.hold = true;
  for (const char op : {'G', 'P', 'X', 'C'}) {
    Plan1(op, hold);
    const ToolRequest request = op == 'G'   ? ToolRequest::Get({"k"}, 1)
                                : op == 'P' ? ToolRequest::Set({"k"}, {"v"})
                                : op == 'X' ? ToolRequest::Delete({"k"})
                                            : ToolRequest::Exists({"k"});
    const Result result = c.Run(request);
    EXPECT_EQ(result.status, Status{kTimeout}) << op;
    EXPECT_NE(result.err_text.find("within 100 ms"), std::string::npos) << result.err_text;
    server_.Release();
    EXPECT_TRUE(Eventually([&] { return Stat(c, "parked") == 0; })) << op;
  }
}

TEST_F(InfiniStoreFault, CancelEndsAGetAndDrainsIt) {
  Connection c(Library(), To(server_.port(), kOneWorker));
  Plan hold;
  hold.hold = true;
  Plan1('G', hold);
  const uint64_t get = c.Submit(ToolRequest::Get({"k", "l"}, 1));
  server_.AwaitHeld(1);
  EXPECT_EQ(c.api().cancel(c.handle(), get), SIXCALL_OK);
  EXPECT_EQ(c.Wait(get).status, (Status{kCancelled, kCancelled}));
  server_.Release();
  EXPECT_TRUE(Eventually([&] { return Stat(c, "parked") == 0; }));
}

TEST_F(InfiniStoreFault, CloseIsBusyWhileAnAnswerIsOutstanding) {
  {
    Connection c(Library(), To(server_.port(), kOneWorker));
    Plan hold;
    hold.hold = true;
    Plan1('G', hold);
    c.Submit(ToolRequest::Get({"k"}, 1));
    server_.AwaitHeld(1);
    EXPECT_EQ(c.Close(50), SIXCALL_E_BUSY);
  }
  server_.Release();
  EXPECT_TRUE(Eventually([&] { return server_.open_connections() == 0; })) << "what close left behind ends by itself";
}

TEST_F(InfiniStoreFault, CloseWaitsForWhatWasLeft) {
  Connection c(Library(), To(server_.port(), kOneWorker));
  Plan stall;
  stall.stall_after = 1;
  Plan1('P', stall);
  const uint64_t set = c.Submit(ToolRequest::Set({"k"}, {std::string(1000, 'v')}));
  server_.AwaitHeld(1);
  EXPECT_EQ(c.api().cancel(c.handle(), set), SIXCALL_OK);
  EXPECT_EQ(c.Wait(set).status, Status{kCancelled});
  EXPECT_EQ(Stat(c, "parked"), 1u);
  server_.Release();
  EXPECT_EQ(c.Close(30000), SIXCALL_OK);
  EXPECT_FALSE(server_.Has("k"));
  EXPECT_TRUE(Eventually([&] { return server_.open_connections() == 0; }));
}

TEST_F(InfiniStoreFault, AFullServerRefusesAndTheOthersAreStored) {
  Connection c(Library(), To(server_.port(), kOneWorker));
  Plan full;
  full.no_room = true;
  Plan1('P', full, "b");
  for (const size_t size : {1, 100, 20 << 20}) {
    const Result result = c.Run(ToolRequest::Set({"a", "b", "c"}, {"1", std::string(size, 'x'), "3"}));
    EXPECT_EQ(result.rc, SIXCALL_OK) << size;
    EXPECT_EQ(result.status, (Status{kHit, kRefused, kHit})) << size << " " << result.err_text;
    EXPECT_NE(result.err_text.find("507"), std::string::npos) << result.err_text;
    EXPECT_EQ(c.Run(ToolRequest::Get({"a", "b", "c"}, 1)).status, (Status{kHit, kMiss, kHit}));
  }
  EXPECT_EQ(Stat(c, "no_room_total"), 3u);
  EXPECT_EQ(Stat(c, "cut_puts_total"), 0u);
}

TEST_F(InfiniStoreFault, AConnectionLostDuringAGetCostsOneKey) {
  Connection c(Library(), To(server_.port(), kOneWorker));
  c.Run(ToolRequest::Set({"a", "b", "c"}, {"1", "2", "3"}));
  for (const int64_t cut : {0, 3, 4, 7, 8, 9, 20, 32}) {
    Plan plan;
    plan.cut_after = cut;
    Plan1('G', plan, "b");
    const Result result = c.Run(ToolRequest::Get({"a", "b", "c"}, 1));
    EXPECT_EQ(result.status, (Status{kHit, kError, kHit})) << cut;
    EXPECT_NE(result.err_text.find("closed the connection"), std::string::npos) << result.err_text;
  }
}

TEST_F(InfiniStoreFault, APutThatWasCutIsNeverAskedForAndHealed) {
  Connection c(Library(), To(server_.port(), kOneWorker));
  Plan cut;
  cut.cut_value_after = 100;
  Plan1('P', cut, "k");
  const Result set = c.Run(ToolRequest::Set({"k"}, {std::string(1000, 'v')}));
  EXPECT_EQ(set.status, Status{kError});
  EXPECT_TRUE(server_.Has("k")) << "as on the real server: the key exists and kills who asks";
  server_.Release();
  // The next batch heals it first: a put of one byte and a delete.
  EXPECT_EQ(c.Run(ToolRequest::Get({"k"}, 1000)).status, Status{kMiss});
  EXPECT_FALSE(server_.Has("k"));
  EXPECT_EQ(Stat(c, "healed_total"), 1u);
  EXPECT_EQ(Stat(c, "cut_puts_total"), 1u);
}

TEST_F(InfiniStoreFault, APutThatWasCutIsAMissAsLongAsItCannotBeHealed) {
  Connection c(Library(), To(server_.port(), kOneWorker));
  Plan cut;
  cut.cut_value_after = 100;
  server_.SetPlan([=](const Request &r) { return r.op == 'P' ? cut : Plan(); });
  c.Run(ToolRequest::Set({"k"}, {std::string(1000, 'v')}));
  c.Run(ToolRequest::Exists({"x"}));
  EXPECT_EQ(c.Run(ToolRequest::Exists({"k"})).status[0] == kHit, false);
  EXPECT_NE(c.Run(ToolRequest::Get({"k"}, 1000)).status, Status{kHit});
  for (const Request &r : server_.log()) EXPECT_FALSE(r.key == "k" && (r.op == 'G' || r.op == 'X')) << r.op;
  server_.Release();
  EXPECT_TRUE(Eventually([&] { return c.Run(ToolRequest::Set({"k"}, {"v"})).status == Status{kHit}; })) << "storing it again heals it as well";
  EXPECT_EQ(c.Run(ToolRequest::Get({"k"}, 1)).values[0], "v");
}

TEST_F(InfiniStoreFault, StrangeAnswersFailTheirKeyOnly) {
  Connection c(Library(), To(server_.port(), kOneWorker));
  c.Run(ToolRequest::Set({"a", "c"}, {"1", "3"}));
  const auto answer = [&](char op, const std::string &bytes) {
    Plan plan;
    plan.raw = true;
    plan.answer = bytes;
    Plan1(op, plan, "b");
  };
  for (const std::string &bytes : {Int(500), Int(0), Int(200) + Int(-1), Int(404) + "trailing", std::string("garbage and more of it")}) {
    answer('G', bytes);
    EXPECT_EQ(c.Run(ToolRequest::Get({"a", "b", "c"}, 1)).status, (Status{kHit, kError, kHit})) << bytes;
  }
  answer('C', Int(200) + Int(7));
  EXPECT_EQ(c.Run(ToolRequest::Exists({"a", "b", "c"})).status, (Status{kHit, kError, kHit}));
  answer('X', Int(503));
  EXPECT_EQ(c.Run(ToolRequest::Delete({"a", "b", "c"})).status, (Status{kHit, kError, kHit}));
  answer('P', Int(500));
  EXPECT_EQ(c.Run(ToolRequest::Set({"a", "b", "c"}, {"1", "2", "3"})).status, (Status{kHit, kError, kHit}));
}

TEST_F(InfiniStoreFault, AServerThatAcceptsAndIsSilentIsNotOpened) {
  Plan hold;
  hold.hold = true;
  server_.SetPlan([=](const Request &) { return hold; }, true);
  Connection c(Library(), To(server_.port(), R"(,"connect_timeout_ms":100)"));
  EXPECT_FALSE(c.ok());
  EXPECT_EQ(c.open_rc(), SIXCALL_E_CONNECT) << c.open_error();
  EXPECT_NE(c.open_error().find("no answer within 100 ms"), std::string::npos) << c.open_error();
  Connection lazy(Library(), To(server_.port(), R"(,"connect_timeout_ms":100,"lazy":true,"workers":4)"));
  ASSERT_TRUE(lazy.ok());
  EXPECT_EQ(lazy.Run(ToolRequest::Get({"a", "b"}, 1)).rc, SIXCALL_E_CONNECT);
  EXPECT_EQ(lazy.Run(ToolRequest::Get({"a", "b"}, 1)).rc, SIXCALL_E_CONNECT);
  EXPECT_LE(server_.connections(), 8) << "not one more for each attempt";
  server_.Release();
  EXPECT_TRUE(Eventually([&] { return lazy.Run(ToolRequest::Set({"a"}, {"1"})).status == Status{kHit}; }));
}

TEST_F(InfiniStoreFault, AnotherKindOfServerIsNotOpened) {
  Plan other;
  other.raw = true;
  other.answer = "-ERR unknown command\r\n";
  server_.SetPlan([=](const Request &) { return other; }, true);
  Connection c(Library(), To(server_.port()));
  EXPECT_EQ(c.open_rc(), SIXCALL_E_CONNECT);
}

TEST(InfiniStoreServer, GoneAndBackAgain) {
  auto server = std::make_unique<FakeServer>();
  const int port = server->port();
  Connection c(Library(), To(port, kOneWorker));
  EXPECT_EQ(c.Run(ToolRequest::Set({"k"}, {"v"})).status, Status{kHit});
  server.reset();
  const Result result = c.Run(ToolRequest::Get({"k"}, 1));
  EXPECT_EQ(result.status, Status{kError});
  EXPECT_NE(result.err_text.find("is the server running?"), std::string::npos) << result.err_text;
  {
    Connection refused(Library(), To(port));
    EXPECT_EQ(refused.open_rc(), SIXCALL_E_CONNECT);
  }
  server = std::make_unique<FakeServer>(port);
  EXPECT_TRUE(Eventually([&] { return c.Run(ToolRequest::Get({"k"}, 1)).status == Status{kMiss}; }));
  EXPECT_EQ(c.Run(ToolRequest::Set({"k"}, {"v"})).status, Status{kHit});
  EXPECT_EQ(server->hazards(), std::vector<std::string>());
}

}  // namespace
}  // namespace infinistore_test
