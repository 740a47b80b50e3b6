// SPDX-License-Identifier: Apache-2.0
//
// Temporary files: what a dead writer left goes, what a living one uses stays.
#include <chrono>

#include "fs.h"

namespace sixcall_test {
namespace {

// The id in the name of the only lock file of the folder.
std::string WriterId(const TempFolder &folder) {
  for (const std::string &name : folder.Names()) {
    if (name.size() > 14 && name.substr(name.size() - 5) == ".lock") return name.substr(9, name.size() - 14);
  }
  return "";
}

TEST(FsTemps, OfTheDeadAreRemovedAtTheStart) {
  TempFolder folder;
  { Connection first(Fs(), FsOptions(folder.path(), R"("tmp_dir":"tmp","shards":2)")); }
  for (const char *name : {".sixcall-1-dead.0.tmp", "00/.sixcall-1-dead.1.tmp", "tmp/.sixcall-1-dead.2.tmp", ".sixcall-1-dead.lock"}) {
    WriteFile(folder / name, "half a val");
  }
  // Without a lock file only the age tells.
  WriteFile(folder / "01/.sixcall-2-lost.7.tmp", "half a val");
  WriteFile(folder / "01/.sixcall-2-lost.8.tmp", "half a val");
  const auto two_hours_ago = std::filesystem::file_time_type::clock::now() - std::chrono::hours(2);
  std::filesystem::last_write_time(folder / "01/.sixcall-2-lost.7.tmp", two_hours_ago);
  WriteFile(folder / "x.data.tmp", "of LMCache, perhaps in use");
  Connection connection(Fs(), FsOptions(folder.path(), R"("tmp_dir":"tmp","shards":2)"));
  EXPECT_EQ(folder.Leftovers().size(), 3u) << "the connection's own lock file, what is not ours, and what may be in use";
  EXPECT_TRUE(std::filesystem::exists(folder / "x.data.tmp"));
  EXPECT_TRUE(std::filesystem::exists(folder / "01/.sixcall-2-lost.8.tmp"));
  EXPECT_EQ(Stat(connection, "sixcall_fs_temporary_files_removed_total"), 4);
}

TEST(FsTemps, OfTheLivingStay) {
  TempFolder folder;
  std::string temp, lock;
  {
    Connection living(Fs(), FsOptions(folder.path()));
    lock = folder / (".sixcall-" + WriterId(folder) + ".lock");
    temp = folder / (".sixcall-" + WriterId(folder) + ".99.tmp");
    WriteFile(temp, "half a val");
    Connection other(Fs(), FsOptions(folder.path()));
    ASSERT_TRUE(other.ok());
    EXPECT_TRUE(std::filesystem::exists(temp));
    EXPECT_EQ(Stat(other, "sixcall_fs_temporary_files_removed_total"), 0);
  }
  WriteFile(lock, "");  // as kill -9 would have left it
  Connection later(Fs(), FsOptions(folder.path()));
  EXPECT_FALSE(std::filesystem::exists(temp));
  EXPECT_FALSE(std::filesystem::exists(lock));
}

TEST(FsTemps, TheKindIsWhatWasAskedFor) {
  TempFolder folder;
  for (const char *kind : {"auto", "named"}) {
    Connection connection(Fs(), FsOptions(folder.path(), std::string(R"("temp_files":")") + kind + "\""));
    EXPECT_EQ(connection.Run(Request::Set({"k"}, {kind})).n_ok, 1u);
  }
  Connection connection(Fs(), FsOptions(folder.path(), R"("temp_files":"unnamed")"));
  if (!connection.ok()) {
    EXPECT_NE(connection.open_error().find("temp_files is \"unnamed\", but base_path"), std::string::npos);
    GTEST_SKIP() << connection.open_error();
  }
  EXPECT_EQ(connection.Run(Request::Set({"k"}, {"value"})).n_ok, 1u);
  EXPECT_EQ(connection.Run(Request::Get({"k"}, 5)).values[0], "value");
}

}  // namespace
}  // namespace sixcall_test
