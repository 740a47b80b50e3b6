// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_FS_STORED_H
#define SIXCALL_FS_STORED_H

#include <cstdint>
#include <string>

#include "counters.h"
#include "fd.h"
#include "folder.h"
#include "sixcall/connector.hpp"

namespace fs {

/// A value that was found.
struct Stored {
  enum class State { kAbsent, kForeign, kFound };
  State state = State::kAbsent;
  uint64_t value_len = 0;  ///< bytes of the value
  uint64_t file_len = 0;   ///< bytes of the file
  Fd fd;                   ///< open for reading, if asked for
  bool direct = false;     ///< fd has O_DIRECT
};

/// Opens the file of a name for reading and does not look what it is, but that a
/// symbolic link is kForeign. With direct, fd has O_DIRECT if the file system has.
/// Throws Error.
Stored OpenStored(const Folder& folder, const FileName& name, bool direct);

/// Fills the lengths of what was opened. What is no regular file, and a file of
/// another key, become kForeign. Throws Error.
void Examine(Stored& stored, const FileName& name, sixcall::Key key);

/// Whether the file that was read has the length that it had before.
bool StillHas(const Stored& stored, uint64_t file_len);

/// Looks for the value of a key, without opening it where that is possible. Throws Error.
Stored FindStored(const Folder& folder, const FileName& name, sixcall::Key key);

/// Whether reading from something that is no file ends with this errno.
bool IsForeign(int error);

/// The key and the length of the value in a file of the folder; false if it is none.
bool DescribeStored(const Folder& folder, size_t shard, const std::string& name, std::string* key, uint64_t* value_len);

}  // namespace fs

#endif  // SIXCALL_FS_STORED_H
