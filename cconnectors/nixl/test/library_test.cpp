// SPDX-License-Identifier: Apache-2.0
//
// The library as a table, its configuration, and the life of a connection.
#include <sys/stat.h>

#include <cstdlib>

#include "harness/basics.h"
#include "nixl.h"

namespace sixcall_test {
namespace {

TEST(NixlLibrary, SaysWhatItCan) {
  EXPECT_STREQ(Nixl()->name, "nixl");
  const uint64_t want = SIXCALL_CAP_DELETE | SIXCALL_CAP_LIMITS | SIXCALL_CAP_PING | SIXCALL_CAP_CANCEL | SIXCALL_CAP_REGISTER_MEMORY |
                        SIXCALL_CAP_STATS_TEXT | SIXCALL_CAP_READ_YOUR_WRITES | SIXCALL_CAP_PERSISTENT | SIXCALL_CAP_VALUE_LENS;
  EXPECT_EQ(Nixl()->caps, want);
}

TEST(NixlLibrary, PassesTheBasicRunWithFiles) {
  for (const char *more : {"", R"(,"workers":1,"queue_depth":1)", R"(,"shard_dirs":true,"sync":true)", R"(,"direct_io":true)",
                           R"(,"backend":"DIRECT")"}) {
    Fake fake;
    TempFolder folder;
    Connection connection(Nixl(), FileOptions(folder, more));
    ASSERT_TRUE(connection.ok()) << connection.open_error();
    RunBasics(connection);
    EXPECT_EQ(connection.Run(Request::Ping()).rc, SIXCALL_OK);
    EXPECT_EQ(connection.Close(), SIXCALL_OK);
    EXPECT_EQ(folder.Unfinished(), 0u);
  }
}

TEST(NixlLibrary, LeavesNothingBehind) {
  const auto threads = ListThreads();
  const auto fds = OpenFds();
  for (int i = 0; i < 5; ++i) {
    Fake fake;
    TempFolder folder;
    Connection files(Nixl(), FileOptions(folder));
    files.Run(Request::Set({"a", "b"}, {Pattern(100000, 1), "y"}));
    EXPECT_EQ(files.Close(), SIXCALL_OK);
    EXPECT_TRUE(std::filesystem::is_empty(folder.path(".sixcall-tmp")) || folder.Unfinished() == 0);
    Connection objects(Nixl(), ObjectOptions());
    objects.Run(Request::Set({"a"}, {"x"}));
    EXPECT_EQ(objects.Close(), SIXCALL_OK);
  }
  EXPECT_TRUE(Eventually([&] { return NewThreads(threads).empty(); }));
  EXPECT_EQ(OpenFds(), fds);
}

TEST(NixlLibrary, ThreadsAreNamedAndTakeNoSignals) {
  Fake fake;
  TempFolder folder;
  const auto before = ListThreads();
  Connection connection(Nixl(), FileOptions(folder, R"(,"workers":3,"lookup_workers":2)"));
  const auto threads = NewThreads(before);
  EXPECT_EQ(threads.size(), 5u);
  for (const ThreadInfo &thread : threads) {
    EXPECT_EQ(thread.name, "sixcall:nixl");
    EXPECT_NE(thread.blocked & uint64_t{1} << (SIGTERM - 1), 0u);
    EXPECT_NE(thread.blocked & uint64_t{1} << (SIGURG - 1), 0u);
  }
}

TEST(NixlLibrary, RefusesAWrongConfigurationInWords) {
  Fake fake;
  TempFolder folder;
  const std::string path = R"("base_path":")" + folder.path() + "\"";
  folder.Write("file", "");
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {R"("base_path":"")", R"(config key "base_path" is missing, want the folder of the cache)"},
      {path + R"(,"backend":"posix")", R"(config key "backend" is "posix", want the upper-case name of a NIXL plugin)"},
      {path + R"(,"backend":"")", R"(config key "backend" is "")"},
      {path + R"(,"storage_type":"FILE")", R"(config key "storage_type" cannot be set)"},
      {path + R"(,"backend_params":{"use_posix_aio":"true"})", R"(config key "backend_params.use_posix_aio" is true: refused)"},
      {path + R"(,"backend_params":{"use_aio":true,"use_uring":true})", R"(config keys "backend_params.use_aio" and "backend_params.use_uring" are both true)"},
      {path + R"(,"backend_params":{"use_uring":"maybe"})", R"(config key "backend_params.use_uring" is "maybe", want "true" or "false")"},
      {path + R"(,"backend_params":{"file_path":"/elsewhere"})", R"(config keys "base_path" and "backend_params.file_path" differ)"},
      {path + R"(,"queue_depth":0)", R"(config key "queue_depth" is 0, want an integer from 1 to 4096)"},
      {path + R"(,"base_pat":"x")", R"(unknown config key "base_pat"; the nearest known key is "base_path")"},
      {path + R"(,"backend":"OBJ")", R"(backend "OBJ" stores objects; "base_path" is for backends that store files)"},
      {R"("backend":"DIRECT")", R"(backend "DIRECT" stores files, want "base_path")"},
      {path + R"(,"backend":"UCX")", R"(backend "UCX" does not move host memory to either files or objects)"},
      {path + R"(,"backend":"BOTH")", R"(backend "BOTH" does not move host memory to either files or objects)"},
      {path + R"(,"backend":"NONE")", R"(load NIXL's plugin "NONE")"},
      {R"("backend":"OBJ","key_prefix":"../")", R"(config key "key_prefix" has a NUL or "..")"},
      {R"("base_path":")" + folder.path("file/below") + "\"", "make base_path"},
      {R"("base_path":")" + folder.path("file") + "\"", "open base_path"},
  };
  const auto threads = ListThreads();
  const auto fds = OpenFds();
  for (const auto &[members, text] : wrong) {
    Connection connection(Nixl(), Options("," + members));
    EXPECT_EQ(connection.open_rc(), SIXCALL_E_CONFIG) << members;
    EXPECT_EQ(connection.open_error().substr(0, text.size()), text);
  }
  EXPECT_TRUE(Eventually([&] { return NewThreads(threads).empty(); }));
  EXPECT_EQ(OpenFds(), fds);
}

