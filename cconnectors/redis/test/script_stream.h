// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_REDIS_TEST_SCRIPT_STREAM_H
#define SIXCALL_REDIS_TEST_SCRIPT_STREAM_H

#include <algorithm>
#include <cstring>
#include <functional>
#include <string>

#include "stream.h"

namespace redis {

// A peer whose bytes are known beforehand and come in pieces of chosen sizes.
class ScriptStream final : public Stream {
 public:
  // next(at) is how many bytes the read at position `at` gets; 0 = none yet.
  ScriptStream(std::string bytes, std::function<size_t(size_t at)> next)
      : Stream(-1, "script"), bytes_(std::move(bytes)), next_(std::move(next)) {}

  size_t Read(const iovec *iov, int n) override {
    size_t left = std::min(next_(at_), bytes_.size() - at_), got = 0;
    for (int i = 0; i < n && left > 0; ++i) {
      const size_t take = std::min(left, iov[i].iov_len);
      std::memcpy(iov[i].iov_base, bytes_.data() + at_, take);
      at_ += take;
      left -= take;
      got += take;
    }
    return got;
  }
  size_t Write(const iovec *iov, int n) override {
    size_t left = next_(written.size()), sent = 0;
    for (int i = 0; i < n && left > 0; ++i) {
      const size_t take = std::min(left, iov[i].iov_len);
      written.append(static_cast<const char *>(iov[i].iov_base), take);
      left -= take;
      sent += take;
    }
    return sent;
  }

  bool at_end() const { return at_ == bytes_.size(); }

  std::string written;

 private:
  std::string bytes_;
  std::function<size_t(size_t)> next_;
  size_t at_ = 0;
};

}  // namespace redis

#endif  // SIXCALL_REDIS_TEST_SCRIPT_STREAM_H
