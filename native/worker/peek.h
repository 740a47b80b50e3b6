// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_WORKER_PEEK_H
#define SIXCALL_WORKER_PEEK_H

#include <cstddef>
#include <cstdint>
#include <string>

namespace sixcall::worker {

/// Reads memory whose address a library gave, without faulting when the address
/// is wrong: the kernel copies it through a pipe and says EFAULT. One thread.
class Peeker {
 public:
  Peeker();
  ~Peeker();
  Peeker(const Peeker&) = delete;
  Peeker& operator=(const Peeker&) = delete;

  /// Copies n bytes. False: error() says what is wrong.
  bool Read(uintptr_t address, size_t n, void* out);
  /// Copies a NUL-terminated string of at most limit bytes.
  bool Text(uintptr_t address, size_t limit, std::string* out);

  const std::string& error() const { return error_; }

 private:
  int read_ = -1, write_ = -1;
  std::string error_;
};

}  // namespace sixcall::worker

#endif
