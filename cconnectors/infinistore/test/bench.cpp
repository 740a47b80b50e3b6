// SPDX-License-Identifier: Apache-2.0
//
// infinistore_bench LIBRARY PORT CONNECTIONS POOL_GB: the connector, driven through the C ABI, beside
// plain clients, on one server in one run. Rounds alternate; each figure is the median of five.
// `infinistore_test.go` starts a server and runs it.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "harness/connection.h"
#include "harness/shared_host.h"
#include "plain_client.h"

namespace {

using infinistore_test::PlainClient;
using sixcall_test::SharedHost;

constexpr int kRounds = 5;
constexpr uint32_t kDepth = 4;  // batches in flight

struct Load {
  uint64_t bytes;
  uint32_t keys;   // of a round
  uint32_t batch;  // keys of a batch
};

double Seconds(const std::function<void()> &work) {
  const auto from = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
}

double Median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

// The keys of a load; batches point into them.
std::vector<std::string> KeysOf(const char *who, const Load &load) {
  std::vector<std::string> keys;
  for (uint32_t i = 0; i < load.keys; ++i) keys.push_back("model@01000100@0@" + std::string(who) + std::to_string(load.bytes) + "/" + std::to_string(i));
  return keys;
}

// One client per thread; each takes every n-th key.
class Plain {
 public:
  Plain(int port, int n) {
    for (int i = 0; i < n; ++i) clients_.push_back(std::make_unique<PlainClient>(port));
  }
  void Run(uint32_t op, const Load &load, const std::vector<std::string> &keys, uint8_t *memory) {
    std::vector<std::thread> threads;
    for (size_t t = 0; t < clients_.size(); ++t) {
      threads.emplace_back([&, t] {
        for (uint32_t i = static_cast<uint32_t>(t); i < load.keys; i += static_cast<uint32_t>(clients_.size())) {
          const std::string &key = keys[i];
          uint8_t *buf = memory + i % (load.batch * kDepth) * load.bytes;
          const bool ok = op == SIXCALL_OP_SET ? (clients_[t]->Put(key, buf, load.bytes), true)
                          : op == SIXCALL_OP_GET ? clients_[t]->Get(key, buf, load.bytes)
                                                 : clients_[t]->Exists(key);
          if (!ok) std::fprintf(stderr, "plain client: a key is gone\n"), std::exit(1);
        }
      });
    }
    for (std::thread &thread : threads) thread.join();
  }

 private:
  std::vector<std::unique_ptr<PlainClient>> clients_;
};

// kDepth batches in flight, all from one thread.
void RunConnector(SharedHost &host, uint32_t op, const Load &load, const std::vector<std::string> &keys, uint8_t *memory) {
  std::vector<std::unique_ptr<SharedHost::Call>> calls;
  for (uint32_t d = 0; d < kDepth; ++d) calls.push_back(std::make_unique<SharedHost::Call>(load.batch));
  const auto finish = [](SharedHost::Call &call) {
    SharedHost::Wait(call);
    if (call.n_ok != call.status.size()) std::fprintf(stderr, "connector: %u of %zu, rc %d, worst status %d\n", call.n_ok, call.status.size(), call.rc, *std::max_element(call.status.begin(), call.status.end())), std::exit(1);
  };
  const uint32_t batches = load.keys / load.batch;
  for (uint32_t b = 0; b < batches; ++b) {
    SharedHost::Call &call = *calls[b % kDepth];
    if (b >= kDepth) finish(call);
    for (uint32_t i = 0; i < load.batch; ++i) {
      call.SetKey(i, keys[b * load.batch + i]);
      if (op != SIXCALL_OP_EXISTS) call.SetBuf(i, memory + (b % kDepth * load.batch + i) * load.bytes, load.bytes);
    }
    host.Start(op, call);
  }
  for (uint32_t b = batches > kDepth ? batches - kDepth : 0; b < batches; ++b) finish(*calls[b % kDepth]);
}

}  // namespace

int main(int argc, char **argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: %s LIBRARY PORT CONNECTIONS POOL_GB\n", argv[0]);
    return 2;
  }
  const int port = std::atoi(argv[2]);
  const int connections = std::atoi(argv[3]);
  const sixcall_api *api = sixcall_test::LoadLibrary(argv[1]);
  const auto config = [&](bool trailer) {
    return R"({"host":"127.0.0.1","port":)" + std::to_string(port) + R"(,"workers":)" + std::to_string(connections) + R"(,"lookup_workers":)" +
           std::to_string(connections) + R"(,"trailer":)" + (trailer ? "true}" : "false}");
  };
  SharedHost sealed(api, config(true)), bare(api, config(false));
  Plain plain(port, connections);
  PlainClient eraser(port);
  std::vector<uint8_t> memory(256 << 20);
  for (size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<uint8_t>(i * 2654435761u >> 24 | 1);

  // Touch the server's memory: the first write to a page measures the machine.
  const int blocks = std::atoi(argv[4]) * 230;  // of 4 MiB: nine tenths of the pool
  for (int i = 0; i < blocks; ++i) eraser.Put("touch" + std::to_string(i), memory.data(), 4 << 20);
  for (int i = 0; i < blocks; ++i) eraser.Delete("touch" + std::to_string(i));

  std::printf("%d connections, %u batches in flight\n", connections, kDepth);
  std::printf("%-8s %9s %6s | %12s %9s | %12s %9s %6s | %12s %9s %6s\n", "op", "bytes", "batch", "plain op/s", "MB/s", "connector", "MB/s", "ratio",
              "no trailer", "MB/s", "ratio");
  for (const Load &load : {Load{4096, 4096, 64}, Load{65536, 2048, 64}, Load{1 << 20, 128, 16}, Load{4 << 20, 32, 4}}) {
    const std::vector<std::string> keys[3] = {KeysOf("p", load), KeysOf("c", load), KeysOf("b", load)};
    for (const uint32_t op : {SIXCALL_OP_SET, SIXCALL_OP_GET, SIXCALL_OP_EXISTS}) {
      const auto run = [&](int who) {
        if (who == 0) plain.Run(op, load, keys[0], memory.data());
        if (who == 1) RunConnector(sealed, op, load, keys[1], memory.data());
        if (who == 2) RunConnector(bare, op, load, keys[2], memory.data());
      };
      std::vector<double> rate[3];
      for (int round = -2; round < kRounds; ++round) {  // two to warm up: the server's memory is touched for the first time
        for (int who = 0; who < 3; ++who) {
          const int now = (who + round + 3) % 3;
          // The server keeps the blocks of a value that was put over for a while, and evicts for them.
          if (op == SIXCALL_OP_SET) {
            for (const std::string &key : keys[now]) eraser.Delete(key);
          }
          const double s = Seconds([&] { run(now); });
          if (round >= 0) rate[now].push_back(load.keys / s);
        }
      }
      const double r[3] = {Median(rate[0]), Median(rate[1]), Median(rate[2])};
      const double mb = op == SIXCALL_OP_EXISTS ? 0 : static_cast<double>(load.bytes) / 1e6;
      std::printf("%-8s %9llu %6u | %12.0f %9.0f | %12.0f %9.0f %6.2f | %12.0f %9.0f %6.2f\n",
                  op == SIXCALL_OP_SET ? "set" : op == SIXCALL_OP_GET ? "get" : "exists", static_cast<unsigned long long>(load.bytes), load.batch, r[0],
                  r[0] * mb, r[1], r[1] * mb, r[1] / r[0], r[2], r[2] * mb, r[2] / r[0]);
      std::fflush(stdout);
    }
  }
  return 0;
}
