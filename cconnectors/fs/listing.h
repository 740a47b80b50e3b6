// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_FS_LISTING_H
#define SIXCALL_FS_LISTING_H

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "folder.h"
#include "sixcall/connector.hpp"

namespace fs {

/// Lists the keys of a folder page by page, in the order of the hashes of their
/// file names: a cursor is a hash, and means the same whatever was stored or
/// removed meanwhile, also in another process. Positions in a folder would not, on
/// every file system. Names are read in windows of bounded memory, and one window
/// is kept for the next page. Safe for concurrent use.
class Listing {
 public:
  /// Fills one page. Throws Error.
  void Fill(const Folder& folder, sixcall::Page& page);

  /// Names in a window; for tests.
  void set_window(size_t names) { window_ = names; }

 private:
  struct Name {
    uint64_t hash;
    uint32_t shard;
    std::string text;
  };
  /// The names with from <= hash < until, in that order.
  struct Window {
    const Folder* folder = nullptr;
    uint64_t from = 0;
    uint64_t until = 0;  // 0 = to the end
    std::vector<Name> names;
  };

  std::shared_ptr<const Window> Read(const Folder& folder, uint64_t from) const;
  std::shared_ptr<const Window> Take(const Folder& folder, uint64_t from, bool fresh);

  size_t window_ = 128 << 10;  // about 20 MiB
  std::mutex mu_;  // guards kept_
  std::shared_ptr<const Window> kept_;
};

}  // namespace fs

#endif  // SIXCALL_FS_LISTING_H
