// SPDX-License-Identifier: Apache-2.0
//
// kill -9 while values are stored: every key is old, new or absent, and what was
// reported as stored is there.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>
#include <set>

#include "crash.h"

namespace sixcall_test {
namespace {

// Runs the writer until it reported `keys` stored values, kills it, and returns
// the keys that it reported.
std::set<uint8_t> WriteAndKill(const std::string &config, uint64_t first, size_t keys) {
  int out[2];
  if (pipe2(out, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  std::string program = SIXCALL_TEST_FS_WRITER, library = SIXCALL_TEST_FS, conf = config, number = std::to_string(first);
  char *argv[] = {program.data(), library.data(), conf.data(), number.data(), nullptr};
  pid_t pid;
  const int rc = posix_spawn(&pid, program.c_str(), &actions, nullptr, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(out[1]);
  if (rc != 0) throw std::runtime_error("spawn " + program);

  std::set<uint8_t> reported;
  uint8_t buf[256];
  ssize_t n;
  bool killed = false;
  size_t total = 0;
  while ((n = read(out[0], buf, sizeof(buf))) > 0) {
    reported.insert(buf, buf + n);
    total += static_cast<size_t>(n);
    if (killed || total < keys) continue;
    kill(pid, SIGKILL);
    killed = true;  // and read what it had reported until then
  }
  close(out[0]);
  int status = 0;
  waitpid(pid, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "the writer ended by itself: " << status;
  return reported;
}

class FsCrash : public testing::TestWithParam<const char *> {};

TEST_P(FsCrash, LeavesOldNewOrAbsent) {
  TempFolder folder;
  const std::string config = FsOptions(folder.path(), GetParam()).config;
  std::mt19937 random(5);
  std::set<uint8_t> stored;
  for (uint64_t round = 1; round <= 12; ++round) {
    SCOPED_TRACE(round);
    const auto reported = WriteAndKill(config, round * 1000000, 1 + random() % 300);
    stored.insert(reported.begin(), reported.end());

    Connection connection(Fs(), FsOptions(folder.path(), GetParam()));
    ASSERT_TRUE(connection.ok()) << connection.open_error();
    EXPECT_EQ(folder.Leftovers().size(), 1u) << "the lock file of this connection alone";
    size_t present = 0;
    uint64_t bytes = 0;
    for (uint32_t key = 0; key < kCrashKeys; ++key) {
      Request exists = Request::Exists({CrashKey(key)});
      exists.value_lens = true;
      const Result found = connection.Run(exists);
      if (found.status[0] == kMiss) {
        EXPECT_EQ(stored.count(static_cast<uint8_t>(key)), 0u) << key << " was reported as stored";
        continue;
      }
      ASSERT_EQ(found.status[0], kHit);
      present++;
      bytes += found.value_lens[0];
      const Result loaded = connection.Run(Request::Get({CrashKey(key)}, found.value_lens[0]));
      ASSERT_EQ(loaded.status[0], kHit);
      uint64_t generation = 0;
      ASSERT_GE(loaded.values[0].size(), sizeof(generation));
      std::memcpy(&generation, loaded.values[0].data(), sizeof(generation));
      EXPECT_TRUE(loaded.values[0] == CrashValue(key, generation)) << key << " is torn, generation " << generation;
    }
    EXPECT_EQ(UsageOf(connection).keys, present);
    EXPECT_GE(UsageOf(connection).bytes_used, bytes);
    EXPECT_EQ(ListAll(connection, 4096).size(), present);
  }
}

INSTANTIATE_TEST_SUITE_P(Flavours, FsCrash,
                         testing::Values(R"("workers":4)", R"("workers":2,"temp_files":"named")", R"("workers":2,"temp_files":"named","tmp_dir":"t","shards":4)",
                                         R"("workers":2,"o_direct":true)", R"("engine":"io_uring","fsync":"file")"));

}  // namespace
}  // namespace sixcall_test