TEST(NixlLibrary, TakesLMCachesWords) {
  Fake fake;
  TempFolder folder;
  Connection connection(Nixl(), Options(R"(,"backend":"POSIX","backend_params":{"file_path":")" + folder.path() +
                                        R"(","use_direct_io":"false","shard_dirs":"true"},"workers":4)"));
  ASSERT_TRUE(connection.ok()) << connection.open_error();
  connection.Run(Request::Set({"org/model@0000002a@7@00112233@tenant"}, {"value"}));
  EXPECT_EQ(folder.Read("00/11/org-SEP-model@0x0000002a@7@00112233@tenant.data"), "value");
}

TEST(NixlLibrary, NamesThePackageAndThePlacesWhenNixlIsMissing) {
  TempFolder folder;
  const std::string path = R"(,"base_path":")" + folder.path() + "\"}";
  const auto error = [&](const std::string &library) {
    OpenOptions options;
    options.config = "{" + (library.empty() ? R"("x-none":0)" : R"("library":")" + library + "\"") + path;
    Connection connection(Nixl(), options);
    EXPECT_LT(connection.open_rc(), 0);
    return connection.open_error();
  };
  EXPECT_EQ(error("/nowhere/lib.so"), "libnixl_capi.so is missing; PyPI's nixl-cu12==1.5.1 brings it (--no-deps); or set \"library\" or "
                                      "SIXCALL_NIXL_LIBRARY; looked in /nowhere/lib.so");
  EXPECT_NE(error(folder.path()).find("looked in " + folder.path()), std::string::npos);
  const char *path_before = getenv("SIXCALL_NIXL_LIBRARY");
  const std::string kept = path_before == nullptr ? "" : path_before;
  unsetenv("SIXCALL_NIXL_LIBRARY");
  ASSERT_EQ(setenv("VIRTUAL_ENV", folder.path().c_str(), 1), 0);
  const std::string everywhere = error("");
  EXPECT_NE(everywhere.find("looked in " + folder.path() + "/lib/python3*/site-packages, /usr/local/lib/python3*/*-packages, /usr/lib/python3*/"), std::string::npos)
      << everywhere;
  unsetenv("VIRTUAL_ENV");
  if (path_before != nullptr) setenv("SIXCALL_NIXL_LIBRARY", kept.c_str(), 1);
  folder.Write("text.so", "not a library");
  EXPECT_NE(error(folder.path("text.so")).find("cannot load " + folder.path("text.so")), std::string::npos);
  EXPECT_NE(error(SIXCALL_TEST_FAKE_STUB).find("is a stub that does nothing"), std::string::npos);
  EXPECT_NE(error(SIXCALL_TEST_FAKE_OLD).find("is older than NIXL 1.5"), std::string::npos);
  EXPECT_NE(error(SIXCALL_TEST_NIXL).find("has no nixl_capi_create_configured_agent, want NIXL 1.5 or newer"), std::string::npos);
}

TEST(NixlLibrary, FindsNixlByEnvironment) {
  Fake fake;
  TempFolder folder;
  // As pip leaves it: the library in a folder of the wheel.
  std::filesystem::create_directory(folder.path(".nixl_cu12.mesonpy.libs"));
  std::filesystem::create_symlink(SIXCALL_TEST_FAKE, folder.path(".nixl_cu12.mesonpy.libs/libnixl_capi.so"));
  ASSERT_EQ(setenv("SIXCALL_NIXL_LIBRARY", folder.path().c_str(), 1), 0);
  OpenOptions options;
  options.config = R"({"base_path":")" + folder.path("cache") + "\"}";
  Connection connection(Nixl(), options);
  unsetenv("SIXCALL_NIXL_LIBRARY");
  EXPECT_TRUE(connection.ok()) << connection.open_error();
}

}  // namespace
}  // namespace sixcall_test
