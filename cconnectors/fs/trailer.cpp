// SPDX-License-Identifier: Apache-2.0
#include "trailer.h"

#include <unistd.h>

#include <cstring>

#include "fd.h"

namespace fs {

namespace {

constexpr size_t kFixed = 16;  // bytes behind the key
constexpr uint32_t kFormat = 1;
constexpr char kMagic[9] = "SIXCALLK";

/// False: the file ends before.
bool ReadAt(int fd, uint64_t at, char* out, size_t len) {
  for (size_t done = 0; done < len;) {
    const ssize_t n = pread(fd, out + done, len - done, static_cast<off_t>(at + done));
    if (n == 0) return false;
    if (n < 0 && errno != EINTR) throw SystemError("read the key in a file", errno);
    if (n > 0) done += static_cast<size_t>(n);
  }
  return true;
}

}  // namespace

std::string MakeTrailer(std::string_view key) {
  const auto len = static_cast<uint32_t>(key.size());
  std::string out(key);
  out.append(reinterpret_cast<const char*>(&len), 4);
  out.append(reinterpret_cast<const char*>(&kFormat), 4);
  out.append(kMagic, 8);
  return out;
}

std::optional<Trailer> ReadTrailer(int fd, uint64_t file_size) {
  char fixed[kFixed];
  if (file_size < kFixed || !ReadAt(fd, file_size - kFixed, fixed, kFixed)) return std::nullopt;
  uint32_t key_len, format;
  std::memcpy(&key_len, fixed, 4);
  std::memcpy(&format, fixed + 4, 4);
  if (format != kFormat || std::memcmp(fixed + 8, kMagic, 8) != 0 || key_len > file_size - kFixed) return std::nullopt;
  Trailer trailer;
  trailer.value_len = file_size - kFixed - key_len;
  trailer.key.resize(key_len);
  if (!ReadAt(fd, trailer.value_len, trailer.key.data(), key_len)) return std::nullopt;
  return trailer;
}

}  // namespace fs
