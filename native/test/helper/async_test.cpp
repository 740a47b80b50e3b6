// SPDX-License-Identifier: Apache-2.0
//
// AsyncConnector of connector.hpp: a client that completes from threads of its
// own, in any order, and one that forgets.
#include <gtest/gtest.h>

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "../harness/basics.h"
#include "../harness/shared_host.h"
#include "../harness/threads.h"
#include "scripted.h"

namespace sixcall_test {
namespace {

using sixcall::AsyncBatch;
using sixcall::Error;
using Status = std::vector<uint8_t>;

constexpr uint8_t kMiss = SIXCALL_STATUS_MISS;
constexpr uint8_t kHit = SIXCALL_STATUS_HIT;
constexpr uint8_t kError = SIXCALL_STATUS_ERROR;

class AsyncScripted;

// What an AsyncScripted does; by default a map in memory whose keys are done one
// by one on the client's threads, in no order.
struct AsyncScript {
  // Returns true if it has taken care of the batch.
  std::function<bool(AsyncScripted &, const AsyncBatch &)> submit = [](auto &, auto &) { return false; };
  std::function<void(AsyncScripted &, uint64_t ticket)> cancel = [](auto &, uint64_t) {};
  std::function<void(AsyncScripted &)> cancel_all = [](auto &) {};
  std::atomic<int> alive{0};
  std::mutex mutex;  // guards values
  std::map<std::string, std::string> values;
};

// The client: a queue of single keys and two threads.
class AsyncScripted final : public sixcall::AsyncConnector {
 public:
  static std::shared_ptr<AsyncScript> &Current() {
    static std::shared_ptr<AsyncScript> script;
    return script;
  }

  AsyncScripted() : script_(Current()) { ++script_->alive; }
  ~AsyncScripted() override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    for (std::thread &thread : threads_) thread.join();
    --script_->alive;
  }

  void Start(const sixcall::Config &) override {
    for (int i = 0; i < 2; ++i) threads_.emplace_back([this] { Run(); });
  }
  void Submit(const AsyncBatch &batch) override {
    if (script_->submit(*this, batch)) return;
    for (size_t i = 0; i < std::max<size_t>(batch.size(), 1); ++i) Later([this, batch, i] { Do(batch, i); });
  }
  void Cancel(uint64_t ticket) override { script_->cancel(*this, ticket); }
  void CancelAll() override { script_->cancel_all(*this); }
  uint64_t RegisterMemory(const sixcall_memory &memory) override {
    if (memory.kind != SIXCALL_MEMORY_ANONYMOUS) throw Error(SIXCALL_E_UNSUPPORTED, "register_memory: only anonymous memory");
    return ++handles_;
  }
  void UnregisterMemory(uint64_t handle) override { unregistered_ = handle; }

  // Runs a job on one of the client's threads.
  void Later(std::function<void()> job) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (random_() % 2 == 0) {
        jobs_.push_back(std::move(job));
      } else {
        jobs_.push_front(std::move(job));
      }
    }
    changed_.notify_one();
  }

  void Do(const AsyncBatch &batch, size_t i) {
    if (batch.op() == SIXCALL_OP_PING) return Complete(batch.ticket(), 0, sixcall::Status::kHit);
    const std::string key(batch.key(i));
    const std::lock_guard<std::mutex> lock(script_->mutex);
    if (batch.op() == SIXCALL_OP_SET) {
      script_->values[key] = std::string(batch.value(i).begin(), batch.value(i).end());
      return Complete(batch.ticket(), i, sixcall::Status::kHit);
    }
    const auto found = script_->values.find(key);
    if (found == script_->values.end()) return Complete(batch.ticket(), i, sixcall::Status::kMiss);
    const std::string &value = found->second;
    if (batch.op() == SIXCALL_OP_GET) {
      if (value.size() != batch.buffer(i).size()) return Complete(batch.ticket(), i, {sixcall::Status::kSize, value.size()});
      std::copy(value.begin(), value.end(), batch.buffer(i).begin());
    }
    Complete(batch.ticket(), i, {sixcall::Status::kHit, value.size()});
  }

  uint64_t unregistered() const { return unregistered_; }

 private:
  void Run() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return stop_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      const auto job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
      lock.lock();
    }
  }

  const std::shared_ptr<AsyncScript> script_;
  std::mutex mutex_;  // guards the three below
  std::deque<std::function<void()>> jobs_;
  bool stop_ = false;
  std::minstd_rand random_;
  std::condition_variable changed_;
  std::vector<std::thread> threads_;
  std::atomic<uint64_t> handles_{0};
  std::atomic<uint64_t> unregistered_{0};
};

