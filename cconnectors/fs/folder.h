// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_FS_FOLDER_H
#define SIXCALL_FS_FOLDER_H

#include <sys/stat.h>

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "fd.h"
#include "name.h"
#include "settings.h"
#include "writer.h"

namespace fs {

/// Opens a folder below (or at) `from` component by component, so that no
/// component is "..", and none is a symbolic link unless follow. Missing folders
/// are made if create. `shown` is what errors call the path.
Fd OpenPath(int from, const std::string& path, bool create, bool follow, const std::string& shown);

/// The open folder of a cache: descriptors of base_path, of its shards and of the
/// folder for temporary files. Every file is reached by one name relative to one of
/// them, so nothing outside can be. Safe for concurrent use.
class Folder {
 public:
  explicit Folder(const Settings& settings);

  const std::string& path() const { return path_; }
  const Names& names() const { return names_; }
  int base() const { return base_.get(); }
  size_t shards() const { return shards_.empty() ? 1 : shards_.size(); }
  size_t ShardOf(const FileName& name) const { return shards_.empty() ? 0 : Hash(name.view()) % shards_.size(); }
  int shard(size_t i) const { return shards_.empty() ? base_.get() : shards_[i].get(); }
  /// Where a temporary file for a shard gets its name, if it gets one.
  int temp_dir(size_t i) const { return temp_dir_.ok() ? temp_dir_.get() : shard(i); }
  bool has_temp_dir() const { return temp_dir_.ok(); }

  /// Whether base_path still leads here.
  bool IsCurrent(const Settings& settings) const;
  /// Bytes that a process without privileges may still write; UINT64_MAX = unknown. I/O.
  uint64_t FreeBytes() const;

  Writer& writer() { return writer_; }
  /// How a temporary file becomes a value.
  enum class Publish { kLink, kLinkProc, kRename };
  Publish publish() const { return publish_; }

  /// Held while a name that exists is replaced or removed, so that its size is
  /// accounted once. Taken alone.
  std::mutex& NameLock(const FileName& name) { return name_locks_[Hash(name.view()) % kNameLocks]; }

 private:
  static constexpr size_t kNameLocks = 64;
  Publish Probe(TempFiles wanted);
  void RefuseCaseFolding();

  std::string path_;
  Fd base_;
  Names names_;
  std::vector<Fd> shards_;
  Fd temp_dir_;
  Writer writer_;
  Publish publish_;
  std::mutex name_locks_[kNameLocks];
};

}  // namespace fs

#endif  // SIXCALL_FS_FOLDER_H
