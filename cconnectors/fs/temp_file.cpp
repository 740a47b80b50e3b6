// SPDX-License-Identifier: Apache-2.0
#include "temp_file.h"

#include <fcntl.h>
#include <sys/syscall.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif

namespace fs {

namespace {

/// A folder that was removed refuses new names with ENOENT.
sixcall::Error CreateError(const Folder& folder, int error) {
  struct stat st;
  if (error == ENOENT && fstat(folder.base(), &st) == 0 && st.st_nlink == 0) {
    return sixcall::Error(SIXCALL_E_CONNECT, "base_path \"" + folder.path() + "\" was removed", error);
  }
  return SystemError("create a file in base_path \"" + folder.path() + "\"", error);
}

}  // namespace

TempFile::TempFile(Folder& folder, size_t shard, bool* direct) : folder_(&folder), shard_(shard) {
  const bool unnamed = folder.publish() != Folder::Publish::kRename;
  if (!unnamed) name_ = folder.writer().TempName();
  for (;;) {
    const int flags = O_WRONLY | O_CLOEXEC | (*direct ? O_DIRECT : 0);
    fd_ = Fd(unnamed ? openat(folder.shard(shard), ".", flags | O_TMPFILE, 0666)
                     : openat(folder.temp_dir(shard), name_.c_str(), flags | O_CREAT | O_EXCL | O_NOFOLLOW, 0666));
    if (fd_.ok()) return;
    const int error = errno;
    if (error == EINTR) continue;
    if (error != EINVAL || !*direct) {
      name_.clear();
      throw CreateError(folder, error);
    }
    *direct = false;
    if (!unnamed) unlinkat(folder.temp_dir(shard), name_.c_str(), 0);  // some file systems make it and then refuse
  }
}

TempFile& TempFile::operator=(TempFile&& other) noexcept {
  if (this != &other) {
    Discard();
    folder_ = other.folder_;
    shard_ = other.shard_;
    fd_ = std::move(other.fd_);
    name_ = std::move(other.name_);
    other.name_.clear();
  }
  return *this;
}

void TempFile::Discard() noexcept {
  fd_.Close();
  if (!name_.empty()) unlinkat(folder_->temp_dir(shard_), name_.c_str(), 0);
  name_.clear();
}

bool TempFile::LinkTo(int dir, const char* name) {
  if (folder_->publish() == Folder::Publish::kLink) return linkat(fd_.get(), "", dir, name, AT_EMPTY_PATH) == 0;
  const std::string proc = "/proc/self/fd/" + std::to_string(fd_.get());
  return linkat(AT_FDCWD, proc.c_str(), dir, name, AT_SYMLINK_FOLLOW) == 0;
}

int64_t TempFile::Publish(const FileName& name) {
  const int dir = folder_->shard(shard_);
  const int temp_dir = folder_->temp_dir(shard_);
  if (folder_->publish() != Folder::Publish::kRename) {
    if (LinkTo(dir, name.c_str())) {
      fd_.Close();
      return -1;
    }
    if (errno != EEXIST) throw CreateError(*folder_, errno);
    std::string temp = folder_->writer().TempName();
    if (!LinkTo(temp_dir, temp.c_str())) throw CreateError(*folder_, errno);
    name_ = std::move(temp);
    return Replace(dir, name);
  }
  const int error = fd_.Close();
  if (error != 0) throw SystemError("write " + std::string(name.view()), error);
  if (syscall(SYS_renameat2, temp_dir, name_.c_str(), dir, name.c_str(), RENAME_NOREPLACE) == 0) {
    name_.clear();
    return -1;
  }
  // EINVAL and ENOSYS: NFS and others know only the plain rename.
  if (errno != EEXIST && errno != EINVAL && errno != ENOSYS) throw CreateError(*folder_, errno);
  return Replace(dir, name);
}

int64_t TempFile::Replace(int dir, const FileName& name) {
  std::lock_guard<std::mutex> lock(folder_->NameLock(name));
  struct stat old;
  const bool existed = fstatat(dir, name.c_str(), &old, AT_SYMLINK_NOFOLLOW) == 0;
  if (renameat(folder_->temp_dir(shard_), name_.c_str(), dir, name.c_str()) != 0) {
    const int error = errno;
    if (error == EISDIR || error == ENOTEMPTY) throw SystemError("\"" + std::string(name.view()) + "\" in base_path is a folder; remove it", error);
    throw CreateError(*folder_, error);
  }
  name_.clear();
  fd_.Close();
  // What is not a file was never accounted.
  return existed && S_ISREG(old.st_mode) ? old.st_size : -1;
}

}  // namespace fs
