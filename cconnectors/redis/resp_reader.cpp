// SPDX-License-Identifier: Apache-2.0
#include "resp_reader.h"

#include <algorithm>
#include <cstring>

namespace redis {
namespace {

// A byte as an error message shows it.
std::string Shown(char c) {
  if (c > 0x20 && c < 0x7F) return std::string("'") + c + "'";
  static const char kHex[] = "0123456789abcdef";
  const auto u = static_cast<unsigned char>(c);
  return std::string("byte 0x") + kHex[u >> 4] + kHex[u & 15];
}

}  // namespace

void Reader::Reset() {
  begin_ = end_ = scanned_ = 0;
  state_ = State::kLine;
  text_ = {};
  target_ = nullptr;
  left_ = discard_ = 0;
}

size_t Reader::Fill(Stream& stream, size_t ahead, bool* all) {
  iovec iov[2];
  int n = 0;
  size_t direct = 0, asked = 0;
  if (state_ == State::kBulk && target_ != nullptr && begin_ == end_) {
    direct = left_;
    iov[n++] = {target_, direct};
  } else if (state_ == State::kBulk) {
    ahead = kCapacity;  // skipping: the larger the better
  }
  if (begin_ == end_) {
    begin_ = end_ = 0;
  } else if (kCapacity - end_ < ahead && begin_ > 0) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  iov[n++] = {buffer_.get() + end_, std::min(std::max<size_t>(ahead, 1), kCapacity - end_)};
  for (int i = 0; i < n; i++) asked += iov[i].iov_len;
  const size_t got = stream.Read(iov, n);
  *all = got < asked;
  const size_t filled = std::min(got, direct);
  if (direct > 0) target_ += filled;
  left_ -= direct > 0 ? filled : 0;
  end_ += got - filled;
  return got;
}

bool Reader::TakeLine() {
  const uint8_t* from = buffer_.get() + begin_;
  const size_t have = end_ - begin_;
  const auto* cr = static_cast<const uint8_t*>(std::memchr(from + scanned_, '\r', have - scanned_));
  const size_t before = cr == nullptr ? have : static_cast<size_t>(cr - from);
  if (std::memchr(from + scanned_, '\n', before - scanned_) != nullptr) throw ProtocolError("a line ends without \\r");
  if (cr == nullptr || cr + 1 == from + have) {
    scanned_ = cr == nullptr ? have : have - 1;
    if (have > kMaxLine) throw ProtocolError("a line of more than " + std::to_string(kMaxLine) + " bytes");
    return false;
  }
  scanned_ = 0;
  if (cr[1] != '\n') throw ProtocolError("a line ends with \\r and " + Shown(static_cast<char>(cr[1])));
  if (cr == from) throw ProtocolError("an empty line");
  type_ = static_cast<char>(*from);
  text_ = std::string_view(reinterpret_cast<const char*>(from) + 1, static_cast<size_t>(cr - from) - 1);
  begin_ += static_cast<size_t>(cr - from) + 2;
  return true;
}

int64_t Reader::Integer(std::string_view digits, int64_t min, int64_t max) const {
  const std::string_view all = digits;
  const bool negative = !digits.empty() && digits[0] == '-';
  if (negative || (!digits.empty() && digits[0] == '+')) digits.remove_prefix(1);
  uint64_t n = 0;
  bool ok = !digits.empty() && digits.size() <= 19;
  for (const char c : digits) {
    ok = ok && c >= '0' && c <= '9';
    n = n * 10 + static_cast<uint64_t>(c - '0');
  }
  const auto limit = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (ok && n <= limit + (negative ? 1 : 0)) {
    const int64_t value = negative ? static_cast<int64_t>(0 - n) : static_cast<int64_t>(n);
    if (value >= min && value <= max) return value;
  }
  throw ProtocolError("after " + Shown(type_) + " comes \"" + std::string(all.substr(0, 40)) + "\", want a number");
}

/// Reads what the line in type_ and text_ says.
Token Reader::Header() {
  switch (type_) {
    case '+': case '-': case '#': case ',': case '(':
      return Token::kScalar;
    case ':':
      number_ = Integer(text_, std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max());
      return Token::kScalar;
    case '_':
      if (!text_.empty()) throw ProtocolError("text after a null");
      return Token::kNull;
    case '$':
      number_ = Integer(text_, -1, kMaxBulk);
      return number_ < 0 ? Token::kNull : Token::kBulk;
    case '!': case '=':
      number_ = Integer(text_, 0, kMaxBulk);
      return Token::kBulk;
    case '*':
      number_ = Integer(text_, -1, kMaxItems);
      return number_ < 0 ? Token::kNull : Token::kAggregate;
    case '~': case '>':
      number_ = Integer(text_, 0, kMaxItems);
      return Token::kAggregate;
    case '%': case '|':
      number_ = 2 * Integer(text_, 0, kMaxItems);
      return Token::kAggregate;
    default:
      throw ProtocolError("a reply begins with " + Shown(type_));
  }
}

Token Reader::Next() {
  for (;;) {
    if (state_ == State::kLine) {
      if (!TakeLine()) return Token::kMore;
      const Token token = Header();
      if (type_ == '|' || type_ == '>') {  // an attribute stands before a value and is none
        const uint64_t itself = type_ == '>' && discard_ > 0 ? 1 : 0;
        discard_ += static_cast<uint64_t>(number_) - itself;
        continue;
      }
      if (token == Token::kBulk) {
        left_ = static_cast<uint64_t>(number_);
        target_ = nullptr;
        state_ = State::kBulk;
        if (discard_ == 0) return token;
        continue;
      }
      if (discard_ == 0) return token;
      discard_ -= 1;
      if (token == Token::kAggregate) discard_ += static_cast<uint64_t>(number_);
      continue;
    }
    if (state_ == State::kBulk) {
      const size_t take = static_cast<size_t>(std::min<uint64_t>(left_, end_ - begin_));
      if (target_ != nullptr && take > 0) {
        std::memcpy(target_, buffer_.get() + begin_, take);
        target_ += take;
      }
      begin_ += take;
      left_ -= take;
      if (left_ > 0) return Token::kMore;
      state_ = State::kBulkCrlf;
    }
    if (end_ - begin_ < 2) return Token::kMore;
    if (buffer_[begin_] != '\r' || buffer_[begin_ + 1] != '\n') throw ProtocolError("a string is longer than it says");
    begin_ += 2;
    state_ = State::kLine;
    if (discard_ == 0) return Token::kBulkEnd;
    discard_--;
  }
}

}  // namespace redis
