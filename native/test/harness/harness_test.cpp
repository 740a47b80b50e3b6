// SPDX-License-Identifier: Apache-2.0
//
// The harness must notice what it is there for: each test runs a connector that
// breaks one rule.
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstring>
#include <deque>
#include <functional>

#include "connection.h"
#include "sixcall/connector.h"

namespace sixcall_test {
namespace {

// A connector that does every batch inside its submit, and whatever `work` says.
struct Scripted {
  std::function<int32_t(const sixcall_batch &, sixcall_completion &)> work;
  std::function<void()> on_drain = [] {};
  std::deque<sixcall_completion> done;
  int fd = -1;
};

Scripted script;

int32_t Open(const sixcall_host *, const sixcall_open_args *, sixcall_conn **out, sixcall_err *) {
  script.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  *out = reinterpret_cast<sixcall_conn *>(&script);
  return SIXCALL_OK;
}

int32_t EventFd(sixcall_conn *) { return script.fd; }

int32_t Submit(const sixcall_batch *batch, uint32_t op) {
  sixcall_completion completion = {};
  completion.ticket = batch->ticket;
  completion.op = op;
  const int32_t rc = script.work(*batch, completion);
  if (rc != SIXCALL_OK) return rc;
  script.done.push_back(completion);
  EXPECT_EQ(eventfd_write(script.fd, 1), 0);
  return SIXCALL_OK;
}

int32_t Get(sixcall_conn *, const sixcall_batch *batch) { return Submit(batch, SIXCALL_OP_GET); }
int32_t Set(sixcall_conn *, const sixcall_batch *batch) { return Submit(batch, SIXCALL_OP_SET); }
int32_t Exists(sixcall_conn *, const sixcall_batch *batch) { return Submit(batch, SIXCALL_OP_EXISTS); }

int32_t Drain(sixcall_conn *, sixcall_completion *out, uint32_t cap, uint32_t stride) {
  eventfd_t value;
  static_cast<void>(eventfd_read(script.fd, &value));
  uint32_t n = 0;
  for (; n < cap && !script.done.empty(); ++n, script.done.pop_front()) {
    std::memcpy(reinterpret_cast<uint8_t *>(out) + size_t{stride} * n, &script.done.front(), sizeof(*out));
  }
  script.on_drain();
  return static_cast<int32_t>(n);
}

int32_t Close(sixcall_conn *, uint32_t) {
  close(script.fd);
  script = Scripted();
  return SIXCALL_OK;
}

const sixcall_api *Api() {
  static const sixcall_api api = [] {
    sixcall_api a = {};
    a.struct_size = sizeof(a);
    a.abi_major = SIXCALL_ABI_MAJOR;
    a.name = "scripted";
    a.open = Open;
    a.event_fd = EventFd;
    a.submit_batch_get = Get;
    a.submit_batch_set = Set;
    a.submit_batch_exists = Exists;
    a.drain_completions = Drain;
    a.close = Close;
    return a;
  }();
  return &api;
}

const sixcall_item &Item(const sixcall_batch &batch, uint32_t i) {
  return *reinterpret_cast<const sixcall_item *>(reinterpret_cast<const uint8_t *>(batch.items) + size_t{batch.item_stride} * i);
}

int32_t AllHit(const sixcall_batch &batch, sixcall_completion &completion) {
  std::memset(batch.status, SIXCALL_STATUS_HIT, batch.n);
  completion.n_ok = batch.n;
  return SIXCALL_OK;
}

// Runs one batch over a scripted connector.
void RunOne(const Request &request, decltype(Scripted::work) work) {
  Connection connection(Api());
  script.work = std::move(work);
  connection.Run(request);
}

TEST(Harness, AcceptsAGoodConnector) {
  for (const Edge edge : {Edge::kEnd, Edge::kStart}) {
    for (const size_t len : {size_t{0}, size_t{1}, size_t{4095}, size_t{4096}, size_t{4097}}) {
      Request request = Request::Get({"k"}, len);
      request.edge = edge;
      RunOne(request, [](const sixcall_batch &batch, sixcall_completion &completion) {
        std::memset(Item(batch, 0).buf, 'v', Item(batch, 0).len);
        return AllHit(batch, completion);
      });
    }
  }
}

// ---- accesses that end the process

class HarnessDeath : public testing::Test {
 protected:
  HarnessDeath() { testing::FLAGS_gtest_death_test_style = "threadsafe"; }
};

TEST_F(HarnessDeath, OnAWritePastTheBuffer) {
  EXPECT_DEATH(RunOne(Request::Get({"k"}, 100),
                      [](const sixcall_batch &batch, sixcall_completion &completion) {
                        std::memset(Item(batch, 0).buf, 'v', 101);
                        return AllHit(batch, completion);
                      }),
               "forbidden access to buf 0 of get ticket 1 \\(100 bytes\\), offset 100");
}

TEST_F(HarnessDeath, OnAWriteBeforeTheBuffer) {
  Request request = Request::Get({"k"}, 100);
  request.edge = Edge::kStart;
  EXPECT_DEATH(RunOne(request,
                      [](const sixcall_batch &batch, sixcall_completion &completion) {
                        static_cast<volatile uint8_t *>(Item(batch, 0).buf)[-1] = 'v';
                        return AllHit(batch, completion);
                      }),
               "forbidden access to buf 0 of get ticket 1 \\(100 bytes\\), offset -1");
}

TEST_F(HarnessDeath, OnAWriteToAStoredValue) {
  EXPECT_DEATH(RunOne(Request::Set({"k"}, {"value"}),
                      [](const sixcall_batch &batch, sixcall_completion &completion) {
                        *static_cast<volatile uint8_t *>(Item(batch, 0).buf) = 'x';
                        return AllHit(batch, completion);
                      }),
               "forbidden access to value 0 of set ticket 1");
}

TEST_F(HarnessDeath, OnAReadPastTheKey) {
  EXPECT_DEATH(RunOne(Request::Exists({"key"}),
                      [](const sixcall_batch &batch, sixcall_completion &completion) {
                        const volatile uint8_t past = Item(batch, 0).key[3];
                        static_cast<void>(past);
                        return AllHit(batch, completion);
                      }),
               "forbidden access to key 0 of exists ticket 1 \\(3 bytes\\), offset 3");
}

TEST_F(HarnessDeath, OnAWriteAfterTheCompletion) {
  EXPECT_DEATH(
      {
        Connection connection(Api());
        volatile uint8_t *status = nullptr;
        script.work = [&](const sixcall_batch &batch, sixcall_completion &completion) {
          status = batch.status;
          return AllHit(batch, completion);
        };
        connection.Run(Request::Exists({"k"}));
        *status = SIXCALL_STATUS_ERROR;
      },
      "forbidden access to status of exists ticket 1");
}

TEST_F(HarnessDeath, OnAUseOfTheBatchStructAfterSubmit) {
  EXPECT_DEATH(
      {
        Connection connection(Api());
        const volatile sixcall_batch *kept = nullptr;
        script.work = [&](const sixcall_batch &batch, sixcall_completion &completion) {
          kept = &batch;
          return AllHit(batch, completion);
        };
        connection.Submit(Request::Exists({"k"}));
        const uint32_t n = kept->n;
        static_cast<void>(n);
      },
      "forbidden access to batch struct of exists ticket 1");
}

// ---- violations that fail the test

void ExpectViolation(const std::string &text, const Request &request, decltype(Scripted::work) work) {
  testing::TestPartResultArray failures;
  {
    const testing::ScopedFakeTestPartResultReporter reporter(
        testing::ScopedFakeTestPartResultReporter::INTERCEPT_ALL_THREADS, &failures);
    RunOne(request, std::move(work));
  }
  ASSERT_GT(failures.size(), 0) << "not noticed: " << text;
  std::string all;
  for (int i = 0; i < failures.size(); ++i) all += failures.GetTestPartResult(i).message();
  EXPECT_NE(all.find(text), std::string::npos) << all;
}

TEST(HarnessViolation, AStatusByteThatWasNotWritten) {
  ExpectViolation("status byte 255 is not defined", Request::Exists({"a", "b"}),
                  [](const sixcall_batch &batch, sixcall_completion &completion) {
                    batch.status[0] = SIXCALL_STATUS_HIT;
                    completion.n_ok = 1;
                    return SIXCALL_OK;
                  });
}

TEST(HarnessViolation, AWrongCountOfHits) {
  ExpectViolation("n_ok is not the number of hits", Request::Exists({"a", "b"}),
                  [](const sixcall_batch &batch, sixcall_completion &completion) {
                    AllHit(batch, completion);
                    completion.n_ok = 1;
                    return SIXCALL_OK;
                  });
}

TEST(HarnessViolation, AnotherOperation) {
  ExpectViolation("names another operation", Request::Exists({"a"}),
                  [](const sixcall_batch &batch, sixcall_completion &completion) {
                    completion.op = SIXCALL_OP_GET;
                    return AllHit(batch, completion);
                  });
}

TEST(HarnessViolation, AMissThatWritesTheBuffer) {
  ExpectViolation("a miss has changed buf 0", Request::Get({"a"}, 4),
                  [](const sixcall_batch &batch, sixcall_completion &) {
                    std::memset(Item(batch, 0).buf, 0, 1);
                    batch.status[0] = SIXCALL_STATUS_MISS;
                    return SIXCALL_OK;
                  });
}

TEST(HarnessViolation, AWriteInFrontOfTheBuffer) {
  ExpectViolation("wrote beside buf 0", Request::Get({"a"}, 4),
                  [](const sixcall_batch &batch, sixcall_completion &completion) {
                    static_cast<uint8_t *>(Item(batch, 0).buf)[-1] = 0;
                    return AllHit(batch, completion);
                  });
}

TEST(HarnessViolation, ACompletionTimeBeforeTheSubmit) {
  ExpectViolation("done before it was submitted", Request::Exists({"a"}),
                  [](const sixcall_batch &batch, sixcall_completion &completion) {
                    completion.done_ns = 1;
                    return AllHit(batch, completion);
                  });
}

TEST(HarnessViolation, ASecondCompletion) {
  testing::TestPartResultArray failures;
  {
    const testing::ScopedFakeTestPartResultReporter reporter(
        testing::ScopedFakeTestPartResultReporter::INTERCEPT_ALL_THREADS, &failures);
    Connection connection(Api());
    script.work = [](const sixcall_batch &batch, sixcall_completion &completion) {
      AllHit(batch, completion);
      script.done.push_back(completion);
      return SIXCALL_OK;
    };
    connection.Run(Request::Exists({"a"}));
  }
  ASSERT_GT(failures.size(), 0);
  EXPECT_NE(std::string(failures.GetTestPartResult(0).message()).find("which is not in flight"), std::string::npos);
}

TEST(HarnessViolation, ARefusedBatchWithAStatus) {
  testing::TestPartResultArray failures;
  {
    const testing::ScopedFakeTestPartResultReporter reporter(
        testing::ScopedFakeTestPartResultReporter::INTERCEPT_ALL_THREADS, &failures);
    Connection connection(Api());
    script.work = [](const sixcall_batch &batch, sixcall_completion &) {
      batch.status[0] = SIXCALL_STATUS_ERROR;
      return SIXCALL_E_AGAIN;
    };
    EXPECT_EQ(connection.TrySubmit(Request::Exists({"a"})), SIXCALL_E_AGAIN);
  }
  ASSERT_EQ(failures.size(), 1);
  EXPECT_NE(std::string(failures.GetTestPartResult(0).message()).find("a refused batch has a status byte"),
            std::string::npos);
}

}  // namespace
}  // namespace sixcall_test