class Async : public testing::Test {
 protected:
  Async() : script(std::make_shared<AsyncScript>()) { AsyncScripted::Current() = script; }

  static const sixcall_api *Api() { return TableOf<AsyncScripted>(SIXCALL_CAP_PING | SIXCALL_CAP_DELETE); }

  // Lets a test report the keys of the next batches by hand.
  void Hold() {
    script->submit = [this](AsyncScripted &connector, const AsyncBatch &batch) {
      const std::lock_guard<std::mutex> lock(held_mutex);
      self = &connector;
      held.push_back(batch.ticket());
      return true;
    };
  }

  const std::shared_ptr<AsyncScript> script;
  std::mutex held_mutex;  // guards the two below while submits run
  AsyncScripted *self = nullptr;
  std::vector<uint64_t> held;  // the helper's tickets
};

TEST_F(Async, PassesTheBasicRun) {
  const auto threads = ListThreads();
  {
    Connection connection(Api());
    ASSERT_TRUE(connection.ok()) << connection.open_error();
    RunBasics(connection);
    EXPECT_EQ(connection.Run(Request::Ping()).rc, SIXCALL_OK);
    EXPECT_EQ(connection.Close(), SIXCALL_OK);
  }
  EXPECT_EQ(script->alive.load(), 0);
  EXPECT_TRUE(Eventually([&] { return NewThreads(threads).empty(); }));
}

TEST_F(Async, CompletesFromForeignThreadsInAnyOrder) {
  SharedHost host(Api(), R"({"max_inflight":32})");
  std::vector<std::thread> submitters;
  for (int t = 0; t < 3; ++t) {
    submitters.emplace_back([&, t] {
      const std::vector<std::string> keys = Keys(5, "t" + std::to_string(t) + "-");
      std::vector<std::unique_ptr<SharedHost::Call>> calls;
      for (int i = 0; i < 8; ++i) {
        calls.push_back(std::make_unique<SharedHost::Call>(5));
        for (uint32_t k = 0; k < 5; ++k) calls.back()->SetKey(k, keys[k]);
      }
      for (int i = 0; i < 3000; ++i) {
        SharedHost::Call &call = *calls[static_cast<size_t>(i) % calls.size()];
        SharedHost::Wait(call);
        if (i >= 8) {
          EXPECT_EQ(call.status, Status(5, kMiss));
        }
        host.Start(SIXCALL_OP_EXISTS, call);
      }
      for (auto &call : calls) SharedHost::Wait(*call);
    });
  }
  for (std::thread &submitter : submitters) submitter.join();
  EXPECT_EQ(host.completions(), 9000u);
}

TEST_F(Async, MayReportFromInsideSubmit) {
  script->submit = [](AsyncScripted &connector, const AsyncBatch &batch) {
    for (size_t i = 0; i < batch.size(); ++i) connector.Complete(batch.ticket(), i, sixcall::Status::kMiss);
    return true;
  };
  Connection connection(Api());
  for (int i = 0; i < 50; ++i) EXPECT_EQ(connection.Run(Request::Exists(Keys(4))).status, Status(4, kMiss));
}

TEST_F(Async, PublishesWhenTheLastKeyIsReported) {
  Hold();
  Connection connection(Api());
  const uint64_t ticket = connection.Submit(Request::Exists({"a", "b", "c"}));
  self->Complete(held[0], 2, sixcall::Status::kHit);
  self->Complete(held[0], 0, sixcall::Status::kMiss);
  EXPECT_FALSE(connection.Readable(20));
  self->Fail(held[0], 1, Error(SIXCALL_E_TIMEOUT, "b took too long", 9));
  const Result result = connection.Wait(ticket);
  EXPECT_EQ(result.rc, SIXCALL_OK) << "one key failed, not the batch";
  EXPECT_EQ(result.status, (Status{kMiss, SIXCALL_STATUS_TIMEOUT, kHit}));
  EXPECT_EQ(result.err_code, SIXCALL_E_TIMEOUT);
  EXPECT_EQ(result.err_text, "b took too long");
}

TEST_F(Async, FailRestEndsABatch) {
  Hold();
  Connection connection(Api());
  const uint64_t ticket = connection.Submit(Request::Exists({"a", "b", "c"}));
  self->Complete(held[0], 1, sixcall::Status::kHit);
  self->FailRest(held[0], Error(SIXCALL_E_CONNECT, "queue pair down"));
  const Result result = connection.Wait(ticket);
  EXPECT_EQ(result.rc, SIXCALL_E_CONNECT);
  EXPECT_EQ(result.status, (Status{kError, kHit, kError}));
  EXPECT_EQ(result.err_text, "queue pair down");
}

