// SPDX-License-Identifier: Apache-2.0
//
// A real redis-server, for the sanitizers: many threads, and a server that is
// killed again and again. What it does for hosts is tested in ../redis_test.go.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "harness/shared_host.h"
#include "redis.h"

namespace sixcall_test {
namespace {

class RealServer {
 public:
  RealServer() {
    char name[] = "/tmp/sixcall-redis-XXXXXX";
    if (::mkdtemp(name) == nullptr) throw std::runtime_error("mkdtemp");
    folder_ = name;
  }
  ~RealServer() {
    Kill();
    ::unlink(path().c_str());
    ::rmdir(folder_.c_str());
  }
  static bool Installed() { return ::access("/usr/bin/redis-server", X_OK) == 0; }
  std::string path() const { return folder_ + "/s"; }
  std::string Config() const { return "\"unix_socket\":\"" + path() + "\""; }

  void Start() {
    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() != parent) ::_exit(1);
      const int null = ::open("/dev/null", O_RDWR);
      for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
      ::execl("/usr/bin/redis-server", "redis-server", "--port", "0", "--unixsocket", path().c_str(), "--save", "", "--appendonly", "no", "--dir", folder_.c_str(), static_cast<char *>(nullptr));
      ::_exit(1);
    }
  }
  void Kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  std::string folder_;
  pid_t pid_ = 0;
};

class RedisReal : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!RealServer::Installed()) GTEST_SKIP() << "redis-server is not installed (Debian: redis-server)";
    server.Start();
    ASSERT_TRUE(Eventually([&] {
      Connection probe(Redis(), RedisOptions(server.Config()));
      return probe.ok();
    }));
  }
  RealServer server;
};

TEST_F(RedisReal, DoesWhatEveryConnectorMust) {
  Connection connection(Redis(), RedisOptions(server.Config()));
  ASSERT_TRUE(connection.ok()) << connection.open_error();
  RunBasics(connection);
  EXPECT_EQ(connection.Run(Request::Delete({"end/a", "nothing"})).status, (Status{kHit, kMiss}));
  EXPECT_EQ(connection.Run(Request::Ping()).rc, SIXCALL_OK);
  const std::string binary("\0\r\n$5\xFF{}*?[", 12);
  EXPECT_EQ(connection.Run(Request::Set({binary}, {binary})).status, (Status{kHit}));
  EXPECT_EQ(connection.Run(Request::Get({binary}, 12)).values[0], binary);
  std::vector<std::string> listed;
  std::string cursor;
  for (bool last = false; !last;) {
    const Result page = connection.Run(Request::List(256, cursor));
    ASSERT_EQ(page.rc, SIXCALL_OK) << page.err_text;
    for (const ListedKey &k : page.listed) listed.push_back(k.key);
    cursor = page.cursor;
    last = page.last_page;
  }
  EXPECT_EQ(std::count(listed.begin(), listed.end(), binary), 1);
}

// Several threads with batches of every kind on several workers, while the server
// dies and comes back. Values tell their key and the writer, so a torn or wrong
// one is seen.
TEST_F(RedisReal, ServesManyThreadsWhileItDies) {
  constexpr uint32_t kBatch = 12, kThreads = 4;
  constexpr size_t kLarge = 200000;
  SharedHost host(Redis(), "{\"workers\":2,\"reconnect_min_ms\":1,\"reconnect_max_ms\":20,\"timeout_ms\":2000," + server.Config() + "}");
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> hits{0}, wrong{0};
  const auto size_of = [](uint32_t i) { return i % 5 == 4 ? kLarge : size_t{100} + i; };
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      SharedHost::Call set(kBatch), get(kBatch), exists(kBatch);
      const std::vector<std::string> keys = Keys(kBatch);  // the same for all threads
      std::vector<std::string> values(kBatch), buffers(kBatch);
      for (uint32_t i = 0; i < kBatch; ++i) {
        values[i].assign(size_of(i), static_cast<char>('a' + t));
        buffers[i].resize(size_of(i));
        set.SetKey(i, keys[i]);
        set.SetBuf(i, values[i].data(), values[i].size());
        get.SetKey(i, keys[i]);
        get.SetBuf(i, buffers[i].data(), buffers[i].size());
        exists.SetKey(i, keys[i]);
      }
      while (!stop) {
        host.Start(SIXCALL_OP_SET, set);
        host.Run(SIXCALL_OP_GET, get);
        host.Run(SIXCALL_OP_EXISTS, exists);
        SharedHost::Wait(set);
        for (uint32_t i = 0; i < kBatch; ++i) {
          if (get.status[i] != SIXCALL_STATUS_HIT) continue;
          ++hits;
          const char c = buffers[i][0];
          const bool whole = c >= 'a' && c < 'a' + static_cast<char>(kThreads) && buffers[i].find_first_not_of(c) == std::string::npos;
          wrong += !whole;
        }
      }
    });
  }
  for (int round = 0; round < 8; ++round) {
    const uint64_t before = hits;
    EXPECT_TRUE(Eventually([&] { return hits > before + 200; })) << "hits resume, round " << round;
    server.Kill();
    server.Start();
  }
  const uint64_t before = hits;
  EXPECT_TRUE(Eventually([&] { return hits > before + 200; }));
  stop = true;
  for (std::thread &t : threads) t.join();
  EXPECT_EQ(wrong, 0u);
}

}  // namespace
}  // namespace sixcall_test
