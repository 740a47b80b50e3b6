// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_FS_FD_H
#define SIXCALL_FS_FD_H

#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "sixcall/connector.hpp"

namespace fs {

/// Owns a file descriptor.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      Close();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Fd() { Close(); }

  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }
  /// Closes; 0 or the errno. A network file system may report a failed write only now.
  int Close() {
    const int fd = std::exchange(fd_, -1);
    return fd >= 0 && ::close(fd) != 0 && errno != EINTR ? errno : 0;
  }

 private:
  int fd_;
};

/// The error of a failed system call, with the code that the host acts on.
inline sixcall::Error SystemError(const std::string& what, int error) {
  int32_t code = SIXCALL_E_IO;
  std::string advice;
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      code = SIXCALL_E_NOSPACE;
      advice = "; free space or lower the adapter's capacity";
      break;
    case ENOMEM: code = SIXCALL_E_NOMEM; break;
    case EMFILE:
    case ENFILE: advice = "; raise the limit of open files (ulimit -n)"; break;
    // The file system under the folder is gone; only opening it again can help.
    case ESTALE:
    case ENOTCONN:
    case ENODEV:
    case ESHUTDOWN: code = SIXCALL_E_CONNECT; break;
    default: break;
  }
  return sixcall::Error(code, what + ": " + std::generic_category().message(error) + advice, error);
}

}  // namespace fs

#endif  // SIXCALL_FS_FD_H
