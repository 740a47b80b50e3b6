// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_REDIS_LISTING_H
#define SIXCALL_REDIS_LISTING_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace redis {

/// Where a listing stands: in the scan of one server, and inside one answer of it
/// when a page could not hold all of that. It needs no memory on our side.
struct ListCursor {
  uint64_t map = 0;      // the signature of the topology
  uint16_t node = 0;     // that is being scanned
  uint64_t scan = 0;     // the server's cursor to ask with
  uint64_t next = 0;     // the cursor that this scan led to before
  uint64_t after = 0;    // entries with a hash up to this one have been listed
  bool partly = false;   // next and after count

  /// Throws SIXCALL_E_INVAL for what no page has left.
  static ListCursor Read(std::string_view text);
  std::string Text() const;
};

/// The order of the entries of one answer: keys by their hash.
uint64_t ListHash(std::string_view key);

/// The pattern that matches exactly the keys that begin with prefix.
std::string PrefixPattern(std::string_view prefix);

/// The keys of an answer in the order of their hashes, each once, without the
/// prefix, without those that have been listed.
struct ListedKey {
  uint64_t hash;
  std::string key;
};
std::vector<ListedKey> SortListed(std::vector<std::string> keys, std::string_view prefix, const ListCursor& cursor);

}  // namespace redis

#endif  // SIXCALL_REDIS_LISTING_H
