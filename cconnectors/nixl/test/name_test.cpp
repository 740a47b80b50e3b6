// SPDX-License-Identifier: Apache-2.0
#include "name.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace nixl {
namespace {

std::string Name(const std::string &key, bool shards = false) { return PlaceOf(key, shards).path; }

TEST(Name, OfLMCacheKeysIsLMCaches) {
  EXPECT_EQ(Name("llama@000000ff@0@00010203"), "llama@0x000000ff@0@00010203.data");
  EXPECT_EQ(Name("meta/llama@01000100@0@abcd"), "meta-SEP-llama@0x01000100@0@abcd.data");
  EXPECT_EQ(Name("org/model@0000002a@7@00112233@tenant"), "org-SEP-model@0x0000002a@7@00112233@tenant.data");
  EXPECT_EQ(Name("m@10000000000@12c@ab@s"), "m@0x10000000000@12c@ab@s.data");
  EXPECT_EQ(Name("m@-0000001@0@ab"), "m@-0x0000001@0@ab.data");
}

TEST(Name, KeepsApartWhatLMCacheMixesUp) {
  EXPECT_EQ(Name("a/b@00000000@0@ab"), "a-SEP-b@0x00000000@0@ab.data");
  EXPECT_EQ(Name("a-SEP-b@00000000@0@ab"), "a%2DSEP%2Db@0x00000000@0@ab.data");
  EXPECT_EQ(Name("a%2DSEP%2Db@00000000@0@ab"), "a%252DSEP%252Db@0x00000000@0@ab.data");
  EXPECT_NE(Name("a-SEP/b@00000000@0@ab"), Name("a/SEP-b@00000000@0@ab"));
}

TEST(Name, OfOtherKeysIsEscaped) {
  EXPECT_EQ(Name("plain-key_1.x"), "%key-plain-key_1.x.data");
  EXPECT_EQ(Name("../../etc/passwd"), "%key-..%2F..%2Fetc%2Fpasswd.data");
  EXPECT_EQ(Name(std::string("\0\n\xFF", 3)), "%key-%00%0A%FF.data");
  for (const char *no_key : {"m@0000000@0@ab", "m@00000000@00@ab", "m@00000000@0@abc", "m@00000000@0@AB", "m@00000000@0@ab@", "m@00000000@0@ab@x@y",
                             "m@000000001@0@ab", "m@00000000@@ab", "m@-0000000@0@ab"}) {
    EXPECT_EQ(Name(no_key).substr(0, 5), "%key-") << no_key;
  }
}

TEST(Name, MayBeTwoFoldersDeep) {
  EXPECT_EQ(Name("org/model@0000002a@7@00112233@tenant", true), "00/11/org-SEP-model@0x0000002a@7@00112233@tenant.data");
  EXPECT_EQ(PlaceOf("m@00000000@0@00112233", true).folders, 6u);
  EXPECT_EQ(Name("m@00000000@0@ab", true), "m@0x00000000@0@ab.data") << "too short for two folders";
}

TEST(Name, OfLongKeysIsCutIntoFolders) {
  const std::string key(500, '/');
  const Place place = PlaceOf(key, false);
  EXPECT_GT(place.folders, 0u);
  EXPECT_EQ(place.path[place.folders - 1], '/');
}

// Whatever the key: every part is a plain name, and no two keys share a path or
// have one below the other.
TEST(Name, IsSafeAndDifferentForEveryKey) {
  std::minstd_rand random(7);
  std::map<std::string, std::string> keys;
  const std::string few = "@/.%-0aSEP\0";
  for (int i = 0; i < 60000; ++i) {
    std::string key;
    const size_t size = 1 + random() % (i % 3 == 0 ? 1024 : 6);
    const bool any = i % 2 == 0;
    for (size_t k = 0; k < size; ++k) key += any ? static_cast<char>(random() >> 5) : few[random() % few.size()];
    if (i % 5 == 0) key = std::string(few, 0, random() % 10) + key.substr(0, 20) + "@00000000@0@ab";
    const bool shards = false;
    const Place place = PlaceOf(key, shards);
    size_t from = 0;
    while (from <= place.path.size()) {
      const size_t end = std::min(place.path.find('/', from), place.path.size());
      const std::string part = place.path.substr(from, end - from);
      ASSERT_FALSE(part.empty() || part == "." || part == "..") << place.path;
      ASSERT_LE(part.size(), 255u);
      ASSERT_EQ(part.find('\0'), std::string::npos);
      ASSERT_EQ(end == place.path.size(), part.size() > 5 && part.substr(part.size() - 5) == ".data" && from == place.folders);
      from = end + 1;
    }
    const auto [it, is_new] = keys.emplace(place.path, key);
    ASSERT_TRUE(is_new || it->second == key) << place.path;
  }
  for (auto it = keys.begin(); it != keys.end(); ++it) {
    const auto next = keys.lower_bound(it->first + "/");
    ASSERT_TRUE(next == keys.end() || next->first.compare(0, it->first.size() + 1, it->first + "/") != 0) << it->first;
  }
}

}  // namespace
}  // namespace nixl
