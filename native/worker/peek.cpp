// SPDX-License-Identifier: Apache-2.0
#include "peek.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "text.h"

namespace sixcall::worker {
namespace {

constexpr size_t kStep = 4096;  // bytes; fits an empty pipe, and no step crosses a page

size_t StepAt(uintptr_t from, size_t rest) { return std::min(rest, kStep - from % kStep); }

}  // namespace

Peeker::Peeker() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0) {
    read_ = fds[0], write_ = fds[1];
  } else {
    error_ = "pipe: " + ErrnoText(errno);
  }
}

Peeker::~Peeker() {
  if (read_ >= 0) close(read_);
  if (write_ >= 0) close(write_);
}

bool Peeker::Read(uintptr_t address, size_t n, void* out) {
  if (read_ < 0) return false;
  for (size_t done = 0; done < n;) {
    const uintptr_t from = address + done;
    // Not write(): a sanitizer would look at the memory itself.
    const long wrote = syscall(SYS_write, write_, from, StepAt(from, n - done));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) {
      error_ = Format("%#zx is not readable memory (%s)", static_cast<size_t>(from), ErrnoText(errno).c_str());
      return false;
    }
    const ssize_t got = read(read_, static_cast<char*>(out) + done, static_cast<size_t>(wrote));
    if (got < 0) {
      error_ = "pipe: " + ErrnoText(errno);
      return false;
    }
    done += static_cast<size_t>(got);
  }
  return true;
}

bool Peeker::Text(uintptr_t address, size_t limit, std::string* out) {
  out->clear();
  char part[kStep];
  while (out->size() < limit) {
    const uintptr_t from = address + out->size();
    const size_t step = StepAt(from, limit - out->size());
    if (!Read(from, step, part)) return false;
    if (const void* end = std::memchr(part, 0, step)) {
      out->append(part, static_cast<size_t>(static_cast<const char*>(end) - part));
      return true;
    }
    out->append(part, step);
  }
  error_ = "no terminating NUL";
  return false;
}

}  // namespace sixcall::worker
