// SPDX-License-Identifier: Apache-2.0
#include "listing.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>

#include "scan.h"
#include "stored.h"

namespace fs {

std::shared_ptr<const Listing::Window> Listing::Read(const Folder& folder, uint64_t from) const {
  auto window = std::make_shared<Window>();
  window->folder = &folder;
  window->from = from;
  auto& names = window->names;
  const auto before = [](const Name& a, const Name& b) { return a.hash != b.hash ? a.hash < b.hash : a.text < b.text; };
  for (size_t shard = 0; shard < folder.shards(); shard++) {
    EachEntry(folder.shard(shard), [&](const char* text) {
      const uint64_t hash = Hash(text);
      if (hash < from || (window->until != 0 && hash >= window->until)) return true;
      names.push_back({hash, static_cast<uint32_t>(shard), text});
      if (names.size() < 2 * window_) return true;
      // Too many: keep the first half and leave the rest to a later window. Names
      // of one hash stay together.
      std::nth_element(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(window_), names.end(), before);
      const uint64_t until = names[window_].hash;
      if (std::none_of(names.begin(), names.end(), [&](const Name& n) { return n.hash < until; })) return true;
      window->until = until;
      names.erase(std::remove_if(names.begin(), names.end(), [&](const Name& n) { return n.hash >= until; }), names.end());
      return true;
    });
  }
  std::sort(names.begin(), names.end(), before);
  return window;
}

std::shared_ptr<const Listing::Window> Listing::Take(const Folder& folder, uint64_t from, bool fresh) {
  {
    std::lock_guard<std::mutex> lock(mu_);
    const Window* w = kept_.get();
    if (!fresh && w != nullptr && w->folder == &folder && w->from <= from && (w->until == 0 || from < w->until)) return kept_;
  }
  auto window = Read(folder, from);
  std::lock_guard<std::mutex> lock(mu_);
  kept_ = window;
  return window;
}

void Listing::Fill(const Folder& folder, sixcall::Page& page) {
  uint64_t from = 0;
  bool fresh = page.cursor().size() != sizeof(from);
  if (!fresh) std::memcpy(&from, page.cursor().data(), sizeof(from));
  std::string key;
  for (;;) {
    const auto window = Take(folder, from, fresh);
    fresh = false;
    auto at = std::lower_bound(window->names.begin(), window->names.end(), from, [](const Name& n, uint64_t hash) { return n.hash < hash; });
    for (; at != window->names.end(); ++at) {
      uint64_t len;
      if (!DescribeStored(folder, at->shard, at->text, &key, &len)) continue;
      if (page.Add(key, len)) continue;
      page.SetCursor({reinterpret_cast<const char*>(&at->hash), sizeof(at->hash)});
      return;
    }
    if (window->until == 0) {
      std::lock_guard<std::mutex> lock(mu_);
      if (kept_ == window) kept_ = nullptr;
      return page.SetLast();
    }
    from = window->until;
  }
}

}  // namespace fs
