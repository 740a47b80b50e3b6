// SPDX-License-Identifier: Apache-2.0
#include "../name.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <random>
#include <sstream>

namespace fs {
namespace {

std::string FromHex(const std::string &hex) {
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return out;
}

std::string NameOf(const std::string &key, Layout layout = Layout::kFs) { return std::string(Names(layout).Of(key).view()); }

// names.txt was written by the Go side, see names_test.go.
TEST(FsName, AgreesWithGo) {
  std::ifstream in(SIXCALL_TEST_FS_NAMES);
  ASSERT_TRUE(in) << SIXCALL_TEST_FS_NAMES;
  std::string line;
  int n = 0;
  while (std::getline(in, line)) {
    std::istringstream words(line);
    std::string key, name;
    words >> key >> name;
    EXPECT_EQ(NameOf(FromHex(key)), FromHex(name)) << line;
    n++;
  }
  EXPECT_GT(n, 500);
}

TEST(FsName, IsLMCachesForItsKeys) {
  EXPECT_EQ(NameOf("meta/llama@01000100@0@abcd"), "meta-SEP-llama@0x01000100@0@abcd.data");  // row 11
  EXPECT_EQ(NameOf("m@10000000000@12c@ab@s"), "m@0x10000000000@12c@ab@s.data");
  EXPECT_EQ(NameOf("@00000000@0@"), "@0x00000000@0@.data");
  EXPECT_EQ(NameOf("a-SEP-b@00000001@0@ab"), "a%2DSEP%2Db@0x00000001@0@ab.data");
  EXPECT_EQ(NameOf("../x@00000001@0@ab"), "..-SEP-x@0x00000001@0@ab.data");
}

TEST(FsName, OfOtherKeysIsEscaped) {
  EXPECT_EQ(NameOf("../../etc/passwd"), "%key-..%2F..%2Fetc%2Fpasswd.data");
  EXPECT_EQ(NameOf(std::string("a\0@", 3)), "%key-a%00%40.data");
  EXPECT_EQ(NameOf("m@1@0@ab"), "%key-m%401%400%40ab.data") << "a rank of less than eight digits";
  EXPECT_EQ(NameOf("m@00000001@0@AB"), "%key-m%4000000001%400%40AB.data");
}

TEST(FsName, OfNegativeRanksHasTwoForms) {
  EXPECT_EQ(NameOf("m@-0000001@0@ab"), "m@-0x0000001@0@ab.data");
  EXPECT_EQ(NameOf("m@-0000001@0@ab", Layout::kFsNative), "m@0x-0000001@0@ab.data");
  EXPECT_EQ(NameOf("m@00000001@0@ab", Layout::kFsNative), "m@0x00000001@0@ab.data");
}

TEST(FsName, OfTheRemoteConnectorIsTheKeysText) {
  EXPECT_EQ(NameOf("vllm@meta/llama@1@0@abc@bfloat16", Layout::kRemote), "vllm@meta-SEP-llama@1@0@abc@bfloat16.data");
  EXPECT_EQ(NameOf("a-SEP-b", Layout::kRemote), "a%2DSEP%2Db.data");
  EXPECT_EQ(NameOf("org/m@1@0@abc@bfloat16@u%b", Layout::kRemote), "org-SEP-m@1@0@abc@bfloat16@u%b.data");
  EXPECT_EQ(NameOf("m@u%25", Layout::kRemote), "m@u%2525.data");
  EXPECT_EQ(NameOf("%long-x", Layout::kRemote), "%25long%2Dx.data");
  EXPECT_EQ(NameOf(".", Layout::kRemote), "..data");
}

TEST(FsName, NeverExceedsTheLimit) {
  for (const uint32_t limit : {64u, 143u, 255u, 1000u}) {
    const Names names(Layout::kFs, limit);
    for (size_t len = 1; len < 600; len++) {
      const FileName name = names.Of(std::string(len, 'k'));
      EXPECT_LE(name.size, std::min(limit, 255u));
      EXPECT_EQ(name.c_str()[name.size], 0);
      EXPECT_EQ(name.long_key, len + 10 > std::min(limit, 255u)) << len;
    }
  }
}

TEST(FsName, DoesNotTakeForeignNamesForKeys) {  // row 13
  std::string key;
  for (const char *name : {"", "m.data", ".data", "m@0x0@0@ab@s@t.data", "m@0x00000000@0@ab.data.tmp", "m@0x00000000@0@xyz.data", "m@0x00000000@-1@ab.data",
                           "m@00000000@0@ab.data", "m@0x0@0@ab.data", "m@0x00000000@0@AB.data", "m@0x00000000@0@ab@.data", "m%@0x00000000@0@ab.data",
                           "m%41@0x00000000@0@ab.data", "%key-.data", "%key-%zz.data", "%key-%4.data", "%key-m%4000000000%400%40ab.data",
                           "%long-abc.data", "%long-0123456789abcdef0123456789ABCDEF.data", ".sixcall-1-2.lock", ".sixcall-1-2.3.tmp"}) {
    EXPECT_EQ(Names(Layout::kFs).Parse(name, &key), Names::Kind::kForeign) << name;
  }
  EXPECT_EQ(Names(Layout::kFs).Parse("%long-0123456789abcdef0123456789abcdef.data", &key), Names::Kind::kLong);
}

// Keys of few, dangerous bytes: different keys have different names, and a name
// that is no hash leads back to its key.
TEST(FsName, IsInjective) {
  const std::vector<std::string> pieces = {"-", "SEP", "-SEP-", "/", "%", "%2D", "%25", "@", "@0x", "@00000000", "@0", "@ab", "-0000001", "a", ".", "..",
                                           std::string("\0", 1), "\xFF", ".data", "%key-", "%long-", "s"};
  for (const Layout layout : {Layout::kFs, Layout::kFsNative, Layout::kRemote}) {
    const Names names(layout);
    std::map<std::string, std::string> seen;
    std::mt19937 random(7);
    for (int i = 0; i < 200000; i++) {
      std::string key;
      const bool shaped = i % 2 == 0;  // model@rank@group@hash[@salt]
      for (unsigned n = 1 + random() % 5; n > 0; n--) key += pieces[random() % pieces.size()];
      if (shaped) key += random() % 2 == 0 ? "@00000001@0@ab" : "@00000001@0@ab@" + pieces[random() % pieces.size()];
      const FileName name = names.Of(key);
      const std::string text(name.view());
      ASSERT_EQ(text.find('/'), std::string::npos);
      ASSERT_EQ(text.find('\0'), std::string::npos);
      ASSERT_NE(text.substr(0, 9), ".sixcall-");
      const auto [at, fresh] = seen.emplace(text, key);
      ASSERT_TRUE(fresh || at->second == key) << text << " is the name of two keys";
      std::string back;
      ASSERT_EQ(names.Parse(text, &back), Names::Kind::kKey) << text;
      ASSERT_EQ(back, key) << text;
    }
  }
}

}  // namespace
}  // namespace fs
