// SPDX-License-Identifier: Apache-2.0
#include "resp_writer.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace redis {
namespace {

constexpr size_t kWords = 64 << 10;   // bytes of words sent at once
constexpr size_t kPieces = 512;       // pieces of a fill
constexpr size_t kCopied = 512;       // values up to this size go with the words, bytes
constexpr size_t kOverhead = 192;     // of a command: lengths, line ends, names, numbers
constexpr int kPiecesPerCall = 256;   // below the system's limit of 1024

}  // namespace

Writer::Writer() : words_(new char[kWords]) {
  iov_.reserve(kPieces);
  ends_.reserve(kPieces);
}

bool Writer::HasRoom(size_t words) const {
  return used_ + words + kCopied + kOverhead <= kWords && iov_.size() + 4 <= kPieces && ends_.size() < kPieces;
}

void Writer::Raw(std::string_view bytes) {
  char* at = words_.get() + used_;
  std::memcpy(at, bytes.data(), bytes.size());
  used_ += bytes.size();
  written_ += bytes.size();
  if (last_is_words_) {
    iov_.back().iov_len += bytes.size();
  } else {
    iov_.push_back({at, bytes.size()});
    last_is_words_ = true;
  }
}

void Writer::Length(char type, uint64_t n) {
  char text[24];
  text[0] = type;
  char* end = std::to_chars(text + 1, text + sizeof(text) - 2, n).ptr;
  *end++ = '\r';
  *end++ = '\n';
  Raw({text, static_cast<size_t>(end - text)});
}

void Writer::Begin(unsigned args) { Length('*', args); }

void Writer::Word(std::string_view text) { Word(text, {}); }

void Writer::Word(std::string_view first, std::string_view second) {
  Length('$', first.size() + second.size());
  if (!first.empty()) Raw(first);
  if (!second.empty()) Raw(second);
  Raw("\r\n");
}

void Writer::Number(uint64_t n) {
  char text[24];
  Word({text, static_cast<size_t>(std::to_chars(text, text + sizeof(text), n).ptr - text)});
}

void Writer::Value(sixcall::Bytes value) {
  Length('$', value.size());
  if (value.size() > kCopied) {
    iov_.push_back({const_cast<uint8_t*>(value.data()), value.size()});
    written_ += value.size();
    last_is_words_ = false;
  } else if (!value.empty()) {
    Raw({reinterpret_cast<const char*>(value.data()), value.size()});
  }
  Raw("\r\n");
}

void Writer::End() { ends_.push_back(written_); }

size_t Writer::Send(Stream& stream) {
  const size_t before = next_command_;
  while (next_iov_ < iov_.size()) {
    size_t n = stream.Write(&iov_[next_iov_], static_cast<int>(std::min<size_t>(iov_.size() - next_iov_, kPiecesPerCall)));
    held_ = stream.holds_unwritten();
    if (n == 0) break;
    sent_ += n;
    while (next_iov_ < iov_.size() && n >= iov_[next_iov_].iov_len) n -= iov_[next_iov_++].iov_len;
    if (n > 0) {
      iov_[next_iov_].iov_base = static_cast<char*>(iov_[next_iov_].iov_base) + n;
      iov_[next_iov_].iov_len -= n;
    }
  }
  while (next_command_ < ends_.size() && ends_[next_command_] <= sent_) next_command_++;
  const size_t gone = next_command_ - before;
  if (empty()) Reset();
  return gone;
}

bool Writer::begun(size_t n) const {
  if (held_) return true;  // which of them is in the stream's own buffer is not known
  const size_t command = next_command_ + n;
  return command == 0 ? sent_ > 0 : sent_ > ends_[command - 1];
}

void Writer::Reset() {
  used_ = 0;
  iov_.clear();
  ends_.clear();
  next_iov_ = next_command_ = 0;
  written_ = sent_ = 0;
  last_is_words_ = held_ = false;
}

}  // namespace redis
