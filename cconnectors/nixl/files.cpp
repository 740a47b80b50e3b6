// SPDX-License-Identifier: Apache-2.0
#include "files.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace nixl {

namespace {

constexpr uint64_t kDirectAlign = 4096;
constexpr mode_t kFileMode = 0666, kFolderMode = 0777;  // the umask decides

sixcall::Error SystemError(const std::string& what, int error) {
  int32_t code = SIXCALL_E_IO;
  std::string more;
  if (error == ENOSPC || error == EDQUOT) code = SIXCALL_E_NOSPACE;
  if (error == ENOMEM) code = SIXCALL_E_NOMEM;
  if (error == EMFILE || error == ENFILE) more = "; raise the limit of open files or lower \"queue_depth\"";
  return sixcall::Error(code, what + ": " + std::generic_category().message(error) + more, error);
}

/// OpenBelow for kernels before 5.6: one component at a time.
int OpenByStep(int dir, std::string path, int flags) {
  int at = dir;
  for (;;) {
    const size_t end = path.find('/');
    const bool last = end == std::string::npos || end + 1 == path.size();
    const std::string name = path.substr(0, end);
    const int fd = openat(at, name.c_str(), (last ? flags : O_PATH | O_DIRECTORY) | O_NOFOLLOW | O_CLOEXEC);
    const int error = errno;
    if (at != dir) close(at);
    errno = error;
    if (fd < 0 || last) return fd;
    at = fd;
    path.erase(0, end + 1);
  }
}

/// Opens a path that stays below dir and passes no symbolic link.
int OpenBelow(int dir, const char* path, int flags) {
  open_how how = {};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  for (;;) {
    const long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));
    if (fd < 0 && errno == ENOSYS) return OpenByStep(dir, path, flags);
    if (fd >= 0 || (errno != EINTR && errno != EAGAIN)) return static_cast<int>(fd);
  }
}

bool Aligned(const Transfer& t) { return t.len != 0 && (reinterpret_cast<uintptr_t>(t.data) | t.len) % kDirectAlign == 0; }

void CloseFile(Transfer& t) noexcept {
  if (t.fd >= 0) close(t.fd);
  t.fd = -1;
}

}  // namespace

/// The folder that a place's name is in: base_ itself, or a descriptor to close.
/// Below 0 with errno when it is missing and not made.
int Files::OpenParent(const Place& place, bool make) const {
  if (place.folders == 0) return base_;
  const std::string folders = place.path.substr(0, place.folders);
  const int flags = O_PATH | O_DIRECTORY;
  int fd = OpenBelow(base_, folders.c_str(), flags);
  if (fd >= 0 || errno != ENOENT || !make) return fd;
  int at = base_;
  for (size_t from = 0; from < folders.size();) {
    const size_t end = folders.find('/', from);
    const std::string name = folders.substr(from, end - from);
    if (mkdirat(at, name.c_str(), kFolderMode) != 0 && errno != EEXIST) {
      const int error = errno;
      if (at != base_) close(at);
      errno = error;
      return -1;
    }
    fd = OpenBelow(at, name.c_str(), flags);
    const int error = errno;
    if (at != base_) close(at);
    if (fd < 0) {
      errno = error;
      return -1;
    }
    at = fd;
    from = end + 1;
  }
  return at;
}

void Files::OpenToRead(Transfer& t) const {
  // Non-blocking, so that a FIFO with a value's name cannot hold us.
  const int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY;
  const bool direct = options_.direct_io && Aligned(t);
  t.fd = OpenBelow(base_, t.place.path.c_str(), flags | (direct ? O_DIRECT : 0));
  if (t.fd < 0 && direct && errno == EINVAL) t.fd = OpenBelow(base_, t.place.path.c_str(), flags);
  if (t.fd < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return t.Settle(sixcall::Status::kMiss);
    return t.Fail(SystemError("open " + t.place.path, errno));
  }
  struct stat st;
  if (fstat(t.fd, &st) != 0) {
    t.Fail(SystemError("stat " + t.place.path, errno));
  } else if (!S_ISREG(st.st_mode)) {
    t.Fail(sixcall::Error(SIXCALL_E_IO, t.place.path + " is not a regular file; remove it"));
  } else if (static_cast<uint64_t>(st.st_size) != t.len) {
    t.Settle({sixcall::Status::kSize, static_cast<uint64_t>(st.st_size)});
  } else if (t.len == 0) {
    t.Settle({sixcall::Status::kHit, 0});
  } else if (!options_.libaio) {  // io_uring does not wait for a non-blocking file
    if (fcntl(t.fd, F_SETFL, direct ? O_DIRECT : 0) != 0 && direct) fcntl(t.fd, F_SETFL, 0);
  }
  if (t.settled) CloseFile(t);
}

