// SPDX-License-Identifier: Apache-2.0
//
// The folder and the temporary files of a connection. Each connection has a
// folder of its own below .sixcall-tmp with a lock that ends with the process, so
// that another one can tell what is left over from what is being written.
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <random>

#include "files.h"

namespace nixl {

namespace {

constexpr const char* kTemps = ".sixcall-tmp";
constexpr const char* kLock = "lock";

/// Opens a file and locks it, or returns -1.
int Lock(int dir, const char* name, int flags, bool wait) {
  const int fd = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0666);
  if (fd < 0) return -1;
  for (int tries = wait ? 200 : 1; tries > 0; tries--) {
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
    if (tries > 1) usleep(10000);
  }
  close(fd);
  errno = EWOULDBLOCK;
  return -1;
}

/// Removes the files of a folder; not folders in it.
void Empty(int fd) {
  DIR* dir = fdopendir(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (dir == nullptr) return;
  rewinddir(dir);
  while (const dirent* entry = readdir(dir)) {
    if (entry->d_name[0] != '.') unlinkat(fd, entry->d_name, 0);
  }
  closedir(dir);
}

sixcall::Error PathError(const std::string& what, const std::string& path) {
  return sixcall::Error(SIXCALL_E_CONFIG, what + " base_path \"" + path + "\": " + std::generic_category().message(errno), errno);
}

}  // namespace

Files::Files(const FileOptions& options) : options_(options) {
  const std::string& path = options_.base_path;
  for (size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) mkdir(path.substr(0, at).c_str(), 0777);
  if (mkdir(path.c_str(), 0777) != 0 && errno != EEXIST) throw PathError("make", path);
  base_ = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (base_ < 0) throw PathError("open", path);
  try {
    MakeTempFolder();
  } catch (...) {
    if (temp_lock_ >= 0) close(temp_lock_);
    if (temps_ >= 0) close(temps_);
    close(base_);
    throw;
  }
}

Files::~Files() {
  unlinkat(temps_, kLock, 0);
  const int all = openat(base_, kTemps, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (all >= 0) {
    unlinkat(all, temp_folder_.c_str(), AT_REMOVEDIR);
    close(all);
  }
  close(temp_lock_);
  close(temps_);
  close(base_);
}

void Files::MakeTempFolder() {
  if (mkdirat(base_, kTemps, 0777) != 0 && errno != EEXIST) throw PathError("write to", options_.base_path);
  const int all = openat(base_, kTemps, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (all < 0) throw PathError("open .sixcall-tmp in", options_.base_path);
  // One at a time: a folder is made and locked before another process looks at it.
  const int turn = Lock(all, kLock, O_CREAT, true);
  if (turn >= 0) RemoveLeftovers(all);
  std::random_device random;
  for (int tries = 0; temps_ < 0 && tries < 100; tries++) {
    temp_folder_ = "w" + std::to_string(getpid()) + "-" + std::to_string(random());
    if (mkdirat(all, temp_folder_.c_str(), 0777) != 0) {
      if (errno == EEXIST) continue;
      break;
    }
    temps_ = openat(all, temp_folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (temps_ < 0) break;
    temp_lock_ = Lock(temps_, kLock, O_CREAT, false);
  }
  const int error = errno;
  if (turn >= 0) close(turn);
  close(all);
  errno = error;
  if (temps_ < 0 || temp_lock_ < 0) throw PathError("make a folder for temporary files in", options_.base_path);
}

/// Removes the folders whose process is gone: their lock is free.
void Files::RemoveLeftovers(int temps) const {
  DIR* dir = fdopendir(fcntl(temps, F_DUPFD_CLOEXEC, 0));
  if (dir == nullptr) return;
  rewinddir(dir);
  while (const dirent* entry = readdir(dir)) {
    if (entry->d_name[0] != 'w') continue;
    const int fd = openat(temps, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) continue;
    const int lock = Lock(fd, kLock, O_CREAT, false);
    if (lock >= 0) {
      Empty(fd);
      unlinkat(temps, entry->d_name, AT_REMOVEDIR);
      close(lock);
    }
    close(fd);
  }
  closedir(dir);
}

}  // namespace nixl
