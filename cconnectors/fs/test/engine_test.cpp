// SPDX-License-Identifier: Apache-2.0
//
// The engines without keys: windows, errors, short files, O_DIRECT.
#include "../engine.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <vector>

#include "../fd.h"

namespace fs {
namespace {

// Jobs from a list, and a look at how many are out.
struct ListSource : JobSource {
  std::deque<Job> jobs;
  std::vector<Job> ended;
  std::map<uint32_t, uint64_t> out;  // slot to bytes
  uint64_t bytes = 0, most_bytes = 0;
  size_t most = 0;

  bool Next(Job &job) noexcept override {
    if (jobs.empty()) return false;
    const uint32_t slot = job.slot;
    EXPECT_EQ(out.count(slot), 0u) << "a slot is used twice";
    job = jobs.front();
    job.slot = slot;
    jobs.pop_front();
    out[slot] = job.len;
    bytes += job.len;
    most = std::max(most, out.size());
    most_bytes = std::max(most_bytes, bytes);
    return true;
  }
  void Done(Job &job) noexcept override {
    bytes -= out[job.slot];
    out.erase(job.slot);
    ended.push_back(job);
  }
};

class FsEngine : public testing::TestWithParam<const char *> {
 protected:
  std::unique_ptr<Engine> Make(uint32_t depth = 8, uint64_t window = 1 << 20) {
    return std::string(GetParam()) == "threads" ? MakeThreadsEngine(counters_) : MakeUringEngine(counters_, depth, window);
  }
  static Fd TempFd(int flags = 0) {
    std::string name = testing::TempDir() + "sixcall-engine-XXXXXX";
    Fd fd(mkostemp(name.data(), O_CLOEXEC | flags));
    EXPECT_TRUE(fd.ok()) << name;
    unlink(name.c_str());
    return fd;
  }
  static Job MakeJob(int fd, bool write, std::vector<uint8_t> &data) {
    Job job;
    job.fd = fd;
    job.write = write;
    job.data = data.data();
    job.len = data.size();
    return job;
  }

  Counters counters_;
};

TEST_P(FsEngine, MovesWhatItIsGiven) {
  std::vector<Fd> files;
  std::vector<std::vector<uint8_t>> out, in;
  ListSource writes, reads;
  for (size_t i = 0; i < 40; i++) {
    files.push_back(TempFd());
    out.emplace_back(i * 3001, static_cast<uint8_t>(i));
    in.emplace_back(i * 3001);
  }
  for (size_t i = 0; i < files.size(); i++) {
    writes.jobs.push_back(MakeJob(files[i].get(), true, out[i]));
    writes.jobs.back().sync = i % 5 == 0;
    reads.jobs.push_back(MakeJob(files[i].get(), false, in[i]));
    reads.jobs.back().first = i % 3 == 0 ? 100 : 0;
  }
  const auto engine = Make();
  engine->Run(writes);
  engine->Run(reads);
  EXPECT_TRUE(in == out);
  EXPECT_EQ(writes.ended.size(), files.size());
  EXPECT_EQ(counters_.syncs.load(), 8u);
  for (const Job &job : reads.ended) EXPECT_TRUE(job.error == 0 && job.done == job.len);
}

TEST_P(FsEngine, KeepsItsWindow) {
  const Fd file = TempFd();
  std::vector<std::vector<uint8_t>> data;
  for (size_t i = 0; i < 100; i++) data.emplace_back(i % 10 == 0 ? 300000 : 30000);
  ListSource source;
  for (auto &d : data) source.jobs.push_back(MakeJob(file.get(), true, d));
  const auto engine = Make(8, 200000);
  engine->Run(source);
  EXPECT_EQ(source.ended.size(), data.size());
  EXPECT_LE(source.most, engine->depth() + 1) << "one may be taken ahead";
  EXPECT_LE(source.most_bytes, 300000u + 300000u) << "a job over the budget runs alone, and one waits";
}

TEST_P(FsEngine, ReportsTheErrorOfEachJob) {
  const Fd good = TempFd(), full(open("/dev/full", O_WRONLY | O_CLOEXEC)), read_only(open("/dev/null", O_RDONLY | O_CLOEXEC));
  std::vector<uint8_t> data(5000, 7);
  ListSource source;
  source.jobs.push_back(MakeJob(full.get(), true, data));
  source.jobs.push_back(MakeJob(good.get(), true, data));
  source.jobs.push_back(MakeJob(read_only.get(), true, data));
  Make(1)->Run(source);  // one at a time: in this order
  ASSERT_EQ(source.ended.size(), 3u);
  EXPECT_EQ(source.ended[0].error, ENOSPC);
  EXPECT_EQ(source.ended[1].error, 0);
  EXPECT_EQ(source.ended[2].error, EBADF);
}

TEST_P(FsEngine, AFileThatEndsEarlyIsShortAndNoError) {
  const Fd file = TempFd();
  ASSERT_EQ(pwrite(file.get(), "12345", 5, 0), 5);
  std::vector<uint8_t> data(100, 0xEE);
  ListSource source;
  source.jobs.push_back(MakeJob(file.get(), false, data));
  Make()->Run(source);
  EXPECT_EQ(source.ended[0].done, 5u);
  EXPECT_EQ(source.ended[0].error, 0);
  EXPECT_EQ(data[5], 0xEE);
}

TEST_P(FsEngine, FallsBackFromDirectAndMovesTheSameBytes) {
  Fd file = TempFd(O_DIRECT);
  if (!file.ok()) GTEST_SKIP() << "no O_DIRECT in " << testing::TempDir();
  std::vector<uint8_t> memory(3 * 65536);
  const auto page = (reinterpret_cast<uintptr_t>(memory.data()) + 4095) / 4096 * 4096;
  auto *aligned = reinterpret_cast<uint8_t *>(page);
  // An address that no device takes, and a length that none takes.
  for (const auto &[offset, len] : std::vector<std::pair<size_t, size_t>>{{1, 8192}, {0, 8191}, {0, 8192}}) {
    ASSERT_EQ(fcntl(file.get(), F_SETFL, fcntl(file.get(), F_GETFL) | O_DIRECT), 0);
    for (size_t i = 0; i < len; i++) aligned[offset + i] = static_cast<uint8_t>(i * 31);
    ListSource source;
    Job job;
    job.fd = file.get();
    job.direct = true;
    job.write = true;
    job.data = aligned + offset;
    job.len = len;
    source.jobs.push_back(job);
    job.write = false;
    job.data = aligned + 65536 + offset;
    source.jobs.push_back(job);
    Make(1)->Run(source);
    for (const Job &ended : source.ended) EXPECT_TRUE(ended.error == 0 && ended.done == len) << offset << " " << len << " " << ended.error;
    EXPECT_EQ(memcmp(aligned + offset, aligned + 65536 + offset, len), 0);
  }
  EXPECT_EQ(counters_.fallback_unaligned.load(), 2u) << "the length of 8191, both ways";
}

TEST_P(FsEngine, CanRunAgain) {
  const auto engine = Make(2, 1);
  for (int round = 0; round < 50; round++) {
    const Fd file = TempFd();
    std::vector<uint8_t> data(1000, static_cast<uint8_t>(round));
    ListSource source;
    for (int i = 0; i < 5; i++) source.jobs.push_back(MakeJob(file.get(), true, data));
    engine->Run(source);
    EXPECT_EQ(source.ended.size(), 5u);
    ListSource none;
    engine->Run(none);
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, FsEngine, testing::Values("threads", "io_uring"), [](const auto &kind) { return std::string(kind.param); });

}  // namespace
}  // namespace fs