int Files::OpenTemp(Transfer& t, bool direct) const {
  const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  int fd = openat(temps_, t.temp.c_str(), flags | (direct ? O_DIRECT : 0), kFileMode);
  if (fd < 0 && direct && errno == EINVAL) {
    unlinkat(temps_, t.temp.c_str(), 0);  // some file systems make it and then refuse
    fd = openat(temps_, t.temp.c_str(), flags, kFileMode);
  }
  return fd;
}

void Files::OpenToWrite(Transfer& t) const {
  t.temp = std::to_string(next_temp_.fetch_add(1, std::memory_order_relaxed));
  t.fd = OpenTemp(t, options_.direct_io && Aligned(t));
  if (t.fd >= 0) return;
  const int error = errno;
  t.temp.clear();
  t.Fail(error == ENOENT ? sixcall::Error(SIXCALL_E_IO, "base_path " + options_.base_path + " was removed", error)
                         : SystemError("make a file in " + options_.base_path, error));
}

void Files::Publish(Transfer& t) const {
  if (options_.sync && fdatasync(t.fd) != 0) {
    t.Fail(SystemError("write " + t.place.path + " to the device", errno));
    return Discard(t);
  }
  const int closed = close(t.fd);
  t.fd = -1;
  if (closed != 0 && errno != EINTR) {  // NFS tells of a failed write here
    t.Fail(SystemError("close " + t.place.path, errno));
    return Discard(t);
  }
  const int parent = OpenParent(t.place, true);
  const char* name = t.place.path.c_str() + t.place.folders;
  int error = parent < 0 ? errno : 0;
  if (error == 0 && renameat(temps_, t.temp.c_str(), parent, name) != 0) error = errno;
  if (error == 0 && options_.sync) {
    const int folder = OpenBelow(parent, ".", O_RDONLY | O_DIRECTORY);
    if (folder >= 0) {
      fsync(folder);
      close(folder);
    }
  }
  if (parent >= 0 && parent != base_) close(parent);
  if (error != 0) {
    t.Fail(SystemError("name a file " + t.place.path, error));
    return Discard(t);
  }
  t.temp.clear();
  t.Settle(sixcall::Status::kHit);
}

void Files::Discard(Transfer& t) const noexcept {
  CloseFile(t);
  if (!t.temp.empty()) unlinkat(temps_, t.temp.c_str(), 0);
  t.temp.clear();
}

bool Files::StillWhole(const Transfer& t) const noexcept {
  struct stat st;
  return fstat(t.fd, &st) == 0 && static_cast<uint64_t>(st.st_size) == t.len;
}

sixcall::Error Files::WhyNotRead(const Transfer& t) const {
  struct stat st;
  if (fstat(t.fd, &st) != 0) return SystemError("stat " + t.place.path, errno);
  if (static_cast<uint64_t>(st.st_size) != t.len) return sixcall::Error(SIXCALL_E_IO, t.place.path + " changed its size while it was read");
  alignas(kDirectAlign) char block[kDirectAlign];
  const uint64_t n = std::min<uint64_t>(t.len, sizeof(block));
  for (const uint64_t at : {uint64_t{0}, t.len - n}) {
    if (pread(t.fd, block, n, static_cast<off_t>(at)) < 0) return SystemError("read " + t.place.path, errno);
  }
  return sixcall::Error(0, "");
}

sixcall::Error Files::WhyNotWritten(const Transfer& t) const {
  if (fallocate(t.fd, 0, 0, static_cast<off_t>(t.len)) == 0) return sixcall::Error(0, "");
  if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINTR) return sixcall::Error(0, "");
  return SystemError("write " + std::to_string(t.len) + " bytes of " + t.place.path, errno);
}

sixcall::Result Files::Exists(const Place& place) const {
  const int parent = OpenParent(place, false);
  struct stat st;
  const char* name = place.path.c_str() + place.folders;
  const int error = parent < 0 || fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ? errno : 0;
  if (parent >= 0 && parent != base_) close(parent);
  if (error == ENOENT || error == ENOTDIR) return sixcall::Status::kMiss;
  if (error != 0) throw SystemError("look up " + place.path, error);
  if (!S_ISREG(st.st_mode)) return sixcall::Status::kMiss;
  return {sixcall::Status::kHit, static_cast<uint64_t>(st.st_size)};
}

sixcall::Status Files::Remove(const Place& place) const {
  const int parent = OpenParent(place, false);
  const char* name = place.path.c_str() + place.folders;
  const int error = parent < 0 || unlinkat(parent, name, 0) != 0 ? errno : 0;
  if (parent >= 0 && parent != base_) close(parent);
  if (error == ENOENT || error == ENOTDIR) return sixcall::Status::kMiss;
  if (error != 0) throw SystemError("remove " + place.path, error);
  return sixcall::Status::kHit;
}

void Files::Check() const {
  struct stat st;
  if (fstat(base_, &st) != 0) throw SystemError("stat base_path " + options_.base_path, errno);
  if (st.st_nlink == 0) throw sixcall::Error(SIXCALL_E_CONNECT, "base_path " + options_.base_path + " was removed");
}

}  // namespace nixl
