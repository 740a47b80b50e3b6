// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_REDIS_RESP_READER_H
#define SIXCALL_REDIS_RESP_READER_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "sixcall/connector.hpp"
#include "stream.h"

namespace redis {

/// The peer does not speak the protocol, or is out of step: nothing that comes
/// from it can be believed any more.
class ProtocolError : public sixcall::Error {
 public:
  explicit ProtocolError(const std::string& text) : Error(SIXCALL_E_IO, "protocol error: " + text) {}
};

/// A piece of a reply.
enum class Token : uint8_t {
  kMore,       ///< nothing is complete: Fill, then ask again
  kScalar,     ///< type() and text(); for ':' also number()
  kNull,       ///< no value, in any of its spellings
  kBulk,       ///< number() bytes follow: say Into or they are skipped; then kBulkEnd
  kBulkEnd,    ///< all of them have come
  kAggregate,  ///< number() values follow (two for each entry of a map)
};

/// Cuts a stream of RESP2 or RESP3 into tokens. Bytes of a bulk string go from
/// the socket straight to where the caller wants them. Attributes and pushed
/// messages are skipped: nobody here asks for them.
///
/// Every method may throw ProtocolError; the reader is then of no use but Reset.
class Reader {
 public:
  static constexpr size_t kCapacity = 64 << 10;  // bytes read ahead at most
  static constexpr size_t kMaxLine = 16 << 10;   // bytes of a line
  static constexpr int64_t kMaxBulk = int64_t{1} << 40;
  static constexpr int64_t kMaxItems = int64_t{1} << 31;

  Reader() : buffer_(new uint8_t[kCapacity]) {}

  /// Reads once from the stream: the rest of the bulk string that is being read,
  /// and up to `ahead` bytes of what follows it. Returns the bytes, 0 when
  /// nothing is there; *all says that the stream is empty now. Call it after kMore.
  size_t Fill(Stream& stream, size_t ahead, bool* all);

  Token Next();

  char type() const { return type_; }              ///< the first byte of the line
  int64_t number() const { return number_; }       ///< of ':', or a length
  std::string_view text() const { return text_; }  ///< of a scalar; valid until the next call

  /// Where the bulk string of the last kBulk goes: number() bytes.
  void Into(uint8_t* target) { target_ = target; }
  /// Forgets the target: what is still to come is skipped.
  void Abandon() { target_ = nullptr; }
  bool in_bulk() const { return state_ != State::kLine; }

  /// Whether no byte of an unfinished token is here.
  bool idle() const { return state_ == State::kLine && begin_ == end_ && discard_ == 0; }

  void Reset();

 private:
  enum class State : uint8_t { kLine, kBulk, kBulkCrlf };

  bool TakeLine();
  int64_t Integer(std::string_view digits, int64_t min, int64_t max) const;
  Token Header();

  std::unique_ptr<uint8_t[]> buffer_;
  size_t begin_ = 0, end_ = 0;  // what is read and not used
  size_t scanned_ = 0;          // bytes from begin_ that hold no end of line
  State state_ = State::kLine;
  char type_ = 0;
  int64_t number_ = 0;
  std::string_view text_;
  uint8_t* target_ = nullptr;  // of the bulk string; NULL = skip
  uint64_t left_ = 0;          // bytes of it that are to come
  uint64_t discard_ = 0;       // values that are part of something skipped
};

}  // namespace redis

#endif  // SIXCALL_REDIS_RESP_READER_H
