// SPDX-License-Identifier: Apache-2.0
//
// What is stored comes back, and nothing else does.
#include <thread>

#include "fs.h"
#include "harness/shared_host.h"

namespace sixcall_test {
namespace {

TEST(FsValues, OfAllSizesComeBackInEveryFlavour) {
  const std::vector<size_t> sizes = {0, 1, 511, 4095, 4096, 4097, 8192, 65536, 100000, 1 << 20, (3 << 20) + 4096, (2 << 20) + 1};
  for (const std::string &flavour : Flavours()) {
    SCOPED_TRACE(flavour);
    TempFolder folder;
    std::vector<std::string> keys, values;
    std::vector<uint64_t> lens;
    for (size_t i = 0; i < sizes.size(); ++i) {
      keys.push_back(L2Key(i));
      values.push_back(Pattern(i, sizes[i]));
      lens.push_back(sizes[i]);
    }
    {
      Connection connection(Fs(), FsOptions(folder.path(), flavour));
      for (const Edge edge : {Edge::kStart, Edge::kEnd}) {  // kStart is aligned to a page
        Request set = Request::Set(keys, values);
        set.edge = edge;
        const Result stored = connection.Run(set);
        ASSERT_EQ(stored.n_ok, keys.size()) << stored.err_text;
        Request get = Request::Get(keys, lens);
        get.edge = edge;
        get.value_lens = true;
        const Result loaded = connection.Run(get);
        EXPECT_EQ(loaded.n_ok, keys.size()) << loaded.err_text;
        EXPECT_TRUE(loaded.values == values);
        EXPECT_EQ(loaded.value_lens, lens);
      }
    }
    Connection again(Fs(), FsOptions(folder.path(), flavour));
    EXPECT_TRUE(again.Run(Request::Get(keys, lens)).values == values) << "values outlive the connection";
  }
}

TEST(FsValues, LieInOneFileEachUnderLMCachesName) {
  TempFolder folder;
  Connection connection(Fs(), FsOptions(folder.path()));
  connection.Run(Request::Set({L2Key(1), L2Key(2) + "@alice", "m@-0000001@a@ab"}, {"one", "two", ""}));
  EXPECT_EQ(ReadFile(folder / L2Name(1)), "one");
  EXPECT_EQ(ReadFile(folder / "meta-SEP-llama@0x01000100@0@0000000000000002@alice.data"), "two");
  EXPECT_EQ(ReadFile(folder / "m@-0x0000001@a@ab.data"), "");
  WriteFile(folder / L2Name(7), "by another");
  EXPECT_EQ(connection.Run(Request::Get({L2Key(7)}, 10)).values[0], "by another");
}

TEST(FsValues, ModelsThatShareAFileInLMCacheDoNotHere) {  // row 12
  TempFolder folder;
  Connection connection(Fs(), FsOptions(folder.path()));
  const std::vector<std::string> keys = {L2Key(1, "a/b"), L2Key(1, "a-SEP-b"), L2Key(1, "a-SEP/b"), L2Key(1, "a/SEP-b"), L2Key(1, "a%2DSEP-b")};
  const std::vector<std::string> values = {"1", "2", "3", "4", "5"};
  ASSERT_EQ(connection.Run(Request::Set(keys, values)).n_ok, keys.size());
  EXPECT_EQ(connection.Run(Request::Get(keys, 1)).values, values);
}

TEST(FsValues, ExistsAndGetTellTheStoredLength) {
  TempFolder folder;
  for (const std::string &more : {std::string(), std::string(R"("shards":16)")}) {
    Connection connection(Fs(), FsOptions(folder.path(), more));
    const std::string long_key(3000, '\x80');
    connection.Run(Request::Set({"a", long_key}, {Pattern(1, 5000), Pattern(2, 77)}));
    Request exists = Request::Exists({"a", "absent", long_key});
    exists.value_lens = true;
    const Result found = connection.Run(exists);
    EXPECT_EQ(found.status, (Statuses{kHit, kMiss, kHit}));
    EXPECT_EQ(found.value_lens, (std::vector<uint64_t>{5000, SIXCALL_LEN_UNKNOWN, 77}));
    Request get = Request::Get({"a", long_key}, {4999, 78});
    get.value_lens = true;
    const Result other = connection.Run(get);
    EXPECT_EQ(other.status, (Statuses{kSize, kSize}));
    EXPECT_EQ(other.value_lens, (std::vector<uint64_t>{5000, 77}));
  }
}

TEST(FsValues, ShortAndLongFilesAreNoHitsAndAreWrittenAnew) {  // rows 101 and 102
  for (const std::string &flavour : Flavours()) {
    if (flavour.find("shards") != std::string::npos) continue;  // the files lie elsewhere
    SCOPED_TRACE(flavour);
    TempFolder folder;
    WriteFile(folder / L2Name(1), "trunca");
    WriteFile(folder / L2Name(2), "");
    WriteFile(folder / L2Name(3), "longer than it was");
    Connection connection(Fs(), FsOptions(folder.path(), flavour));
    const std::vector<std::string> keys = {L2Key(1), L2Key(2), L2Key(3)};
    EXPECT_EQ(connection.Run(Request::Get(keys, 10)).status, (Statuses{kSize, kSize, kSize}));
    ASSERT_EQ(connection.Run(Request::Set(keys, {"0123456789", "abcdefghij", "ABCDEFGHIJ"})).n_ok, 3u);
    const Result loaded = connection.Run(Request::Get(keys, 10));
    EXPECT_EQ(loaded.values, (std::vector<std::string>{"0123456789", "abcdefghij", "ABCDEFGHIJ"}));
    EXPECT_EQ(UsageOf(connection).bytes_used, 30u);
    EXPECT_EQ(UsageOf(connection).keys, 3u);
    for (const size_t len : {256 << 10, (256 << 10) + 1, 1 << 20}) {  // around where the size is looked at first
      connection.Run(Request::Set({keys[0]}, {Pattern(9, len)}));
      EXPECT_EQ(connection.Run(Request::Get({keys[0], keys[0], keys[0]}, {len - 1, len, len + 1})).status, (Statuses{kSize, kHit, kSize}));
    }
  }
}

TEST(FsValues, ASetReplacesAndKeepIsForEqualSizes) {
  TempFolder folder;
  {
    Connection connection(Fs(), FsOptions(folder.path()));
    connection.Run(Request::Set({"k"}, {"old"}));
    connection.Run(Request::Set({"k"}, {"new"}));
    EXPECT_EQ(connection.Run(Request::Get({"k"}, 3)).values[0], "new");
    EXPECT_EQ(Stat(connection, "sixcall_fs_replaced_total"), 1);
  }
  Connection connection(Fs(), FsOptions(folder.path(), R"("existing":"keep")"));
  EXPECT_EQ(connection.Run(Request::Set({"k"}, {"abc"})).n_ok, 1u);
  EXPECT_EQ(connection.Run(Request::Get({"k"}, 3)).values[0], "new");
  EXPECT_EQ(Stat(connection, "sixcall_fs_kept_total"), 1);
  EXPECT_EQ(connection.Run(Request::Set({"k"}, {"longer"})).n_ok, 1u);
  EXPECT_EQ(connection.Run(Request::Get({"k"}, 6)).values[0], "longer") << "another size is never kept";
}

TEST(FsValues, AnyBytesAreAKeyAndNoTwoAreOne) {
  const std::vector<std::string> keys = {
      "..", ".", "/", "../../etc/passwd", "/etc/passwd", std::string("a\0b", 3), std::string("\0", 1), std::string("a", 1), "\xFF\xFE",
      "a/b", "a-SEP-b", "a%2Fb", "a\nb", "%", "%25", "%key-a", "%long-", "@", "@@@", "m@0@0@ab", "m@00000000@0@ab", "m@00000000@0@AB",
      "m@00000000@00@ab", "m@0x00000000@0@ab", "m@00000000@0@ab@", "m@00000000@0@ab@s", "m@00000000@0@ab@s/t", "m@00000000@0@ab@s-SEP-t",
      "m@000000000@0@ab", "m@-0000000@0@ab", "m@-0000001@0@ab", "@00000000@0@", ".data", "a.data", ".sixcall-1-2.lock",
      std::string(250, 'k'), std::string(251, 'k'), std::string(4096, 'k'), std::string(4095, 'k') + "l", std::string(400, '\0'),
      "m@00000000@0@" + std::string(222, 'a'), "m@00000000@0@" + std::string(240, 'a'), "m@00000000@0@" + std::string(238, 'a') + "ab"};
  for (const std::string &more : {std::string(), std::string(R"("names":"remote")"), std::string(R"("shards":4)")}) {
    SCOPED_TRACE(more);
    TempFolder outer;
    Connection connection(Fs(), FsOptions(outer / "cache", more));
    std::vector<std::string> values;
    for (size_t i = 0; i < keys.size(); ++i) values.push_back(Pattern(i, 20));
    const Result stored = connection.Run(Request::Set(keys, values));
    ASSERT_EQ(stored.n_ok, keys.size()) << stored.err_text;
    EXPECT_TRUE(connection.Run(Request::Get(keys, 20)).values == values);
    std::vector<std::string> listed;
    for (const ListedKey &entry : ListAll(connection, 8192)) {
      listed.push_back(entry.key);
      EXPECT_EQ(entry.value_len, 20u);
    }
    auto sorted = keys;
    std::sort(sorted.begin(), sorted.end());
    std::sort(listed.begin(), listed.end());
    EXPECT_TRUE(listed == sorted);
    EXPECT_EQ(outer.Names(), std::vector<std::string>{"cache"}) << "nothing was written outside";
    EXPECT_EQ(connection.Run(Request::Delete(keys)).n_ok, keys.size());
    EXPECT_EQ(UsageOf(connection).bytes_used, 0u);
    EXPECT_EQ(UsageOf(connection).keys, 0u);
  }
}

TEST(FsValues, ALongKeysFileBelongsToItAlone) {
  TempFolder folder;
  Connection connection(Fs(), FsOptions(folder.path()));
  const std::string key(300, 'k');
  ASSERT_EQ(connection.Run(Request::Set({key}, {"value"})).n_ok, 1u);
  const std::string name = [&] {
    for (const std::string &n : folder.Names()) {
      if (n.substr(0, 6) == "%long-") return n;
    }
    return std::string();
  }();
  ASSERT_NE(name, "");
  const std::string content = ReadFile(folder / name);
  // As if another key had the same hash.
  std::string other = content;
  other[5] = 'x';
  WriteFile(folder / name, other);
  EXPECT_EQ(connection.Run(Request::Get({key}, 5)).status, Statuses{kMiss});
  EXPECT_EQ(connection.Run(Request::Exists({key})).status, Statuses{kMiss});
  EXPECT_EQ(connection.Run(Request::Delete({key})).status, Statuses{kMiss});
  for (const std::string &damaged : {content.substr(0, content.size() - 1), std::string("short"), std::string(16, '\xFF'), std::string()}) {
    WriteFile(folder / name, damaged);
    EXPECT_EQ(connection.Run(Request::Get({key}, 5)).status, Statuses{kMiss});
    EXPECT_TRUE(ListAll(connection, 8192).empty());
  }
  ASSERT_EQ(connection.Run(Request::Set({key}, {"again"})).n_ok, 1u);
  EXPECT_EQ(connection.Run(Request::Get({key}, 5)).values[0], "again");
}

TEST(FsValues, DeleteTellsWhatWasThere) {
  TempFolder folder;
  Connection connection(Fs(), FsOptions(folder.path()));
  connection.Run(Request::Set({"k"}, {"v"}));
  EXPECT_EQ(connection.Run(Request::Delete({"k", "absent", "k"})).status, (Statuses{kHit, kMiss, kMiss}));  // row 39
  EXPECT_EQ(connection.Run(Request::Exists({"k"})).status, Statuses{kMiss});
}

TEST(FsValues, ABatchLargerThanTheWindowMovesWhole) {
  TempFolder folder;
  Connection connection(Fs(), FsOptions(folder.path(), R"("engine":"io_uring","queue_depth":8,"workers":1)"));
  std::vector<std::string> keys, values;
  for (int i = 0; i < 500; ++i) keys.push_back(L2Key(i)), values.push_back(Pattern(i, 4096 + i));
  ASSERT_EQ(connection.Run(Request::Set(keys, values)).n_ok, keys.size());
  std::vector<uint64_t> lens;
  for (const auto &v : values) lens.push_back(v.size());
  EXPECT_TRUE(connection.Run(Request::Get(keys, lens)).values == values);
}

TEST(FsValues, DirectTransfersAreCountedAndSoAreFallbacks) {
  TempFolder folder;
  for (const std::string engine : {"threads", "io_uring"}) {
    SCOPED_TRACE(engine);
    Connection connection(Fs(), FsOptions(folder.path(), R"("o_direct":true,"engine":")" + engine + "\""));
    const std::string value = Pattern(1, 16384);
    Request set = Request::Set({"k", "odd"}, {value, "12345"});
    set.edge = Edge::kStart;
    ASSERT_EQ(connection.Run(set).n_ok, 2u);
    Request get = Request::Get({"k", "odd"}, {16384, 5});
    get.edge = Edge::kStart;
    EXPECT_EQ(connection.Run(get).values, (std::vector<std::string>{value, "12345"}));
    const int64_t direct = Stat(connection, "sixcall_fs_direct_total");
    const int64_t refused = Stat(connection, "sixcall_fs_direct_fallbacks_total{reason=\"refused\"}");
    EXPECT_EQ(direct + refused, 2) << "both ways of k, or the file system has no O_DIRECT";
    EXPECT_EQ(Stat(connection, "sixcall_fs_direct_fallbacks_total{reason=\"unaligned\"}"), 2) << "both ways of odd";
    EXPECT_EQ(Stat(connection, "sixcall_fs_io_uring_transfers_total") != 0, engine == "io_uring");
  }
}

TEST(FsValues, ManyThreadsOverwriteAndNoValueIsTorn) {  // row 103
  TempFolder folder;
  for (const std::string &more : {std::string(R"("workers":4)"), std::string(R"("workers":4,"temp_files":"named","engine":"io_uring")")}) {
    SharedHost host(Fs(), FsOptions(folder.path(), more).config);
    constexpr size_t kLen = 20000;
    const std::vector<std::string> keys = {L2Key(1), L2Key(2), L2Key(3)};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        std::vector<char> out(kLen), in(kLen);
        for (int i = 0; i < 300; ++i) {
          const std::string &key = keys[static_cast<size_t>(i + t) % keys.size()];
          SharedHost::Call set(1), get(1);
          out.assign(kLen, static_cast<char>(t * 64 + i % 64));
          set.SetKey(0, key);
          set.SetBuf(0, out.data(), kLen);
          host.Run(SIXCALL_OP_SET, set);
          ASSERT_EQ(set.status[0], kHit);
          get.SetKey(0, key);
          get.SetBuf(0, in.data(), kLen);
          host.Run(SIXCALL_OP_GET, get);
          ASSERT_EQ(get.status[0], kHit) << "an overwritten key is never absent";
          ASSERT_EQ(std::count(in.begin(), in.end(), in[0]), static_cast<std::ptrdiff_t>(kLen)) << "torn";
        }
      });
    }
    for (auto &thread : threads) thread.join();
    sixcall_usage usage = {};
    usage.struct_size = sizeof(usage);
    ASSERT_EQ(Fs()->usage(host.handle(), &usage), SIXCALL_OK);
    EXPECT_EQ(usage.keys, keys.size());
    EXPECT_EQ(usage.bytes_used, keys.size() * kLen);
  }
  EXPECT_EQ(folder.Leftovers(), std::vector<std::string>{});
}

}  // namespace
}  // namespace sixcall_test
