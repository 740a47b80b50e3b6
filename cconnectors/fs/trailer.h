// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_FS_TRAILER_H
#define SIXCALL_FS_TRAILER_H

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fs {

/// A file whose name is a hash ends with its key: the value, the key, the key's
/// length (u32), the format 1 (u32), "SIXCALLK". All little-endian.
struct Trailer {
  std::string key;
  uint64_t value_len;  // bytes before it
};

/// What follows the value of a key.
std::string MakeTrailer(std::string_view key);

/// Reads it from an open file of file_size bytes. Nothing for a file without;
/// throws Error when the file cannot be read.
std::optional<Trailer> ReadTrailer(int fd, uint64_t file_size);

}  // namespace fs

#endif  // SIXCALL_FS_TRAILER_H
