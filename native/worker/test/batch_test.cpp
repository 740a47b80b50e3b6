// SPDX-License-Identifier: Apache-2.0
// The data path: rings, wake-ups, completions, back-pressure.
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <set>
#include <thread>

#include "mini_host.h"

namespace worker_test {
namespace {

bool Filled(const uint8_t* bytes, uint64_t len, uint8_t want) {
  for (uint64_t i = 0; i < len; i++) {
    if (bytes[i] != want) return false;
  }
  return true;
}

struct Flavour {
  const char* name;
  std::string library;
  uint32_t spin_ns;
};

class Batches : public testing::TestWithParam<Flavour> {
 protected:
  MiniHost& Connect(const std::string& config = "{}") {
    HostOptions options;
    options.spin_ns = GetParam().spin_ns;
    host_ = std::make_unique<MiniHost>(options);
    host_->Connect(GetParam().library, config);
    return *host_;
  }
  std::unique_ptr<MiniHost> host_;
};

INSTANTIATE_TEST_SUITE_P(Libraries, Batches,
                         testing::Values(Flavour{"Mem", MemLibrary(), 0}, Flavour{"MemSpin", MemLibrary(), 100000}, Flavour{"Faulty", FaultyLibrary(), 0},
                                         Flavour{"Serial", FaultyLibrary("serial"), 0}),
                         [](const auto& one) { return one.param.name; });

TEST_P(Batches, ValuesGoThereAndBack) {
  MiniHost& host = Connect();
  const std::vector<KeyValue> keys = {{"a", 1}, {"b", 100}, {"c", 4096}, {"d", 70000}, {"e", 1 << 20}};
  Batch batch;
  auto done = host.Run(&batch, SIXCALL_OP_EXISTS, keys);
  EXPECT_EQ(batch.Statuses(), "00000");
  EXPECT_EQ(done.ticket, batch.ticket);
  EXPECT_EQ(done.op, SIXCALL_OP_EXISTS);
  done = host.Run(&batch, SIXCALL_OP_SET, keys, 0x5C);
  EXPECT_EQ(batch.Statuses(), "11111");
  EXPECT_EQ(done.n_ok, 5u);
  EXPECT_EQ(done.rc, 0);
  host.Run(&batch, SIXCALL_OP_EXISTS, {{"c", 0}, {"x", 0}, {"e", 0}});
  EXPECT_EQ(batch.Statuses(), "101");
  EXPECT_EQ(batch.lens[0], 4096u);
  EXPECT_EQ(batch.lens[2], uint64_t{1} << 20);
  done = host.Run(&batch, SIXCALL_OP_GET, {{"a", 1}, {"b", 100}, {"x", 5}, {"c", 4095}, {"d", 70000}, {"e", 1 << 20}}, 0x11);
  EXPECT_EQ(batch.Statuses(), "110311");
  EXPECT_EQ(done.n_ok, 4u);
  EXPECT_TRUE(Filled(batch.bufs[0], 1, 0x5C) && Filled(batch.bufs[1], 100, 0x5C) && Filled(batch.bufs[4], 70000, 0x5C) && Filled(batch.bufs[5], 1 << 20, 0x5C));
  EXPECT_TRUE(Filled(batch.bufs[2], 5, 0x11)) << "a miss leaves the buffer";
  host.Run(&batch, SIXCALL_OP_DELETE, {{"a", 0}, {"x", 0}});
  EXPECT_EQ(batch.Statuses(), "10");
  host.Run(&batch, SIXCALL_OP_EXISTS, {{"a", 0}, {"b", 0}});
  EXPECT_EQ(batch.Statuses(), "01");
  EXPECT_EQ(host.Run(&batch, SIXCALL_OP_PING, {}).rc, 0);
}

TEST_P(Batches, ManyInFlightCompleteOnceEach) {
  MiniHost& host = Connect();
  std::mt19937 random(7);
  std::set<uint64_t> out;
  uint64_t completed = 0, submitted = 0;
  const uint64_t most = kSanitized ? 5000 : 40000;
  while (completed < most) {
    const uint64_t depth = 1 + random() % 64;
    while (out.size() < depth && submitted < most) {
      const Batch batch = host.Submit(submitted % 3 == 0 ? SIXCALL_OP_SET : SIXCALL_OP_EXISTS, {{"key" + std::to_string(random() % 50), 8}});
      out.insert(batch.ticket);
      submitted++;
    }
    const uint64_t leave = random() % (out.size() + 1);
    while (out.size() > leave || (submitted == most && !out.empty())) {
      const auto done = host.WaitForCompletion();
      ASSERT_EQ(done.rc, 0);
      ASSERT_EQ(out.erase(done.ticket), 1u) << "ticket " << done.ticket << " was not out";
      completed++;
    }
    if (out.empty()) host.ResetArena();
  }
  EXPECT_FALSE(host.CompletionReady());
  // Some wake-ups were saved, or the flag of the pump does nothing.
  EXPECT_LT(host.wakes(), submitted);
}

// One batch at a time, with pauses that let both sides fall asleep: a wake-up that
// is lost in the race between "about to sleep" and "published" shows as a hang.
TEST_P(Batches, NoWakeUpIsLost) {
  MiniHost& host = Connect();
  std::mt19937 random(11);
  for (int i = 0; i < (kSanitized ? 1000 : 10000); i++) {
    const Batch batch = host.Submit(SIXCALL_OP_EXISTS, {{"a", 0}});
    for (volatile uint32_t spin = random() % 3000; spin > 0; spin = spin - 1) {
    }
    ASSERT_EQ(host.WaitForCompletion().ticket, batch.ticket);
    for (volatile uint32_t spin = random() % 3000; spin > 0; spin = spin - 1) {
    }
    host.ResetArena();
  }
}

TEST(BackPressure, AFullLibraryGetsItsBatchesLater) {
  MiniHost host;
  host.Connect(FaultyLibrary(), R"({"x-queue":2})");
  std::set<uint64_t> out;
  std::vector<Batch> batches;
  for (int i = 0; i < 64; i++) {
    batches.push_back(host.Submit(SIXCALL_OP_SET, {{"k" + std::to_string(i), 10}}));
    out.insert(batches.back().ticket);
  }
  while (!out.empty()) {
    const auto done = host.WaitForCompletion();
    EXPECT_EQ(done.rc, 0);
    ASSERT_EQ(out.erase(done.ticket), 1u);
  }
  for (const Batch& batch : batches) EXPECT_EQ(batch.Statuses(), "1");
}

TEST(BackPressure, OrderIsKept) {
  MiniHost host;
  host.Connect(FaultyLibrary(), R"({"x-queue":1})");
  std::vector<uint64_t> submitted, completed;
  for (int i = 0; i < 32; i++) submitted.push_back(host.Submit(SIXCALL_OP_EXISTS, {{"a", 0}}).ticket);
  for (int i = 0; i < 32; i++) completed.push_back(host.WaitForCompletion().ticket);
  EXPECT_EQ(completed, submitted) << "this library completes in the order of its submits";
}

TEST(BackPressure, AHeldBatchCanBeCancelled) {
  MiniHost host;
  host.Connect(FaultyLibrary(), R"({"x-behaviour":"again"})");
  const Batch first = host.Submit(SIXCALL_OP_SET, {{"a", 1}, {"b", 1}});
  const Batch second = host.Submit(SIXCALL_OP_SET, {{"c", 1}});
  host.Cancel(second.ticket);
  auto done = host.WaitForCompletion();
  EXPECT_EQ(done.ticket, second.ticket);
  EXPECT_EQ(done.rc, SIXCALL_E_CANCELLED);
  EXPECT_EQ(second.Statuses(), "4");
  host.Cancel(first.ticket);
  done = host.WaitForCompletion();
  EXPECT_EQ(done.ticket, first.ticket);
  EXPECT_EQ(first.Statuses(), "44");
  EXPECT_NE(host.Close().As<wire::Done>(), nullptr);
}

TEST(BackPressure, ALibraryWithNothingInFlightIsAskedAgain) {
  MiniHost host;
  host.Connect(FaultyLibrary(), R"({"x-behaviour":"again"})");
  const Batch batch = host.Submit(SIXCALL_OP_SET, {{"a", 1}});
  while (host.Ping().As<wire::Pong>()->calls() < 5) std::this_thread::yield();
  EXPECT_FALSE(host.CompletionReady());
  EXPECT_EQ(batch.Statuses(), "u");
}

TEST(BackPressure, AFullCompletionRingLosesNothing) {
  HostOptions options;
  options.sq_entries = 2;
  options.cq_entries = 4;
  MiniHost host(options);
  host.Connect(FaultyLibrary(), R"({"x-behaviour":"double"})");
  std::multiset<uint64_t> want, got;
  for (int i = 0; i < 40; i++) {
    const Batch batch = host.Submit(SIXCALL_OP_EXISTS, {{"a", 0}});
    want.insert(batch.ticket), want.insert(batch.ticket);
    // The pump is stuck with a full ring from time to time, and must come back.
    if (i % 5 == 4) {
      while (got.size() < want.size()) got.insert(host.WaitForCompletion().ticket);
    }
  }
  EXPECT_EQ(got, want);
  EXPECT_FALSE(host.CompletionReady());
}

TEST(Cancel, ReachesTheLibrary) {
  MiniHost host;
  host.Connect(FaultyLibrary(), R"({"x-hold":1})");
  const Batch batch = host.Submit(SIXCALL_OP_GET, {{"a", 1}, {"b", 1}});
  host.Cancel(12345);  // no such ticket: nothing happens
  host.Cancel(batch.ticket);
  const auto done = host.WaitForCompletion();
  EXPECT_EQ(done.ticket, batch.ticket);
  EXPECT_EQ(done.rc, SIXCALL_E_CANCELLED);
  EXPECT_EQ(batch.Statuses(), "44");
}

TEST(Refusals, BecomeCompletions) {
  MiniHost host;
  host.Connect(FaultyLibrary(), R"({"x-behaviour":"refuse"})");
  Batch batch;
  const auto done = host.Run(&batch, SIXCALL_OP_SET, {{"a", 1}, {"b", 1}});
  EXPECT_EQ(done.rc, SIXCALL_E_IO);
  EXPECT_EQ(done.op, SIXCALL_OP_SET);
  EXPECT_EQ(done.n_ok, 0u);
  EXPECT_EQ(batch.Statuses(), "22");
}

TEST(Refusals, AnUnknownOperationIsOne) {
  MiniHost host;
  host.Connect(FaultyLibrary());
  for (const uint32_t op : {0u, SIXCALL_OP_LIST, 7u, 8u, 0xFFFFFFFFu}) {
    sixcall_submission s = {};
    s.ticket = uint64_t{1000} + op;
    s.op = op;
    host.SubmitRaw(s);
    const auto done = host.WaitForCompletion();
    EXPECT_EQ(done.ticket, uint64_t{1000} + op);
    EXPECT_EQ(done.rc, SIXCALL_E_UNSUPPORTED);
  }
  sixcall_submission empty = {};
  empty.ticket = 5;
  empty.op = SIXCALL_OP_GET;
  host.SubmitRaw(empty);
  EXPECT_EQ(host.WaitForCompletion().rc, SIXCALL_E_INVAL) << "no keys: the library's own answer";
}

TEST(Forwarding, WhatTheLibraryCompletesIsNotChanged) {
  MiniHost host;
  host.Connect(FaultyLibrary(), R"({"x-behaviour":"unknown"})");
  const Batch batch = host.Submit(SIXCALL_OP_EXISTS, {{"a", 0}});
  EXPECT_EQ(host.WaitForCompletion().ticket, batch.ticket);
  EXPECT_EQ(host.WaitForCompletion().ticket, 0x123456789u);
  MiniHost unset;
  unset.Connect(FaultyLibrary(), R"({"x-behaviour":"unset"})");
  Batch left;
  unset.Run(&left, SIXCALL_OP_EXISTS, {{"a", 0}, {"b", 0}});
  EXPECT_EQ(left.Statuses(), "uu");
}

TEST(Forwarding, ADrainThatBreaksTheContractEndsTheWorker) {
  const struct {
    const char* config;
    const char* want;
  } cases[] = {
      {R"({"x-fault":"fail_in_drain"})", "returned -12"},
      {R"({"x-behaviour":"too_many"})", "returned 257, but was given room for 256"},
      {R"({"x-behaviour":"overrun"})", "wrote past the 256 records that it was given"},
  };
  for (const auto& one : cases) {
    MiniHost host;
    host.Connect(FaultyLibrary(), one.config);
    host.Submit(SIXCALL_OP_EXISTS, {{"a", 0}});
    EXPECT_EQ(host.process().End(), "exit 5");
    EXPECT_NE(host.process().Output().find("drain_completions of \"" + FaultyLibrary() + "\" " + one.want), std::string::npos) << host.process().Output();
  }
}

}  // namespace
}  // namespace worker_test
