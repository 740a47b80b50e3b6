// SPDX-License-Identifier: Apache-2.0
//
// Listing and usage, also of what others stored.
#include <atomic>
#include <set>
#include <thread>

#include "../listing.h"
#include "harness/threads.h"
#include "fs.h"

namespace sixcall_test {
namespace {

std::multiset<std::string> KeysOf(const std::vector<ListedKey> &entries) {
  std::multiset<std::string> keys;
  for (const ListedKey &entry : entries) keys.insert(entry.key);
  return keys;
}

void Store(Connection &connection, int from, int to, size_t len) {
  std::vector<std::string> keys, values;
  for (int i = from; i < to; ++i) keys.push_back(L2Key(i)), values.push_back(Pattern(i, len));
  ASSERT_EQ(connection.Run(Request::Set(keys, values)).n_ok, keys.size());
}

TEST(FsList, FindsEveryKeyAfterARestart) {  // row 104
  for (const std::string &more : {std::string(), std::string(R"("shards":16)"), std::string(R"("names":"remote")")}) {
    SCOPED_TRACE(more);
    TempFolder folder;
    std::multiset<std::string> want;
    {
      Connection connection(Fs(), FsOptions(folder.path(), more));
      EXPECT_EQ(UsageOf(connection).keys, 0u);
      Store(connection, 0, 300, 50);
      connection.Run(Request::Delete({L2Key(7)}));
      connection.Run(Request::Set({"other", std::string(999, 'x')}, {"1", "22"}));
    }
    for (int i = 0; i < 300; ++i) {
      if (i != 7) want.insert(L2Key(i));
    }
    want.insert("other");
    want.insert(std::string(999, 'x'));
    WriteFile(folder / "README", "not a value");
    WriteFile(folder / "meta-SEP-llama@0x01000100@0@xyz.data", "nor is this one of ours");

    Connection connection(Fs(), FsOptions(folder.path(), more));
    const uint64_t trailer = 999 + 16;
    const uint64_t foreign = more.find("remote") != std::string::npos ? 23 : 0;  // any text is a key there
    if (foreign != 0) want.insert("meta/llama@0x01000100@0@xyz");
    EXPECT_EQ(UsageOf(connection).bytes_used, 299u * 50 + 1 + 2 + trailer + foreign);
    EXPECT_EQ(UsageOf(connection).keys, want.size());
    EXPECT_EQ(UsageOf(connection).bytes_capacity, UINT64_MAX) << "the host's to know";
    for (const uint64_t page : {uint64_t{2048}, uint64_t{1} << 20}) {
      const auto entries = ListAll(connection, page);
      EXPECT_EQ(KeysOf(entries), want);
      for (const ListedKey &entry : entries) {
        if (entry.key.size() != 999) continue;
        EXPECT_EQ(entry.value_len, 2u) << "without its key";
      }
    }
    EXPECT_EQ(connection.Run(Request::List(16)).rc, SIXCALL_E_NOSPACE) << "no entry fits";
  }
}

TEST(FsList, APagesCursorHoldsWhateverHappensMeanwhile) {
  TempFolder folder;
  Connection lister(Fs(), FsOptions(folder.path()));
  Store(lister, 0, 200, 10);
  std::atomic<bool> stop{false};
  std::thread other([&] {  // another process would do the same
    Connection writer(Fs(), FsOptions(folder.path()));
    for (int i = 1000; !stop.load(); ++i) {
      writer.Run(Request::Set({L2Key(i)}, {"x"}));
      if (i % 2 == 0) writer.Run(Request::Delete({L2Key(i - 1)}));
      writer.Run(Request::Set({L2Key(i % 200)}, {Pattern(i, 10)}));
    }
  });
  for (int round = 0; round < 20; ++round) {
    const auto keys = KeysOf(ListAll(lister, 512));
    for (int i = 0; i < 200; ++i) EXPECT_EQ(keys.count(L2Key(i)), 1u) << i;
  }
  stop.store(true);
  other.join();
}

TEST(FsList, WindowsCoverAFolderOfAnySize) {
  TempFolder folder;
  fs::Settings settings;
  settings.base_path = folder.path();
  settings.shards = 3;
  const fs::Folder open(settings);
  std::set<std::string> want;
  for (int i = 0; i < 500; ++i) {
    const fs::FileName name = open.names().Of(L2Key(i));
    WriteFile(folder / ("0" + std::to_string(open.ShardOf(name))) + "/" + std::string(name.view()), "v");
    want.insert(L2Key(i));
  }
  for (const size_t window : {1, 2, 7, 64, 1000}) {
    fs::Listing listing;
    listing.set_window(window);
    std::multiset<std::string> got;
    alignas(8) uint8_t buf[700];
    sixcall_page page = {};
    page.struct_size = sizeof(page);
    page.buf = buf;
    page.cap = sizeof(buf);
    do {
      sixcall::Page out(&page);
      listing.Fill(open, out);
      for (uint64_t at = 0; at < page.used;) {
        uint32_t len;
        std::memcpy(&len, buf + at, 4);
        got.insert(std::string(reinterpret_cast<char *>(buf + at + 16), len));
        at += 16 + (len + 7) / 8 * 8;
      }
    } while ((page.flags & SIXCALL_PAGE_LAST) == 0);
    EXPECT_EQ(got, std::multiset<std::string>(want.begin(), want.end())) << window;
  }
}

TEST(FsUsage, FollowsWhatIsStoredAndRemoved) {
  TempFolder folder;
  Connection connection(Fs(), FsOptions(folder.path(), R"("rescan_seconds":0)"));
  connection.Run(Request::Set({"a", "b"}, {Pattern(1, 100), Pattern(2, 50)}));
  EXPECT_EQ(UsageOf(connection).bytes_used, 150u);
  connection.Run(Request::Set({"a"}, {Pattern(1, 30)}));
  EXPECT_EQ(UsageOf(connection).bytes_used, 80u);
  EXPECT_EQ(UsageOf(connection).keys, 2u);
  connection.Run(Request::Delete({"a", "a", "c"}));
  EXPECT_EQ(UsageOf(connection).bytes_used, 50u);
  EXPECT_EQ(UsageOf(connection).keys, 1u);
}

TEST(FsUsage, LearnsWhatOtherProcessesDid) {
  TempFolder folder;
  Connection one(Fs(), FsOptions(folder.path(), R"("rescan_seconds":1)"));
  Connection other(Fs(), FsOptions(folder.path()));
  Store(other, 0, 10, 1000);
  EXPECT_TRUE(Eventually([&] { return UsageOf(one).bytes_used == 10000 && UsageOf(one).keys == 10; }));
  EXPECT_GE(Stat(one, "sixcall_fs_scans_total"), 2);
  EXPECT_GT(Stat(one, "sixcall_fs_free_bytes"), 0);
}

}  // namespace
}  // namespace sixcall_test