TEST_F(Async, IgnoresWrongReports) {
  Hold();
  Connection connection(Api());
  const uint64_t ticket = connection.Submit(Request::Exists({"a", "b"}));
  self->Complete(held[0], 2, sixcall::Status::kHit);                    // no such key
  self->Fail(held[0], SIZE_MAX, Error(SIXCALL_E_IO, "no such key"));    // not even close
  self->Complete(held[0] + 1, 0, sixcall::Status::kHit);                // no such ticket
  self->Complete(UINT64_MAX, 0, sixcall::Status::kHit);
  self->Complete(0, 0, sixcall::Status::kHit);
  self->Complete(held[0], 0, sixcall::Status::kHit);
  self->Fail(held[0], 0, Error(SIXCALL_E_IO, "a second report"));
  EXPECT_FALSE(connection.Readable(20));
  self->Complete(held[0], 1, sixcall::Status::kMiss);
  const Result result = connection.Wait(ticket);
  EXPECT_EQ(result.status, (Status{kHit, kMiss}));
  EXPECT_EQ(result.err_code, SIXCALL_OK) << result.err_text;

  // Late reports: the ticket has ended, its place serves another batch.
  const uint64_t second = connection.Submit(Request::Exists({"a", "b"}));
  self->Complete(held[0], 0, sixcall::Status::kHit);
  self->FailRest(held[0], Error(SIXCALL_E_IO, "late"));
  EXPECT_FALSE(connection.Readable(20));
  self->Complete(held[1], 0, sixcall::Status::kMiss);
  self->Complete(held[1], 1, sixcall::Status::kMiss);
  EXPECT_EQ(connection.Wait(second).status, (Status{kMiss, kMiss}));
}

TEST_F(Async, ThrowingBeforeAnyReportRefusesTheBatch) {
  script->submit = [](AsyncScripted &, const AsyncBatch &) -> bool { throw Error(SIXCALL_E_AGAIN, "send queue full"); };
  Connection connection(Api(), [] {
    OpenOptions options;
    options.config = R"({"max_inflight":2})";
    return options;
  }());
  for (int i = 0; i < 5; ++i) EXPECT_EQ(connection.TrySubmit(Request::Get({"a"}, 1)), SIXCALL_E_AGAIN);
  script->submit = [](AsyncScripted &, const AsyncBatch &) -> bool { throw 7; };
  EXPECT_EQ(connection.TrySubmit(Request::Get({"a"}, 1)), SIXCALL_E_INTERNAL);
  EXPECT_FALSE(connection.Readable(20));
  script->submit = [](auto &, auto &) { return false; };
  EXPECT_EQ(connection.Run(Request::Get({"a"}, 1)).status, Status{kMiss}) << "its place is free again";
}

TEST_F(Async, ThrowingAfterAReportFailsTheRest) {
  script->submit = [](AsyncScripted &connector, const AsyncBatch &batch) -> bool {
    connector.Complete(batch.ticket(), 1, sixcall::Status::kHit);
    throw Error(SIXCALL_E_IO, "ring broke");
  };
  Connection connection(Api());
  const Result result = connection.Run(Request::Exists({"a", "b", "c"}));
  EXPECT_EQ(result.rc, SIXCALL_E_IO);
  EXPECT_EQ(result.status, (Status{kError, kHit, kError}));
  EXPECT_EQ(result.err_text, "ring broke");
}

TEST_F(Async, ADeadlineInThePastEndsTheBatchAtOnce) {
  Hold();
  Connection connection(Api());
  Request request = Request::Get({"a"}, 1);
  request.deadline_ns = 1;
  const Result result = connection.Run(request);
  EXPECT_EQ(result.rc, SIXCALL_E_TIMEOUT);
  EXPECT_EQ(result.status, Status{SIXCALL_STATUS_TIMEOUT});
  EXPECT_TRUE(held.empty()) << "it never reached the client";
}

TEST_F(Async, PassesCancelOn) {
  Hold();
  script->cancel = [](AsyncScripted &connector, uint64_t ticket) {
    connector.FailRest(ticket, Error(SIXCALL_E_CANCELLED, "cancelled"));
  };
  Connection connection(Api());
  Request request = Request::Get({"a", "b"}, 1);
  request.ticket = UINT64_MAX;
  connection.Submit(request);
  EXPECT_EQ(connection.api().cancel(connection.handle(), 5), SIXCALL_E_INVAL);
  EXPECT_EQ(connection.api().cancel(connection.handle(), UINT64_MAX), SIXCALL_OK);
  const Result result = connection.Wait(UINT64_MAX);
  EXPECT_EQ(result.rc, SIXCALL_E_CANCELLED);
  EXPECT_EQ(result.status, Status(2, SIXCALL_STATUS_CANCELLED));
}

