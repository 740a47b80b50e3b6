// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_REDIS_RESP_WRITER_H
#define SIXCALL_REDIS_RESP_WRITER_H

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "sixcall/connector.hpp"
#include "stream.h"

namespace redis {

/// Commands on their way to the socket: their words in a buffer of its own, their
/// values where the caller has them. It is filled with a few commands, sent, and
/// filled again when all of them are gone.
class Writer {
 public:
  Writer();

  /// Whether another command with words of so many bytes fits.
  bool HasRoom(size_t words) const;

  void Begin(unsigned args);
  void Word(std::string_view text);
  /// One word out of two parts.
  void Word(std::string_view first, std::string_view second);
  void Number(uint64_t n);
  /// Lent until the command is sent, or Reset.
  void Value(sixcall::Bytes value);
  void End();

  /// Sends what it can and returns how many commands are gone by that.
  size_t Send(Stream& stream);

  bool empty() const { return next_command_ == ends_.size(); }
  /// Whether something of the n-th unsent command may be on the wire.
  bool begun(size_t n) const;

  void Reset();

 private:
  void Raw(std::string_view bytes);
  void Length(char type, uint64_t n);

  std::unique_ptr<char[]> words_;
  size_t used_ = 0;           // bytes of words_
  std::vector<iovec> iov_;
  size_t next_iov_ = 0;       // the first that is not sent; its base and len are what is left
  bool last_is_words_ = false;  // the last iov is the end of words_ and can grow
  std::vector<uint64_t> ends_;  // of each command, bytes from the start
  size_t next_command_ = 0;
  uint64_t written_ = 0, sent_ = 0;  // bytes
  bool held_ = false;  // the stream keeps bytes that it did not count
};

}  // namespace redis

#endif  // SIXCALL_REDIS_RESP_WRITER_H
