// SPDX-License-Identifier: Apache-2.0
#include "writer.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <random>

namespace fs {

namespace {

constexpr std::string_view kPrefix = ".sixcall-";
constexpr std::string_view kLock = ".lock";
constexpr std::string_view kTemp = ".tmp";

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

/// The process id is for humans; the rest makes it unique, also over containers and hosts.
std::string NewId() {
  std::random_device random;
  std::string id = std::to_string(getpid()) + "-";
  for (int i = 0; i < 4; i++) {
    const uint32_t bits = random();
    for (int shift = 28; shift >= 0; shift -= 4) id += "0123456789abcdef"[(bits >> shift) & 15];
  }
  return id;
}

std::string LockName(std::string_view id) { return std::string(kPrefix) + std::string(id) + std::string(kLock); }

}  // namespace

Writer::Writer(int dir, const std::string& shown) : dir_(dir) {
  for (int attempt = 0; attempt < 16; attempt++) {
    id_ = NewId();
    lock_name_ = LockName(id_);
    lock_ = Fd(openat(dir, lock_name_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666));
    if (!lock_.ok()) throw SystemError("base_path \"" + shown + "\": cannot create files in it", errno);
    if (flock(lock_.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) continue;  // taken for a dead one's
    struct stat st;
    if (fstat(lock_.get(), &st) == 0 && st.st_nlink != 0) return;  // and not removed as one
  }
  throw sixcall::Error(SIXCALL_E_IO, "base_path \"" + shown + "\": cannot keep a lock file in it; does something remove files there?");
}

Writer::~Writer() {
  if (lock_.ok()) unlinkat(dir_, lock_name_.c_str(), 0);
}

std::string Writer::TempName() {
  return std::string(kPrefix) + id_ + "." + std::to_string(next_.fetch_add(1, std::memory_order_relaxed)) + std::string(kTemp);
}

std::string_view Writer::IdOfLock(std::string_view name) {
  if (name.substr(0, kPrefix.size()) != kPrefix || !EndsWith(name, kLock)) return {};
  return name.substr(kPrefix.size(), name.size() - kPrefix.size() - kLock.size());
}

std::string_view Writer::IdOfTemp(std::string_view name) {
  if (name.substr(0, kPrefix.size()) != kPrefix || !EndsWith(name, kTemp)) return {};
  name.remove_prefix(kPrefix.size());
  return name.substr(0, name.find('.'));
}

Writer::Life Writer::Look(int dir, std::string_view id, Fd* lock) {
  *lock = Fd(openat(dir, LockName(id).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!lock->ok()) return Life::kUnknown;
  if (flock(lock->get(), LOCK_EX | LOCK_NB) == 0) return Life::kDead;
  return errno == EWOULDBLOCK ? Life::kAlive : Life::kUnknown;
}

}  // namespace fs
