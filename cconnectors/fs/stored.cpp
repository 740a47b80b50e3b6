// SPDX-License-Identifier: Apache-2.0
#include "stored.h"

#include <fcntl.h>

#include "trailer.h"

namespace fs {

namespace {

sixcall::Error NameError(const char* verb, const FileName& name, int error) {
  return SystemError(std::string(verb) + " " + std::string(name.view()), error);
}

/// Without O_NONBLOCK the open of a FIFO would wait for its writer.
constexpr int kOpenFlags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;

}  // namespace

bool IsForeign(int error) { return error == ELOOP || error == ENXIO || error == EISDIR || error == ESPIPE; }

Stored OpenStored(const Folder& folder, const FileName& name, bool direct) {
  Stored out;
  const int dir = folder.shard(folder.ShardOf(name));
  out.direct = direct;
  out.fd = Fd(openat(dir, name.c_str(), kOpenFlags | (direct ? O_DIRECT : 0)));
  if (!out.fd.ok() && errno == EINVAL && direct) {
    out.direct = false;
    out.fd = Fd(openat(dir, name.c_str(), kOpenFlags));
  }
  if (out.fd.ok()) {
    out.state = Stored::State::kFound;
  } else if (errno != ENOENT) {
    if (!IsForeign(errno)) throw NameError("open", name, errno);
    out.state = Stored::State::kForeign;
  }
  return out;
}

void Examine(Stored& stored, const FileName& name, sixcall::Key key) {
  struct stat st;
  if (fstat(stored.fd.get(), &st) != 0) throw NameError("stat", name, errno);
  stored.state = Stored::State::kForeign;
  if (!S_ISREG(st.st_mode)) return;
  stored.file_len = stored.value_len = static_cast<uint64_t>(st.st_size);
  if (name.long_key) {
    const auto trailer = ReadTrailer(stored.fd.get(), stored.file_len);
    if (!trailer || trailer->key != key) return;
    stored.value_len = trailer->value_len;
  }
  stored.state = Stored::State::kFound;
}

bool StillHas(const Stored& stored, uint64_t file_len) {
  struct stat st;
  return fstat(stored.fd.get(), &st) == 0 && static_cast<uint64_t>(st.st_size) == file_len;
}

Stored FindStored(const Folder& folder, const FileName& name, sixcall::Key key) {
  Stored out;
  if (name.long_key) {
    out = OpenStored(folder, name, false);
    if (out.state == Stored::State::kFound) Examine(out, name, key);
    return out;
  }
  struct stat st;
  if (fstatat(folder.shard(folder.ShardOf(name)), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno != ENOENT) throw NameError("stat", name, errno);
    return out;
  }
  out.state = S_ISREG(st.st_mode) ? Stored::State::kFound : Stored::State::kForeign;
  out.file_len = out.value_len = static_cast<uint64_t>(st.st_size);
  return out;
}

bool DescribeStored(const Folder& folder, size_t shard, const std::string& text, std::string* key, uint64_t* value_len) {
  const Names::Kind kind = folder.names().Parse(text, key);
  if (kind == Names::Kind::kForeign) return false;
  const int dir = folder.shard(shard);
  struct stat st;
  if (fstatat(dir, text.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode)) return false;
  *value_len = static_cast<uint64_t>(st.st_size);
  if (kind == Names::Kind::kLong) {
    const Fd fd(openat(dir, text.c_str(), kOpenFlags));
    if (!fd.ok()) return false;
    auto trailer = ReadTrailer(fd.get(), *value_len);
    if (!trailer) return false;
    *key = std::move(trailer->key);
    *value_len = trailer->value_len;
  }
  const FileName name = folder.names().Of(*key);
  return name.view() == text && folder.ShardOf(name) == shard;
}

}  // namespace fs
