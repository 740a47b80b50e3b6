// SPDX-License-Identifier: Apache-2.0
//
// The library as a table, its configuration, and the life of a connection.
#include "fs.h"
#include "harness/basics.h"
#include "harness/threads.h"

namespace sixcall_test {
namespace {

TEST(FsLibrary, DeclaresWhatItDoes) {
  const uint64_t caps = Fs()->caps;
  for (const uint64_t cap : {SIXCALL_CAP_DELETE, SIXCALL_CAP_LIMITS, SIXCALL_CAP_PING, SIXCALL_CAP_CANCEL, SIXCALL_CAP_USAGE, SIXCALL_CAP_LIST,
                             SIXCALL_CAP_STATS_TEXT, SIXCALL_CAP_READ_YOUR_WRITES, SIXCALL_CAP_PERSISTENT, SIXCALL_CAP_VALUE_LENS}) {
    EXPECT_NE(caps & cap, 0u) << cap;
  }
  EXPECT_EQ(caps & SIXCALL_CAP_DEADLINE, 0u) << "a read that hangs in the system cannot be revoked";
  EXPECT_STREQ(Fs()->name, "fs");
}

TEST(FsLibrary, PassesTheBasicRunInEveryFlavour) {
  for (const std::string &flavour : Flavours()) {
    SCOPED_TRACE(flavour);
    TempFolder folder;
    Connection connection(Fs(), FsOptions(folder.path(), flavour));
    ASSERT_TRUE(connection.ok()) << connection.open_error();
    RunBasics(connection);
    EXPECT_EQ(connection.Run(Request::Ping()).rc, SIXCALL_OK);
    EXPECT_EQ(connection.Close(), SIXCALL_OK);
    EXPECT_EQ(folder.Leftovers(), std::vector<std::string>{});
  }
}

TEST(FsLibrary, LeavesNothingBehind) {
  TempFolder folder;
  const auto threads = ListThreads();
  const auto fds = OpenFds();
  for (const std::string &flavour : Flavours()) {
    Connection connection(Fs(), FsOptions(folder.path(), flavour));
    connection.Run(Request::Set({"a", "b"}, {std::string(100000, 'x'), "y"}));
    EXPECT_EQ(connection.Close(), SIXCALL_OK);
  }
  EXPECT_TRUE(Eventually([&] { return NewThreads(threads).empty(); }));
  EXPECT_EQ(OpenFds(), fds);
}

TEST(FsLibrary, ThreadsAreNamed) {
  TempFolder folder;
  const auto before = ListThreads();
  Connection connection(Fs(), FsOptions(folder.path(), R"("workers":3,"lookup_workers":2)"));
  std::vector<ThreadInfo> threads;
  EXPECT_TRUE(Eventually([&] { return (threads = NewThreads(before)).size() == 6; })) << "workers, lookups, and the one that cleans and counts";
  for (const ThreadInfo &thread : threads) {
    EXPECT_EQ(thread.name, "sixcall:fs");
    EXPECT_EQ(thread.blocked >> 14 & 1, 1u) << "SIGTERM is the host's";
  }
}

TEST(FsLibrary, RefusesAWrongConfigurationInWords) {
  TempFolder folder;
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {R"({})", R"(config key "base_path" is missing, want a string)"},
      {R"({"base_path":"cache"})", R"(config key "base_path" is "cache", want an absolute path without "..")"},
      {R"({"base_path":"/tmp/../etc"})", R"(config key "base_path" is "/tmp/../etc", want an absolute path without "..")"},
      {R"({"base_path":"/tmp/x/.."})", R"(config key "base_path" is "/tmp/x/..", want an absolute path without "..")"},
      {R"({"base_path":"/tmp","tmp_dir":"/tmp"})", R"(config key "tmp_dir" is "/tmp", want a path below base_path without "..")"},
      {R"({"base_path":"/tmp","tmp_dir":"a/../../b"})", R"(config key "tmp_dir" is "a/../../b", want a path below)"},
      {R"({"base_path":"/tmp","shards":257})", R"(config key "shards" is 257, want an integer from 1 to 256)"},
      {R"({"base_path":"/tmp","engine":"aio"})", R"(config key "engine" is "aio", want one of auto, threads, io_uring)"},
      {R"({"base_path":"/tmp","fsync":true})", R"(config key "fsync" is true, want a string)"},
      {R"({"base_path":"/tmp","inflight_bytes":1})", R"(config key "inflight_bytes" is 1, want an integer, at least 65536)"},
      {R"({"base_path":"/tmp","num_workers":4})", R"(unknown config key "num_workers"; the nearest known key is "workers")"},
  };
  const auto threads = ListThreads();
  const auto fds = OpenFds();
  for (const auto &[config, text] : wrong) {
    OpenOptions options;
    options.config = config;
    Connection connection(Fs(), options);
    EXPECT_EQ(connection.open_rc(), SIXCALL_E_CONFIG) << config;
    EXPECT_EQ(connection.open_error().substr(0, text.size()), text);
  }
  EXPECT_TRUE(NewThreads(threads).empty());
  EXPECT_EQ(OpenFds(), fds);
}

TEST(FsLibrary, AFolderThatCannotBeUsedIsAnErrorThatNamesIt) {
  TempFolder folder;
  WriteFile(folder / "file", "x");
  {
    Connection connection(Fs(), FsOptions(folder / "file"));
    EXPECT_NE(connection.open_rc(), SIXCALL_OK);
    EXPECT_NE(connection.open_error().find("\"file\": Not a directory"), std::string::npos) << connection.open_error();
  }
  {
    Connection connection(Fs(), FsOptions(folder / "a/b", R"("create":false)"));
    EXPECT_NE(connection.open_rc(), SIXCALL_OK);
    EXPECT_NE(connection.open_error().find("\"a\" is missing and \"create\" is false"), std::string::npos) << connection.open_error();
    EXPECT_EQ(folder.Names(), std::vector<std::string>{"file"}) << "nothing was created";
  }
  Connection connection(Fs(), FsOptions(folder / "a/b/"));
  EXPECT_TRUE(connection.ok()) << connection.open_error();
  EXPECT_TRUE(std::filesystem::is_directory(folder / "a/b"));
}

TEST(FsLibrary, ALazyConnectionWaitsForItsFolder) {
  TempFolder folder;
  WriteFile(folder / "cache", "in the way");
  Connection connection(Fs(), FsOptions(folder / "cache", R"("lazy":true)"));
  ASSERT_TRUE(connection.ok()) << connection.open_error();
  EXPECT_EQ(connection.Run(Request::Set({"k"}, {"v"})).status, Statuses{kError});
  EXPECT_EQ(connection.Run(Request::Exists({"k"})).status, Statuses{kError});
  std::filesystem::remove(folder / "cache");
  EXPECT_TRUE(Eventually([&] { return connection.Run(Request::Set({"k"}, {"v"})).n_ok == 1; }));
  EXPECT_TRUE(Eventually([&] { return connection.Run(Request::Exists({"k"})).n_ok == 1; }));
}

TEST(FsLibrary, AFolderThatIsRemovedComesBack) {
  TempFolder folder;
  Connection connection(Fs(), FsOptions(folder / "cache", R"("workers":1,"lookup_workers":1)"));
  // Either thread has done something: none will open the folder only later.
  ASSERT_EQ(connection.Run(Request::Set({"k"}, {"v"})).n_ok, 1u);
  ASSERT_EQ(connection.Run(Request::Exists({"k"})).n_ok, 1u);
  std::filesystem::remove_all(folder / "cache");
  EXPECT_EQ(connection.Run(Request::Get({"k"}, 1)).status, Statuses{kMiss});
  const Result ping = connection.Run(Request::Ping());
  EXPECT_EQ(ping.rc, SIXCALL_E_CONNECT) << "the folder is gone";
  EXPECT_TRUE(Eventually([&] { return connection.Run(Request::Ping()).rc == SIXCALL_OK; })) << "and is made again";
  EXPECT_TRUE(Eventually([&] { return connection.Run(Request::Set({"k"}, {"new"})).n_ok == 1; }));
  EXPECT_EQ(connection.Run(Request::Get({"k"}, 3)).values[0], "new");
  EXPECT_EQ(UsageOf(connection).keys, 1u);
}

TEST(FsLibrary, LimitsHold) {
  TempFolder folder;
  Connection connection(Fs(), FsOptions(folder.path()));
  sixcall_limits limits = {};
  limits.struct_size = sizeof(limits);
  ASSERT_EQ(Fs()->limits(connection.handle(), &limits), SIXCALL_OK);
  ASSERT_GT(limits.max_key_len, 0u);
  EXPECT_EQ(connection.Run(Request::Set({std::string(limits.max_key_len, '\xFF')}, {"v"})).n_ok, 1u);
  EXPECT_EQ(connection.TrySubmit(Request::Set({std::string(limits.max_key_len + 1, 'k')}, {"v"})), SIXCALL_E_INVAL);
}

TEST(FsLibrary, ADeadlineThatHasPassedStopsTheRest) {
  TempFolder folder;
  Connection connection(Fs(), FsOptions(folder.path()));
  Request request = Request::Set({"a", "b"}, {"1", "2"});
  request.deadline_ns = 1;
  EXPECT_EQ(connection.Run(request).status, (Statuses{SIXCALL_STATUS_TIMEOUT, SIXCALL_STATUS_TIMEOUT}));
  EXPECT_EQ(connection.Run(Request::Exists({"a", "b"})).n_ok, 0u);
}

}  // namespace
}  // namespace sixcall_test
