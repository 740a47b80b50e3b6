// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_FS_TEMP_FILE_H
#define SIXCALL_FS_TEMP_FILE_H

#include <cstdint>
#include <string>

#include "fd.h"
#include "folder.h"

namespace fs {

/// A value on its way into the folder. Until Publish nobody sees it; what was not
/// published is gone with the object. With O_TMPFILE it never has a name of its
/// own, so that nothing is left behind even when the process dies.
class TempFile {
 public:
  TempFile() = default;
  /// Makes an empty file for the shard. Throws Error; *direct is cleared where the
  /// file system has no O_DIRECT.
  TempFile(Folder& folder, size_t shard, bool* direct);
  TempFile(TempFile&& other) noexcept { *this = std::move(other); }
  TempFile& operator=(TempFile&& other) noexcept;
  ~TempFile() { Discard(); }

  int fd() const { return fd_.get(); }

  /// Gives the file its name, in place of what had it. Returns the size of the file
  /// that was replaced, or -1 if there was none. Throws Error, and nothing has changed.
  int64_t Publish(const FileName& name);

 private:
  void Discard() noexcept;
  bool LinkTo(int dir, const char* name);
  int64_t Replace(int dir, const FileName& name);

  Folder* folder_ = nullptr;
  size_t shard_ = 0;
  Fd fd_;
  std::string name_;  // in temp_dir; empty = it has none
};

}  // namespace fs

#endif  // SIXCALL_FS_TEMP_FILE_H
