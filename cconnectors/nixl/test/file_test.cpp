// SPDX-License-Identifier: Apache-2.0
//
// Values in files: what is stored is whole, and no key leaves the folder.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nixl.h"

namespace sixcall_test {
namespace {

TEST(NixlFile, SurvivesAtEverySize) {
  Fake fake;
  TempFolder folder;
  Connection connection(Nixl(), FileOptions(folder));
  for (const size_t size : {0, 1, 511, 4096, 65537, 1 << 20, (4 << 20) + 1}) {
    for (const Edge edge : {Edge::kEnd, Edge::kStart}) {
      const std::string value = Pattern(size, static_cast<unsigned>(size));
      Request set = Request::Set({"k"}, {value});
      set.edge = edge;
      ASSERT_EQ(connection.Run(set).status, Status{kHit}) << size;
      ASSERT_TRUE(folder.Read("%key-k.data") == value);
      Request get = Request::Get({"k"}, size);
      get.edge = edge;
      get.value_lens = true;
      const Result result = connection.Run(get);
      ASSERT_EQ(result.status, Status{kHit}) << size;
      EXPECT_EQ(result.value_lens, std::vector<uint64_t>{size});
      EXPECT_TRUE(result.values[0] == value);
    }
  }
  EXPECT_EQ(folder.Unfinished(), 0u);
}

TEST(NixlFile, OfAnotherSizeIsNotServed) {
  Fake fake;
  TempFolder folder;
  Connection connection(Nixl(), FileOptions(folder));
  connection.Run(Request::Set({"k", "l"}, {Pattern(100, 1), Pattern(50, 2)}));
  for (const size_t len : {0, 1, 99, 101, 5000}) {
    Request get = Request::Get({"k", "l", "absent"}, {len, 50, len});
    get.value_lens = true;
    const Result result = connection.Run(get);
    EXPECT_EQ(result.status, (Status{kSize, kHit, kMiss})) << len;
    EXPECT_EQ(result.value_lens, (std::vector<uint64_t>{100, 50, SIXCALL_LEN_UNKNOWN}));
  }
  ASSERT_EQ(truncate(folder.path("%key-k.data").c_str(), 99), 0);
  EXPECT_EQ(connection.Run(Request::Get({"k"}, 100)).status, Status{kSize}) << "a file that was cut";
  EXPECT_EQ(fake.Counts().posted, 9) << "two of the probe, two stores, five loads: nothing else reached NIXL";
}

TEST(NixlFile, LookupAndDelete) {
  Fake fake;
  TempFolder folder;
  Connection connection(Nixl(), FileOptions(folder, R"(,"shard_dirs":true)"));
  const std::string sharded = "m@00000000@0@00112233";
  connection.Run(Request::Set({"k", sharded}, {"123", "12345"}));
  Request exists = Request::Exists({"k", "absent", sharded, "m@00000000@0@ffffffff"});
  exists.value_lens = true;
  const Result found = connection.Run(exists);
  EXPECT_EQ(found.status, (Status{kHit, kMiss, kHit, kMiss}));
  EXPECT_EQ(found.value_lens, (std::vector<uint64_t>{3, SIXCALL_LEN_UNKNOWN, 5, SIXCALL_LEN_UNKNOWN}));
  EXPECT_EQ(connection.Run(Request::Delete({"k", "k", "absent", sharded})).status, (Status{kHit, kMiss, kMiss, kHit}));
  EXPECT_EQ(connection.Run(exists).n_ok, 0u);
}

TEST(NixlFile, TellsApartWhatIsNoValue) {
  Fake fake;
  TempFolder folder;
  Connection connection(Nixl(), FileOptions(folder));
  folder.Write("outside", "secret");
  std::filesystem::create_symlink(folder.path("outside"), folder.path("%key-link.data"));
  std::filesystem::create_directory(folder.path("%key-dir.data"));
  ASSERT_EQ(mkfifo(folder.path("%key-fifo.data").c_str(), 0600), 0);
  EXPECT_EQ(connection.Run(Request::Exists({"link", "dir", "fifo"})).status, (Status{kMiss, kMiss, kMiss}));
  const Result result = connection.Run(Request::Get({"link", "dir", "fifo"}, 6));
  EXPECT_EQ(result.status, (Status{kError, kError, kError})) << "and none of them was waited for";
  // A store replaces the link itself, and not what it leads to.
  EXPECT_EQ(connection.Run(Request::Set({"link", "dir"}, {"value!", "value!"})).status, (Status{kHit, kError}));
  EXPECT_EQ(folder.Read("outside"), "secret");
  EXPECT_EQ(connection.Run(Request::Get({"link"}, 6)).values[0], "value!");
  EXPECT_EQ(folder.Unfinished(), 0u) << "the store that could not be named left nothing";
}

TEST(NixlFile, FoldersOnTheWayMayNotBeLinks) {
  Fake fake;
  TempFolder folder, elsewhere;
  Connection connection(Nixl(), FileOptions(folder, R"(,"shard_dirs":true)"));
  std::filesystem::create_directory_symlink(elsewhere.path(), folder.path("00"));
  const std::string key = "m@00000000@0@00112233";
  EXPECT_EQ(connection.Run(Request::Set({key}, {"value"})).status, Status{kError});
  EXPECT_EQ(connection.Run(Request::Get({key}, 5)).status, Status{kError});
  EXPECT_TRUE(std::filesystem::is_empty(elsewhere.path()));
}

TEST(NixlFile, NoKeyLeavesTheFolder) {
  Fake fake;
  TempFolder folder;
  Connection connection(Nixl(), FileOptions(folder, ""));
  const std::vector<std::string> keys = {"..", "../x", "/etc/passwd", "a/../../b", std::string("n\0l", 3), std::string(1024, '/'), std::string(1024, '\xFF'),
                                         ".sixcall-tmp", "../../m@00000000@0@ab", "m@00000000@0@ab@..", "~", "%2e%2e", ".sixcall-tmp/lock"};
  std::vector<std::string> values;
  for (size_t i = 0; i < keys.size(); ++i) values.push_back(Pattern(64, static_cast<unsigned>(i)));
  EXPECT_EQ(connection.Run(Request::Set(keys, values)).n_ok, keys.size());
  const Result got = connection.Run(Request::Get(keys, 64));
  EXPECT_EQ(got.n_ok, keys.size());
  EXPECT_EQ(got.values, values) << "different keys never share a value";
  EXPECT_FALSE(std::filesystem::exists(folder.path("../x.data")));
}

TEST(NixlFile, LeftoversOfTheDeadGoAndThoseOfTheLivingStay) {
  Fake fake;
  TempFolder folder;
  std::filesystem::create_directories(folder.path(".sixcall-tmp/w1-1"));
  folder.Write(".sixcall-tmp/w1-1/lock", "");
  folder.Write(".sixcall-tmp/w1-1/17", "half a value");
  std::filesystem::create_directories(folder.path(".sixcall-tmp/w2-2"));
  folder.Write(".sixcall-tmp/w2-2/lock", "");
  folder.Write(".sixcall-tmp/w2-2/18", "being written");
  const int living = open(folder.path(".sixcall-tmp/w2-2/lock").c_str(), O_RDWR);
  ASSERT_EQ(flock(living, LOCK_EX), 0);
  {
    Connection connection(Nixl(), FileOptions(folder));
    ASSERT_TRUE(connection.ok()) << connection.open_error();
    EXPECT_FALSE(std::filesystem::exists(folder.path(".sixcall-tmp/w1-1")));
    EXPECT_EQ(folder.Read(".sixcall-tmp/w2-2/18"), "being written");
    Connection second(Nixl(), FileOptions(folder));
    EXPECT_EQ(connection.Run(Request::Set({"k"}, {"v"})).n_ok, 1u) << "the folder of an open connection stays as well";
  }
  close(living);
  Connection connection(Nixl(), FileOptions(folder));
  EXPECT_EQ(folder.Unfinished(), 0u);
}

TEST(NixlFile, ARemovedFolderIsAnErrorAndNoCrash) {
  Fake fake;
  TempFolder folder;
  Connection connection(Nixl(), FileOptions(folder));
  connection.Run(Request::Set({"k"}, {"v"}));
  std::filesystem::remove_all(folder.path());
  EXPECT_EQ(connection.Run(Request::Get({"k"}, 1)).status, Status{kMiss});
  const Result set = connection.Run(Request::Set({"k"}, {"v"}));
  EXPECT_EQ(set.status, Status{kError});
  EXPECT_NE(set.err_text.find("was removed"), std::string::npos) << set.err_text;
  EXPECT_EQ(connection.Run(Request::Ping()).rc, SIXCALL_E_CONNECT);
}

TEST(NixlFile, StoresOfOneKeyAtTheSameTimeStayWhole) {
  Fake fake;
  TempFolder folder;
  Connection connection(Nixl(), FileOptions(folder));
  constexpr size_t kLen = 20000;
  for (int round = 0; round < 50; ++round) {
    for (char c = 'a'; c < 'e'; ++c) connection.Submit(Request::Set({"k", "k"}, {std::string(kLen, c), std::string(kLen, static_cast<char>(c + 10))}));
    const Result got = connection.Run(Request::Get({"k"}, kLen));
    ASSERT_NE(got.status, Status{kError}) << got.err_text;
    if (got.status == Status{kHit}) {
      ASSERT_EQ(got.values[0], std::string(kLen, got.values[0][0])) << "a mixture";
    }
    connection.WaitForAll();
  }
  EXPECT_EQ(folder.Unfinished(), 0u);
  EXPECT_EQ(folder.Names(), std::vector<std::string>{"%key-k.data"});
}

TEST(NixlFile, BatchesLargerThanTheQueueComeBack) {
  Fake fake;
  TempFolder folder;
  Connection connection(Nixl(), FileOptions(folder, R"(,"queue_depth":16,"workers":2)"));
  std::vector<std::string> keys, values;
  for (int i = 0; i < 1500; ++i) {
    keys.push_back("key " + std::to_string(i));
    values.push_back(Pattern(static_cast<size_t>(i % 300), static_cast<unsigned>(i)));
  }
  std::vector<uint64_t> lens;
  for (const auto &value : values) lens.push_back(value.size());
  EXPECT_EQ(connection.Run(Request::Set(keys, values)).n_ok, 1500u);
  EXPECT_EQ(connection.Run(Request::Exists(keys)).n_ok, 1500u);
  const Result got = connection.Run(Request::Get(keys, lens));
  EXPECT_EQ(got.n_ok, 1500u);
  EXPECT_TRUE(got.values == values);
}

}  // namespace
}  // namespace sixcall_test
