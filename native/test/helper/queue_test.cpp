// SPDX-License-Identifier: Apache-2.0
//
// Submissions, completions and the event fd of connector.hpp.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <thread>

#include "../harness/basics.h"
#include "../harness/shared_host.h"
#include "../harness/threads.h"
#include "scripted.h"

namespace sixcall_test {
namespace {

using Status = std::vector<uint8_t>;

class Queue : public HelperTest {};

TEST_F(Queue, PassesTheBasicRun) {
  for (const char *config : {"{}", R"({"workers":4,"lookup_workers":2})"}) {
    script->values.clear();
    Connection connection(Api(), WithConfig(config));
    ASSERT_TRUE(connection.ok()) << connection.open_error();
    RunBasics(connection);
    EXPECT_EQ(connection.Close(), SIXCALL_OK);
  }
}

TEST_F(Queue, CompletesEveryTicketOnceUnderMixedLoad) {
  Connection connection(Api(), WithConfig(R"({"workers":3,"max_inflight":64})"));
  std::mt19937 random(20260901);
  size_t accepted = 0, again = 0;
  for (int i = 0; i < 1500; ++i) {
    const size_t n = 1 + random() % 7;
    std::vector<std::string> keys;
    for (size_t k = 0; k < n; ++k) keys.push_back("k" + std::to_string(random() % 40));
    Request request;
    switch (random() % 4) {
      case 0:
        request = Request::Get(keys, 8);
        request.value_lens = true;
        break;
      case 1:
        request = Request::Set(keys, std::vector<std::string>(n, "12345678"));
        break;
      case 2:
        request = Request::Exists(keys);
        break;
      default:
        request = Request::Delete(keys);
    }
    request.edge = random() % 2 == 0 ? Edge::kEnd : Edge::kStart;
    const int32_t rc = connection.TrySubmit(request);
    ASSERT_TRUE(rc == SIXCALL_OK || rc == SIXCALL_E_AGAIN) << rc;
    (rc == SIXCALL_OK ? accepted : again)++;
    if (random() % 3 == 0 && connection.Readable(0)) connection.Drain(1 + random() % 8);
    if (rc == SIXCALL_E_AGAIN) connection.WaitForAll();
  }
  connection.WaitForAll();
  EXPECT_GT(accepted, 1000u);
  EXPECT_FALSE(connection.Readable(100)) << "silent when idle";
}

// Submitters race each other and the drainer with batches that take no time, so
// that every order of publish, signal, clear and take happens.
void RaceTinyBatches(const sixcall_api *api, const std::string &config, uint32_t drain_cap, int batches) {
  constexpr int kThreads = 3;
  constexpr size_t kDepth = 8;
  std::atomic<uint64_t> misses{0};
  SharedHost host(api, config, drain_cap);
  std::vector<std::thread> submitters;
  for (int t = 0; t < kThreads; ++t) {
    submitters.emplace_back([&, t] {
      const std::string key = "absent";
      std::vector<std::unique_ptr<SharedHost::Call>> calls;
      for (size_t i = 0; i < kDepth; ++i) {
        calls.push_back(std::make_unique<SharedHost::Call>(1));
        calls.back()->SetKey(0, key);
      }
      std::minstd_rand random(static_cast<unsigned>(t) + 1);
      for (int i = 0; i < batches / kThreads; ++i) {
        // Often fewer than kDepth in flight, so that the queue runs empty.
        SharedHost::Call &call = *calls[random() % 4 == 0 ? 0 : static_cast<size_t>(i) % kDepth];
        SharedHost::Wait(call);
        host.Start(random() % 2 == 0 ? SIXCALL_OP_EXISTS : SIXCALL_OP_DELETE, call);
        if (random() % 16 == 0) std::this_thread::yield();
      }
      for (auto &call : calls) {
        SharedHost::Wait(*call);
        if (call->status[0] == SIXCALL_STATUS_MISS && call->rc == SIXCALL_OK) ++misses;
      }
    });
  }
  for (std::thread &thread : submitters) thread.join();
  EXPECT_EQ(host.completions(), static_cast<uint64_t>(batches / kThreads * kThreads));
  EXPECT_EQ(misses.load(), kThreads * kDepth) << "every last batch of a call has a status";
}

TEST_F(Queue, LosesNoWakeUp) { RaceTinyBatches(Api(), R"({"workers":2,"max_inflight":256})", 64, 150000); }

TEST_F(Queue, LosesNoWakeUpWhenDrainingOneByOne) { RaceTinyBatches(Api(), R"({"workers":2})", 1, 30000); }

TEST_F(Queue, LosesNoWakeUpWhenTheQueueIsOftenFull) {
  RaceTinyBatches(Api(), R"({"workers":1,"max_inflight":2})", 3, 20000);
}

TEST_F(Queue, StaysReadableUntilTheLastRecord) {
  Gate gate;
  script->before_key = [&](uint32_t, std::string_view key) {
    if (key == "last") gate.Pass();
  };
  Connection connection(Api());
  for (int i = 0; i < 5; ++i) connection.Submit(Request::Exists({"k"}));
  connection.Submit(Request::Exists({"last"}));
  // There is one lookup worker: when it is at the last batch, the five before
  // are published and signalled.
  ASSERT_TRUE(Eventually([&] { return gate.waiting() == 1; }));
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(connection.Readable(0)) << "record " << i;
    EXPECT_EQ(connection.Drain(1), 1u) << "record " << i;
  }
  EXPECT_FALSE(connection.Readable(50)) << "nothing is left";
  gate.Open();
  connection.WaitForAll();
}

TEST_F(Queue, IsSilentWhenIdle) {
  Connection connection(Api());
  EXPECT_FALSE(connection.Readable(50)) << "after open";
  EXPECT_EQ(connection.Drain(8), 0u);
  for (int i = 0; i < 20; ++i) connection.Run(Request::Set({"k"}, {"v"}));
  // One spurious wake-up per completion is allowed; a drain ends it.
  int spurious = 0;
  while (connection.Readable(50) && spurious <= 20) spurious += connection.Drain(8) == 0;
  EXPECT_LE(spurious, 20);
  EXPECT_FALSE(connection.Readable(100));
}

TEST_F(Queue, EventFdIsAsTheContractSays) {
  Connection connection(Api());
  EXPECT_EQ(connection.api().event_fd(connection.handle()), connection.fd()) << "the same until close";
  EXPECT_NE(fcntl(connection.fd(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_NE(fcntl(connection.fd(), F_GETFL) & O_NONBLOCK, 0);
}

TEST_F(Queue, RefusesWithAgainAtMaxInflight) {
  Gate gate;
  script->before_key = [&](uint32_t, std::string_view) { gate.Pass(); };
  Connection connection(Api(), WithConfig(R"({"max_inflight":4})"));
  for (int i = 0; i < 4; ++i) connection.Submit(Request::Get({"k"}, 1));
  EXPECT_EQ(connection.TrySubmit(Request::Get({"k"}, 1)), SIXCALL_E_AGAIN);
  EXPECT_EQ(connection.TrySubmit(Request::Exists({"k"})), SIXCALL_E_AGAIN) << "of any operation";
  gate.Open();
  ASSERT_TRUE(connection.Readable(30000));
  uint32_t drained = 0;
  while (drained == 0) drained = connection.Drain(1);
  EXPECT_EQ(connection.TrySubmit(Request::Get({"k"}, 1)), SIXCALL_OK) << "after a completion";
  connection.WaitForAll();
}

TEST_F(Queue, NeverAcceptsMoreThanItsCompletionQueueHolds) {
  Connection connection(Api(), WithConfig(R"({"max_inflight":3})"));
  // Not drained, so what is done still counts.
  for (int i = 0; i < 3; ++i) connection.Submit(Request::Exists({"k"}));
  ASSERT_TRUE(connection.Readable(30000));
  EXPECT_EQ(connection.TrySubmit(Request::Exists({"k"})), SIXCALL_E_AGAIN);
  connection.WaitForAll();
}

TEST_F(Queue, TakesAnyTicket) {
  Connection connection(Api());
  for (int round = 0; round < 2; ++round) {  // and again after it was drained
    for (const uint64_t ticket : {UINT64_C(0), UINT64_C(1), UINT64_C(1) << 63, UINT64_MAX}) {
      Request request = Request::Set({"k"}, {"v"});
      request.ticket = ticket;
      connection.Submit(request);
    }
    connection.WaitForAll();
    for (const uint64_t ticket : {UINT64_C(0), UINT64_C(1), UINT64_C(1) << 63, UINT64_MAX}) {
      ASSERT_TRUE(connection.Finished(ticket));
      EXPECT_EQ(connection.Wait(ticket).status, (Status{SIXCALL_STATUS_HIT}));
    }
  }
}

TEST_F(Queue, TakesWideStridesAndLongerStructs) {
  OpenOptions options = WithConfig("{}");
  options.completion_stride = sizeof(sixcall_completion) + 16;
  Connection connection(Api(), options);
  Request set = Request::Set(Keys(20), std::vector<std::string>(20, "value"));
  set.item_stride = sizeof(sixcall_item) + 8;
  set.batch_tail = 64;
  EXPECT_EQ(connection.Run(set).status, Status(20, SIXCALL_STATUS_HIT));
  std::vector<uint64_t> tickets;
  for (int i = 0; i < 10; ++i) {
    Request get = Request::Get(Keys(20), 5);
    get.item_stride = sizeof(sixcall_item) + 8u * static_cast<uint32_t>(i);
    get.value_lens = true;
    tickets.push_back(connection.Submit(get));
  }
  for (const uint64_t ticket : tickets) {
    const Result result = connection.Wait(ticket);
    EXPECT_EQ(result.values, std::vector<std::string>(20, "value"));
    EXPECT_EQ(result.value_lens, std::vector<uint64_t>(20, 5));
  }
}

TEST_F(Queue, FillsValueLens) {
  Connection connection(Api());
  connection.Run(Request::Set({"a", "b"}, {"1", "22"}));
  Request exists = Request::Exists({"b", "absent", "a"});
  exists.value_lens = true;
  EXPECT_EQ(connection.Run(exists).value_lens, (std::vector<uint64_t>{2, SIXCALL_LEN_UNKNOWN, 1}));
  Request get = Request::Get({"a", "b", "absent"}, 1);
  get.value_lens = true;
  const Result result = connection.Run(get);
  EXPECT_EQ(result.status, (Status{SIXCALL_STATUS_HIT, SIXCALL_STATUS_SIZE, SIXCALL_STATUS_MISS}));
  EXPECT_EQ(result.value_lens, (std::vector<uint64_t>{1, 2, SIXCALL_LEN_UNKNOWN}));
}

TEST_F(Queue, ASetIsSeenByWhatIsSubmittedAfterItsCompletion) {
  Connection connection(Api(), WithConfig(R"({"workers":4})"));
  for (int i = 0; i < 200; ++i) {
    const std::string key = "k" + std::to_string(i);
    connection.Run(Request::Set({key}, {"v"}));
    EXPECT_EQ(connection.Run(Request::Exists({key})).n_ok, 1u);
    EXPECT_EQ(connection.Run(Request::Get({key}, 1)).n_ok, 1u);
  }
}

// ---- refusals: nothing read later, nothing written, no completion

class Refusal : public HelperTest {
 protected:
  Refusal() {
    script->start = [](const sixcall::Config &, sixcall::Options &options) {
      options.max_batch = 8;
      options.max_key_len = 10;
      options.max_value_len = 100;
      options.buf_align = 64;
    };
  }

  // Submits a batch that a test has spoiled, straight through the table. The
  // memory is gone when this returns, so a later access is a fault.
  static int32_t SubmitSpoiled(Connection &connection, uint32_t op, const std::function<void(sixcall_batch &, sixcall_item &)> &spoil) {
    GuardedMemory key(4, Edge::kEnd, "key of a refused batch");
    GuardedMemory buf(64, Edge::kEnd, "buf of a refused batch");
    GuardedMemory status(1, Edge::kEnd, "status of a refused batch");
    GuardedMemory item_memory(sizeof(sixcall_item), Edge::kEnd, "item of a refused batch");
    GuardedMemory batch_memory(sizeof(sixcall_batch), Edge::kEnd, "struct of a refused batch");
    status.data()[0] = SIXCALL_STATUS_UNSET;
    auto *item = new (item_memory.data()) sixcall_item{key.data(), 4, 0, buf.data(), 64};
    auto *batch = new (batch_memory.data()) sixcall_batch{};
    batch->struct_size = sizeof(*batch);
    batch->ticket = 77;
    batch->n = 1;
    batch->item_stride = sizeof(*item);
    batch->items = item;
    batch->status = status.data();
    spoil(*batch, *item);
    const auto submit = op == SIXCALL_OP_GET ? connection.api().submit_batch_get : connection.api().submit_batch_set;
    const int32_t rc = submit(connection.handle(), batch);
    EXPECT_EQ(status.data()[0], SIXCALL_STATUS_UNSET);
    return rc;
  }
};

TEST_F(Refusal, OfEveryBrokenBatch) {
  Connection connection(Api());
  const std::vector<std::pair<const char *, std::function<void(sixcall_batch &, sixcall_item &)>>> broken = {
      {"a struct_size below 1.0", [](auto &batch, auto &) { batch.struct_size = sizeof(sixcall_batch) - 8; }},
      {"a struct_size of 0", [](auto &batch, auto &) { batch.struct_size = 0; }},
      {"no keys", [](auto &batch, auto &) { batch.n = 0; }},
      {"more keys than max_batch", [](auto &batch, auto &) { batch.n = 9; }},
      {"UINT32_MAX keys", [](auto &batch, auto &) { batch.n = UINT32_MAX; }},
      {"items NULL", [](auto &batch, auto &) { batch.items = nullptr; }},
      {"status NULL", [](auto &batch, auto &) { batch.status = nullptr; }},
      {"a stride of 0", [](auto &batch, auto &) { batch.item_stride = 0; }},
      {"a stride below the item", [](auto &batch, auto &) { batch.item_stride = sizeof(sixcall_item) - 8; }},
      {"a stride that breaks alignment", [](auto &batch, auto &) { batch.item_stride = sizeof(sixcall_item) + 4; }},
      {"a key NULL", [](auto &, auto &item) { item.key = nullptr; }},
      {"a key of 0 bytes", [](auto &, auto &item) { item.key_len = 0; }},
      {"a key over max_key_len", [](auto &, auto &item) { item.key_len = 11; }},
      {"a key of UINT32_MAX bytes", [](auto &, auto &item) { item.key_len = UINT32_MAX; }},
      {"a buf NULL", [](auto &, auto &item) { item.buf = nullptr; }},
      {"a buf that is not aligned", [](auto &, auto &item) { item.buf = static_cast<uint8_t *>(item.buf) + 8; }},
      {"a value over max_value_len", [](auto &, auto &item) { item.len = 101; }},
      {"a value of UINT64_MAX bytes", [](auto &, auto &item) { item.len = UINT64_MAX; }},
      {"memory that is not registered", [](auto &batch, auto &) { batch.mem_handle = 5; }},
  };
  for (const auto &[what, spoil] : broken) {
    EXPECT_EQ(SubmitSpoiled(connection, SIXCALL_OP_GET, spoil), SIXCALL_E_INVAL) << "get with " << what;
    EXPECT_EQ(SubmitSpoiled(connection, SIXCALL_OP_SET, spoil), SIXCALL_E_INVAL) << "set with " << what;
  }
  EXPECT_EQ(connection.api().submit_batch_get(connection.handle(), nullptr), SIXCALL_E_INVAL);
  EXPECT_EQ(connection.api().submit_batch_get(nullptr, nullptr), SIXCALL_E_INVAL);

  EXPECT_FALSE(connection.Readable(50)) << "a refused batch has signalled the event fd";
  EXPECT_EQ(connection.Drain(8), 0u);
  EXPECT_TRUE(script->Tiles().empty()) << "a refused batch has run";
  connection.Run(Request::Exists(Keys(8)));  // and its places in the queue are free again
}

TEST_F(Refusal, LimitsSayWhatIsAccepted) {
  Connection connection(Api());
  sixcall_limits limits = {};
  limits.struct_size = sizeof(limits);
  ASSERT_EQ(connection.api().limits(connection.handle(), &limits), SIXCALL_OK);
  EXPECT_EQ(limits.max_batch, 8u);
  EXPECT_EQ(limits.max_key_len, 10u);
  EXPECT_EQ(limits.max_value_len, 100u);
  EXPECT_EQ(limits.buf_align, 64u);
  EXPECT_EQ(limits.max_inflight, 1024u);
  Request request = Request::Set(std::vector<std::string>(8, "0123456789"), std::vector<std::string>(8, std::string(64, 'v')));
  EXPECT_EQ(connection.Run(request).n_ok, 8u) << "exactly the limits";
  limits.struct_size = sizeof(limits) - 8;
  EXPECT_EQ(connection.api().limits(connection.handle(), &limits), SIXCALL_E_INVAL);
}

TEST_F(Refusal, OfABadDrain) {
  Connection connection(Api());
  sixcall_completion out;
  EXPECT_EQ(connection.api().drain_completions(connection.handle(), &out, 1, sizeof(out) - 8), SIXCALL_E_INVAL);
  EXPECT_EQ(connection.api().drain_completions(connection.handle(), nullptr, 1, sizeof(out)), SIXCALL_E_INVAL);
  EXPECT_EQ(connection.api().drain_completions(nullptr, &out, 1, sizeof(out)), SIXCALL_E_INVAL);
  connection.Submit(Request::Exists({"k"}));
  ASSERT_TRUE(connection.Readable(30000));
  EXPECT_EQ(connection.api().drain_completions(connection.handle(), nullptr, 0, 0), 0) << "no room is not an error";
  EXPECT_TRUE(connection.Readable(30000)) << "and leaves the fd as it was";
  connection.WaitForAll();
}

}  // namespace
}  // namespace sixcall_test
