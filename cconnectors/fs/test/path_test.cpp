// SPDX-License-Identifier: Apache-2.0
//
// Nothing outside of base_path is read or written, whatever the key, and whatever
// somebody put into the folder.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "fs.h"

namespace sixcall_test {
namespace {

namespace stdfs = std::filesystem;

TEST(FsPaths, ASymbolicLinkIsNotFollowed) {
  for (const std::string &flavour : Flavours()) {
    if (flavour.find("shards") != std::string::npos) continue;
    SCOPED_TRACE(flavour);
    TempFolder outside, folder;
    WriteFile(outside / "secret", "0123456789");
    stdfs::create_symlink(outside / "secret", folder / L2Name(1));
    stdfs::create_symlink(outside / "not there", folder / L2Name(2));
    stdfs::create_symlink(outside.path(), folder / L2Name(3));
    const std::vector<std::string> keys = {L2Key(1), L2Key(2), L2Key(3)};
    Connection connection(Fs(), FsOptions(folder.path(), flavour));
    EXPECT_EQ(connection.Run(Request::Get(keys, 10)).status, (Statuses{kMiss, kMiss, kMiss}));
    EXPECT_EQ(connection.Run(Request::Exists(keys)).status, (Statuses{kMiss, kMiss, kMiss}));
    EXPECT_EQ(connection.Run(Request::Delete(keys)).status, (Statuses{kMiss, kMiss, kMiss}));
    EXPECT_GE(Stat(connection, "sixcall_fs_foreign_files_total"), 6);
    EXPECT_TRUE(ListAll(connection, 8192).empty());
    EXPECT_EQ(UsageOf(connection).keys, 0u);

    ASSERT_EQ(connection.Run(Request::Set(keys, {"a", "b", "c"})).n_ok, 3u) << "the links are replaced";
    EXPECT_EQ(connection.Run(Request::Get(keys, 1)).values, (std::vector<std::string>{"a", "b", "c"}));
    EXPECT_EQ(ReadFile(outside / "secret"), "0123456789");
    EXPECT_EQ(outside.Names(), std::vector<std::string>{"secret"});
    EXPECT_EQ(UsageOf(connection).keys, 3u);
    EXPECT_EQ(UsageOf(connection).bytes_used, 3u);
  }
}

TEST(FsPaths, OtherThanFilesAreAbsentAndDoNotBlock) {
  TempFolder folder;
  ASSERT_EQ(mkfifo((folder / L2Name(1)).c_str(), 0600), 0);
  stdfs::create_directory(folder / L2Name(2));
  const int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::string socket_path = folder / L2Name(3);
  ASSERT_LT(socket_path.size(), sizeof(address.sun_path));
  socket_path.copy(address.sun_path, socket_path.size());
  ASSERT_EQ(bind(socket_fd, reinterpret_cast<const sockaddr *>(&address), sizeof(address)), 0);

  Connection connection(Fs(), FsOptions(folder.path()));
  const std::vector<std::string> keys = {L2Key(1), L2Key(2), L2Key(3)};
  EXPECT_EQ(connection.Run(Request::Get(keys, 0)).status, (Statuses{kMiss, kMiss, kMiss}));
  EXPECT_EQ(connection.Run(Request::Get(keys, 10)).status, (Statuses{kMiss, kMiss, kMiss}));
  EXPECT_EQ(connection.Run(Request::Exists(keys)).status, (Statuses{kMiss, kMiss, kMiss}));
  EXPECT_TRUE(ListAll(connection, 8192).empty());
  const Result stored = connection.Run(Request::Set(keys, {"a", "b", "c"}));
  EXPECT_EQ(stored.status, (Statuses{kHit, kError, kHit}));
  EXPECT_NE(stored.err_text.find("is a folder; remove it"), std::string::npos) << stored.err_text;
  EXPECT_EQ(connection.Run(Request::Get({L2Key(1), L2Key(3)}, 1)).values, (std::vector<std::string>{"a", "c"}));
  EXPECT_EQ(folder.Leftovers().size(), 1u) << "the lock file of the connection alone";
  close(socket_fd);
}

TEST(FsPaths, LinksAmongTheFoldersAreRefusedUnlessAllowed) {
  TempFolder outside, folder;
  stdfs::create_directory(outside / "sub");
  stdfs::create_symlink(outside.path(), folder / "link");
  for (const std::string &path : {folder / "link", folder / "link/sub", folder / "link/new"}) {
    Connection connection(Fs(), FsOptions(path));
    EXPECT_EQ(connection.open_rc(), SIXCALL_E_CONFIG) << path;
    EXPECT_NE(connection.open_error().find("\"link\" is a symbolic link; give the real path"), std::string::npos) << connection.open_error();
  }
  EXPECT_EQ(outside.Names(), std::vector<std::string>{"sub"}) << "nothing was created behind the link";
  Connection connection(Fs(), FsOptions(folder / "link/sub", R"("follow_symlinks":true)"));
  ASSERT_TRUE(connection.ok()) << connection.open_error();
  EXPECT_EQ(connection.Run(Request::Set({"k"}, {"v"})).n_ok, 1u);
}

TEST(FsPaths, AShardOrTemporaryFolderThatIsALinkIsRefused) {
  for (const bool allowed : {false, true}) {  // follow_symlinks is about base_path only
    const std::string follow = allowed ? R"(,"follow_symlinks":true)" : "";
    TempFolder outside, folder;
    stdfs::create_symlink(outside.path(), folder / "03");
    stdfs::create_symlink(outside.path(), folder / "tmp");
    {
      Connection connection(Fs(), FsOptions(folder.path(), R"("shards":16)" + follow));
      EXPECT_EQ(connection.open_rc(), SIXCALL_E_CONFIG);
      EXPECT_NE(connection.open_error().find("\"03\" is a symbolic link"), std::string::npos) << connection.open_error();
    }
    {
      Connection connection(Fs(), FsOptions(folder.path(), R"("tmp_dir":"tmp/x")" + follow));
      EXPECT_EQ(connection.open_rc(), SIXCALL_E_CONFIG);
      EXPECT_NE(connection.open_error().find("\"tmp\" is a symbolic link"), std::string::npos) << connection.open_error();
    }
    EXPECT_TRUE(outside.Names().empty());
  }
}

TEST(FsPaths, AShardThatIsExchangedForALinkLaterLeadsNowhere) {
  TempFolder outside, folder;
  Connection connection(Fs(), FsOptions(folder.path(), R"("shards":2)"));
  for (const char *shard : {"00", "01"}) {
    stdfs::rename(folder / shard, folder / (std::string("was-") + shard));
    stdfs::create_symlink(outside.path(), folder / shard);
  }
  std::vector<std::string> keys, values;
  for (int i = 0; i < 20; ++i) keys.push_back(L2Key(i)), values.push_back("v");
  connection.Run(Request::Set(keys, values));
  EXPECT_TRUE(outside.Names().empty());
}

}  // namespace
}  // namespace sixcall_test
