// SPDX-License-Identifier: Apache-2.0
#include "folder.h"

#include <fcntl.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <limits>

namespace fs {

namespace {

std::string Quoted(const std::string& text) { return "\"" + text + "\""; }

/// One component: opened, or made and opened.
Fd OpenStep(int from, const std::string& name, int flags, bool create, bool follow, const std::string& shown) {
  flags |= O_DIRECTORY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW);
  Fd fd(openat(from, name.c_str(), flags));
  if (!fd.ok() && errno == ENOENT) {
    struct stat link;
    const bool dangling = fstatat(from, name.c_str(), &link, AT_SYMLINK_NOFOLLOW) == 0;
    if (!dangling && !create) throw SystemError(shown + ": " + Quoted(name) + " is missing and \"create\" is false", ENOENT);
    if (!dangling && mkdirat(from, name.c_str(), 0777) != 0 && errno != EEXIST) throw SystemError(shown + ": cannot create " + Quoted(name), errno);
    fd = Fd(openat(from, name.c_str(), flags));
  }
  if (fd.ok()) return fd;
  const int error = errno;
  struct stat st;
  if (fstatat(from, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode) && !follow) {
    throw sixcall::Error(SIXCALL_E_CONFIG, shown + ": " + Quoted(name) + " is a symbolic link; give the real path (readlink -f), or set \"follow_symlinks\": true for base_path");
  }
  throw SystemError(shown + ": cannot open " + Quoted(name), error);
}

uint32_t NameLimit(int dir) {
  const long limit = fpathconf(dir, _PC_NAME_MAX);
  return limit <= 0 ? 255 : static_cast<uint32_t>(std::min(limit, 255L));
}

}  // namespace

Fd OpenPath(int from, const std::string& path, bool create, bool follow, const std::string& shown) {
  const int start = openat(from, path[0] == '/' ? "/" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  Fd at(start);
  if (!at.ok()) throw SystemError(shown + ": cannot open its first folder", errno);
  for (size_t i = 0; i < path.size();) {
    const size_t end = std::min(path.find('/', i), path.size());
    const std::string name = path.substr(i, end - i);
    const size_t rest = path.find_first_not_of('/', end);
    if (name == "..") throw sixcall::Error(SIXCALL_E_CONFIG, shown + " has a \"..\", want a path without");
    // A folder on the way needs no right to be read.
    const int flags = rest == std::string::npos ? O_RDONLY : O_PATH;
    if (!name.empty() && name != ".") at = OpenStep(at.get(), name, flags, create, follow, shown);
    i = end + 1;
  }
  // The last component may have been "." behind one that was only passed through.
  Fd readable(openat(at.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!readable.ok()) throw SystemError(shown + ": cannot read it", errno);
  return readable;
}

Folder::Folder(const Settings& settings)
    : path_(settings.base_path),
      base_(OpenPath(AT_FDCWD, path_, settings.create, settings.follow_symlinks, "base_path " + Quoted(path_))),
      names_(settings.layout, NameLimit(base_.get())),
      writer_(base_.get(), path_) {
  RefuseCaseFolding();
  for (uint32_t i = 0; settings.shards > 1 && i < settings.shards; i++) {
    const std::string name = {"0123456789abcdef"[i >> 4], "0123456789abcdef"[i & 15]};
    shards_.push_back(OpenStep(base_.get(), name, O_RDONLY, true, false, "base_path " + Quoted(path_)));
  }
  if (!settings.temp_dir.empty()) {
    temp_dir_ = OpenPath(base_.get(), settings.temp_dir, true, false, "tmp_dir " + Quoted(settings.temp_dir));
    struct stat here, there;
    if (fstat(base_.get(), &here) != 0 || fstat(temp_dir_.get(), &there) != 0 || here.st_dev != there.st_dev) {
      throw sixcall::Error(SIXCALL_E_CONFIG, "tmp_dir " + Quoted(settings.temp_dir) + " is on another file system than base_path; files cannot be renamed from there");
    }
  }
  publish_ = Probe(settings.temp_files);
  if (settings.fsync == Fsync::kFull && fsync(base_.get()) != 0) throw SystemError("fsync base_path " + Quoted(path_), errno);  // for the shards
}

/// "A" and "a" would be one file where the file system folds case.
void Folder::RefuseCaseFolding() {
  std::string upper = writer_.lock_name();
  for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  struct stat st;
  if (fstatat(base_.get(), upper.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) {
    throw sixcall::Error(SIXCALL_E_CONFIG, "base_path " + Quoted(path_) + " does not tell upper from lower case; keys would share files");
  }
}

/// Finds out what the file system can do with a file that has no name.
Folder::Publish Folder::Probe(TempFiles wanted) {
  if (wanted == TempFiles::kNamed) return Publish::kRename;
  int error;
  Fd file(openat(shard(0), ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666));
  if (file.ok()) {
    const std::string name = writer_.TempName();
    const std::string proc = "/proc/self/fd/" + std::to_string(file.get());
    const bool linked = linkat(file.get(), "", shard(0), name.c_str(), AT_EMPTY_PATH) == 0;
    const bool by_proc = !linked && linkat(AT_FDCWD, proc.c_str(), shard(0), name.c_str(), AT_SYMLINK_FOLLOW) == 0;
    error = errno;
    if (linked || by_proc) {
      unlinkat(shard(0), name.c_str(), 0);
      return linked ? Publish::kLink : Publish::kLinkProc;
    }
  } else {
    error = errno;
  }
  if (wanted == TempFiles::kUnnamed) throw SystemError("temp_files is \"unnamed\", but base_path " + Quoted(path_) + " cannot do that", error);
  return Publish::kRename;
}

bool Folder::IsCurrent(const Settings& settings) const {
  struct stat here, there;
  if (fstat(base_.get(), &here) != 0 || here.st_nlink == 0) return false;
  const Fd again = OpenPath(AT_FDCWD, path_, false, settings.follow_symlinks, "base_path " + Quoted(path_));
  return fstat(again.get(), &there) == 0 && here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

uint64_t Folder::FreeBytes() const {
  struct statvfs vfs;
  if (fstatvfs(base_.get(), &vfs) != 0) return std::numeric_limits<uint64_t>::max();
  return uint64_t{vfs.f_bavail} * vfs.f_frsize;
}

}  // namespace fs
