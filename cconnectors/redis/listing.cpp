// SPDX-License-Identifier: Apache-2.0
#include "listing.h"

#include <algorithm>
#include <cstring>

#include "sixcall/connector.hpp"

namespace redis {
namespace {

constexpr char kVersion = 1;
constexpr size_t kSize = 1 + 1 + 2 + 4 * 8;

}  // namespace

ListCursor ListCursor::Read(std::string_view text) {
  ListCursor c;
  if (text.size() != kSize || text[0] != kVersion || static_cast<unsigned char>(text[1]) > 1) throw sixcall::Error(SIXCALL_E_INVAL, "list: the cursor is not one of this connector");
  c.partly = text[1] == 1;
  std::memcpy(&c.node, text.data() + 2, 2);
  std::memcpy(&c.map, text.data() + 4, 8);
  std::memcpy(&c.scan, text.data() + 12, 8);
  std::memcpy(&c.next, text.data() + 20, 8);
  std::memcpy(&c.after, text.data() + 28, 8);
  return c;
}

std::string ListCursor::Text() const {
  std::string text(kSize, '\0');
  text[0] = kVersion;
  text[1] = partly ? 1 : 0;
  std::memcpy(text.data() + 2, &node, 2);
  std::memcpy(text.data() + 4, &map, 8);
  std::memcpy(text.data() + 12, &scan, 8);
  std::memcpy(text.data() + 20, &next, 8);
  std::memcpy(text.data() + 28, &after, 8);
  return text;
}

uint64_t ListHash(std::string_view key) {
  uint64_t hash = 14695981039346656037u;
  for (const char c : key) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return hash ^ (hash >> 32);
}

std::string PrefixPattern(std::string_view prefix) {
  std::string out;
  for (const char c : prefix) {
    if (std::strchr("*?[]\\^-", c) != nullptr && c != '\0') out += '\\';
    out += c;
  }
  return out + "*";
}

std::vector<ListedKey> SortListed(std::vector<std::string> keys, std::string_view prefix, const ListCursor& cursor) {
  std::vector<ListedKey> out;
  out.reserve(keys.size());
  for (std::string& key : keys) {
    // A key that is the prefix and nothing else is none of ours.
    if (key.size() <= prefix.size() || key.compare(0, prefix.size(), prefix) != 0) continue;
    const uint64_t hash = ListHash(key);
    if (cursor.partly && hash <= cursor.after) continue;
    out.push_back({hash, std::move(key)});
  }
  std::sort(out.begin(), out.end(), [](const ListedKey& a, const ListedKey& b) { return a.hash != b.hash ? a.hash < b.hash : a.key < b.key; });
  out.erase(std::unique(out.begin(), out.end(), [](const ListedKey& a, const ListedKey& b) { return a.key == b.key; }), out.end());
  return out;
}

}  // namespace redis
