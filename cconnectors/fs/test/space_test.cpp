// SPDX-License-Identifier: Apache-2.0
//
// A full disk refuses keys one by one, and goes on serving.
#include <sys/mount.h>
#include <sys/resource.h>

#include <cstring>

#include "fs.h"

namespace sixcall_test {
namespace {

// A tmpfs of 2 MiB; not mounted without the right to.
class SmallMount {
 public:
  SmallMount() {
    if (mount("sixcall-test", folder_.path().c_str(), "tmpfs", 0, "size=2m") != 0) error_ = errno;
  }
  ~SmallMount() {
    if (error_ == 0) umount2(folder_.path().c_str(), MNT_DETACH);
  }
  const std::string &path() const { return folder_.path(); }
  int error() const { return error_; }

 private:
  TempFolder folder_;
  int error_ = 0;
};

TEST(FsSpace, AFullDiskRefusesKeysAndServesTheOthers) {
  for (const std::string &flavour : Flavours()) {
    SCOPED_TRACE(flavour);
    SmallMount mount;
    if (mount.error() != 0) GTEST_SKIP() << "cannot mount a small tmpfs: " << std::strerror(mount.error());
    Connection connection(Fs(), FsOptions(mount.path(), flavour));
    ASSERT_TRUE(connection.ok()) << connection.open_error();
    constexpr size_t kLen = 256 << 10;
    std::vector<std::string> keys, values;
    for (int i = 0; i < 20; ++i) keys.push_back(L2Key(i)), values.push_back(Pattern(i, kLen));
    const Result stored = connection.Run(Request::Set(keys, values));
    EXPECT_EQ(stored.rc, SIXCALL_OK) << "the batch ran";
    EXPECT_EQ(stored.err_code, SIXCALL_E_NOSPACE);
    EXPECT_NE(stored.err_text.find("No space left on device; free space"), std::string::npos) << stored.err_text;
    EXPECT_GE(stored.n_ok, 4u);
    EXPECT_LE(stored.n_ok, 8u);
    EXPECT_EQ(std::count(stored.status.begin(), stored.status.end(), kRefused), static_cast<std::ptrdiff_t>(keys.size() - stored.n_ok));
    EXPECT_EQ(Stat(connection, "sixcall_fs_no_space_total"), static_cast<int64_t>(keys.size() - stored.n_ok));
    EXPECT_EQ(UsageOf(connection).bytes_used, stored.n_ok * kLen);

    const Result loaded = connection.Run(Request::Get(keys, kLen));
    std::vector<std::string> there;
    for (size_t i = 0; i < keys.size(); ++i) {
      EXPECT_EQ(loaded.status[i], stored.status[i] == kHit ? kHit : kMiss);
      if (loaded.status[i] != kHit) continue;
      EXPECT_TRUE(loaded.values[i] == values[i]);
      there.push_back(keys[i]);
    }
    const Result over = connection.Run(Request::Set({there[0]}, {Pattern(99, 1 << 20)}));
    EXPECT_EQ(over.status, Statuses{kRefused});
    EXPECT_EQ(connection.Run(Request::Get({there[0]}, kLen)).n_ok, 1u) << "the old value stays";

    EXPECT_EQ(connection.Run(Request::Delete(there)).n_ok, there.size());
    EXPECT_EQ(connection.Run(Request::Set({"k"}, {values[0]})).n_ok, 1u) << "room again";
  }
}

TEST(FsSpace, ALimitOfTheFileSizeRefusesAndDoesNotKill) {
  TempFolder folder;
  Connection connection(Fs(), FsOptions(folder.path()));
  struct rlimit before, limit;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  limit = before;
  limit.rlim_cur = 100000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  const Result stored = connection.Run(Request::Set({"small", "large"}, {Pattern(1, 90000), Pattern(2, 200000)}));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(stored.status, (Statuses{kHit, kRefused}));
  EXPECT_EQ(connection.Run(Request::Exists({"small", "large"})).status, (Statuses{kHit, kMiss}));
}

}  // namespace
}  // namespace sixcall_test
