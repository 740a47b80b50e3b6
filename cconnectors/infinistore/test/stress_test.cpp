// SPDX-License-Identifier: Apache-2.0
// Many threads on few keys over two handles, with deadlines that pass: no torn value,
// no forgotten ticket, nothing that would have killed the server.
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "harness/shared_host.h"
#include "infinistore.h"

namespace infinistore_test {
namespace {

using sixcall_test::SharedHost;

TEST(InfiniStoreStress, FewKeysManyThreadsTwoHandles) {
  FakeServer server;
  std::atomic<int> torn{0}, hits{0};
  {
    const std::string config = To(server.port(), R"(,"workers":4,"lookup_workers":2)").config;
    SharedHost one(Library(), config), two(Library(), config);
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        SharedHost &host = t % 2 == 0 ? one : two;
        std::minstd_rand random(t + 1);
        constexpr uint32_t kN = 6;
        std::vector<std::string> keys(kN), values(kN);
        for (int i = 0; i < 150; ++i) {
          SharedHost::Call call(kN);
          const uint32_t ops[] = {SIXCALL_OP_SET, SIXCALL_OP_GET, SIXCALL_OP_GET, SIXCALL_OP_EXISTS, SIXCALL_OP_DELETE};
          const uint32_t op = ops[random() % 5];
          for (uint32_t k = 0; k < kN; ++k) {
            keys[k] = "key" + std::to_string(random() % 5);
            values[k].assign(5000, static_cast<char>('a' + random() % 26));
            call.SetKey(k, keys[k]);
            if (op == SIXCALL_OP_SET || op == SIXCALL_OP_GET) call.SetBuf(k, &values[k][0], values[k].size());
          }
          host.Run(op, call);
          for (uint32_t k = 0; k < kN; ++k) {
            if (op != SIXCALL_OP_GET || call.status[k] != SIXCALL_STATUS_HIT) continue;
            hits++;
            torn += values[k] != std::string(5000, values[k][0]);
          }
        }
      });
    }
    for (std::thread &t : threads) t.join();
  }
  EXPECT_EQ(torn, 0);
  EXPECT_GT(hits, 0);
  EXPECT_EQ(server.hazards(), std::vector<std::string>());
}

TEST(InfiniStoreStress, DeadlinesThatPassOnASlowServer) {
  FakeServer server;
  std::atomic<unsigned> turn{0};
  server.SetPlan([&](const Request &) {
    Plan plan;
    if (turn++ % 3 == 0) plan.chunk = 7;
    return plan;
  });
  {
    sixcall_test::Connection c(Library(), To(server.port(), R"(,"workers":3)"));
    std::minstd_rand random(1);
    for (int i = 0; i < 300; ++i) {
      const std::string key = "key" + std::to_string(random() % 4);
      sixcall_test::Request request = random() % 2 == 0 ? sixcall_test::Request::Get({key, key}, 20000)
                                                        : sixcall_test::Request::Set({key}, {std::string(20000, static_cast<char>('a' + random() % 26))});
      request.deadline_ns = sixcall::NowNs() + random() % 3000000;
      c.Submit(request);
      if (i % 16 == 15) c.WaitForAll();
    }
    c.WaitForAll();
    EXPECT_EQ(c.Close(), SIXCALL_OK);
  }
  EXPECT_EQ(server.hazards(), std::vector<std::string>());
}

}  // namespace
}  // namespace infinistore_test
