// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_FS_WRITER_H
#define SIXCALL_FS_WRITER_H

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "fd.h"

namespace fs {

/// One who writes into a folder, and the names of its temporary files. While it
/// lives it holds a lock (flock) on a file in the folder, .sixcall-<id>.lock, so
/// that others can tell its temporary files from those of the dead, also from
/// another container. Safe for concurrent use.
class Writer {
 public:
  /// dir stays open as long as the writer lives.
  explicit Writer(int dir, const std::string& shown);
  Writer(const Writer&) = delete;
  ~Writer();

  /// A name for a temporary file that nobody else uses.
  std::string TempName();
  const std::string& lock_name() const { return lock_name_; }

  /// The id in the name of a lock file or of a temporary file; empty = it is neither.
  static std::string_view IdOfLock(std::string_view name);
  static std::string_view IdOfTemp(std::string_view name);

  enum class Life { kAlive, kDead, kUnknown };
  /// Whether the writer lives. `lock` is its lock file, held if it is dead: remove
  /// its things and then the lock file before letting go.
  static Life Look(int dir, std::string_view id, Fd* lock);

 private:
  int dir_;
  std::string id_;
  std::string lock_name_;
  Fd lock_;
  std::atomic<uint64_t> next_{0};
};

}  // namespace fs

#endif  // SIXCALL_FS_WRITER_H