TEST_F(Async, APingThatFailsHasAnRc) {
  Hold();
  Connection connection(Api());
  const uint64_t ping = connection.Submit(Request::Ping());
  self->Fail(held[0], 0, Error(SIXCALL_E_CONNECT, "no route"));
  EXPECT_EQ(connection.Wait(ping).rc, SIXCALL_E_CONNECT);
  const uint64_t second = connection.Submit(Request::Ping());
  self->Complete(held[1], 0, sixcall::Status::kError);
  EXPECT_EQ(connection.Wait(second).rc, SIXCALL_E_IO);
}

TEST_F(Async, CloseWaitsForTheClient) {
  Hold();
  Connection connection(Api());
  for (int i = 0; i < 10; ++i) connection.Submit(Request::Exists(Keys(2)));
  std::thread client([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    for (const uint64_t ticket : held) {
      self->Complete(ticket, 0, sixcall::Status::kMiss);
      self->Complete(ticket, 1, sixcall::Status::kMiss);
    }
  });
  // The client's thread may still be in its last report, so the connector must
  // wait for that as well before it goes.
  EXPECT_EQ(connection.Close(60000), SIXCALL_OK);
  client.join();
  EXPECT_EQ(script->alive.load(), 0);
}

TEST_F(Async, CloseCancelsAfterItsGrace) {
  Hold();
  script->cancel_all = [this](AsyncScripted &connector) {
    for (const uint64_t ticket : held) connector.FailRest(ticket, Error(SIXCALL_E_CANCELLED, "closing"));
  };
  Connection connection(Api());
  for (int i = 0; i < 10; ++i) connection.Submit(Request::Get(Keys(3), 10));
  EXPECT_EQ(connection.Close(20), SIXCALL_OK);
  EXPECT_EQ(script->alive.load(), 0);
}

TEST_F(Async, AForgottenTicketMakesCloseSayBusy) {
  Hold();
  {
    Connection connection(Api());
    connection.Submit(Request::Get({"a", "b"}, 10));
    self->Complete(held[0], 0, sixcall::Status::kMiss);
    EXPECT_EQ(connection.Close(20), SIXCALL_E_BUSY);
  }
  // The host keeps the memory for ever, the connector keeps itself, and a report
  // that comes after all touches neither.
  EXPECT_EQ(script->alive.load(), 1);
  self->Complete(held[0], 1, sixcall::Status::kHit);
  self->FailRest(held[0], Error(SIXCALL_E_IO, "too late"));
  static AsyncScripted *kept = self;  // so that a leak checker knows that it is kept on purpose
  EXPECT_NE(kept, nullptr);
}

TEST_F(Async, RegisteredMemoryIsBusyWhileItIsUsed) {
  Hold();
  Connection connection(Api());
  std::vector<uint8_t> block(4096);
  sixcall_memory memory = {};
  memory.struct_size = sizeof(memory);
  memory.kind = SIXCALL_MEMORY_ANONYMOUS;
  memory.base = block.data();
  memory.len = block.size();
  memory.fd = -1;
  sixcall_err err = {};
  err.struct_size = sizeof(err);
  uint64_t handle = 0;
  const sixcall_api &api = connection.api();
  ASSERT_EQ(api.register_memory(connection.handle(), &memory, &handle, &err), SIXCALL_OK) << err.msg;
  EXPECT_GT(handle, 0u);

  Request request = Request::Get({"a"}, 8);
  request.mem_handle = handle;
  const uint64_t ticket = connection.Submit(request);
  EXPECT_EQ(api.unregister_memory(connection.handle(), handle), SIXCALL_E_BUSY);
  self->Complete(held[0], 0, sixcall::Status::kMiss);
  connection.Wait(ticket);
  EXPECT_EQ(api.unregister_memory(connection.handle(), handle), SIXCALL_OK);
  EXPECT_EQ(self->unregistered(), handle);
  EXPECT_EQ(api.unregister_memory(connection.handle(), handle), SIXCALL_E_INVAL) << "gone";
  EXPECT_EQ(connection.TrySubmit(request), SIXCALL_E_INVAL) << "gone";

  memory.kind = SIXCALL_MEMORY_FD;
  EXPECT_EQ(api.register_memory(connection.handle(), &memory, &handle, &err), SIXCALL_E_UNSUPPORTED);
  EXPECT_STREQ(err.msg, "register_memory: only anonymous memory");
  memory.len = 0;
  EXPECT_EQ(api.register_memory(connection.handle(), &memory, &handle, &err), SIXCALL_E_INVAL);
}

}  // namespace
}  // namespace sixcall_test
