// SPDX-License-Identifier: Apache-2.0
#include "infinistore_exchange.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <new>
#include <system_error>

namespace infinistore {

namespace {

/// A value is hashed piece by piece beside the system calls, while it is in the cache.
/// Small pieces slow sending down more than receiving.
constexpr uint64_t kSendPiece = 1 << 20;
constexpr uint64_t kReceivePiece = 256 << 10;

constexpr uint8_t kZeros[64 << 10] = {};

struct Pieces {
  iovec list[3];
  int n = 0;

  void Add(const void* bytes, uint64_t len) {
    if (len == 0) return;
    list[n].iov_base = const_cast<void*>(bytes);
    list[n].iov_len = static_cast<size_t>(len);
    n++;
  }
  msghdr Message() {
    msghdr m = {};
    m.msg_iov = list;
    m.msg_iovlen = static_cast<size_t>(n);
    return m;
  }
};

bool NotReady(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

}  // namespace

void Exchange::Start(Op op, std::string_view key, uint64_t value_bytes, bool trailer) {
  op_ = op;
  trailer_ = trailer;
  detached_ = send_failed_ = false;
  key_.assign(key);
  source_ = nullptr;
  target_ = nullptr;
  value_bytes_ = value_bytes;
  hashed_ = 0;
  rest_.clear();
  rest_from_ = sent_ = got_ = end_ = want_ = 0;
  error_.clear();
  if (trailer) hash_.Begin(key);
}

void Exchange::StartGet(std::string_view key, uint8_t* value, uint64_t len, bool trailer) {
  Start(Op::kGet, key, len, trailer);
  target_ = value;
  want_ = len + (trailer ? kTrailerBytes : 0);
  WriteGet(key, &request_);
  send_bytes_ = request_.size();
}

void Exchange::StartPut(std::string_view key, const uint8_t* value, uint64_t len, bool trailer) {
  Start(Op::kPut, key, len, trailer);
  source_ = value;
  const uint64_t wire_bytes = len + (trailer ? kTrailerBytes : 0);
  WritePut(key, wire_bytes, &request_);
  send_bytes_ = request_.size() + wire_bytes;
}

void Exchange::StartExists(std::string_view key) {
  Start(Op::kExists, key, 0, false);
  WriteExists(key, &request_);
  send_bytes_ = request_.size();
}

void Exchange::StartDelete(std::string_view key) {
  Start(Op::kDelete, key, 0, false);
  WriteDelete(key, &request_);
  send_bytes_ = request_.size();
}

Exchange::Step Exchange::Broken(std::string why) {
  error_ = std::move(why);
  return Step::kBroken;
}

Exchange::Step Exchange::Run(int fd, int flags, uint8_t* scratch) {
  try {
    return sending() && !send_failed_ ? Send(fd, flags, scratch) : Receive(fd, flags, scratch);
  } catch (const std::bad_alloc&) {  // only the text of an error takes memory
    error_ = "out of memory";
    return Step::kBroken;
  }
}

Exchange::Step Exchange::Send(int fd, int flags, uint8_t* scratch) {
  Pieces pieces;
  const uint64_t request = request_.size();
  if (sent_ < request) pieces.Add(request_.data() + sent_, request - sent_);
  if (detached_) {
    const uint64_t at = std::max(sent_, request);  // rest_from_ is not before it
    if (!rest_.empty()) {
      pieces.Add(rest_.data() + (at - rest_from_), send_bytes_ - at);
    } else if (at < send_bytes_) {
      pieces.Add(kZeros, std::min<uint64_t>(send_bytes_ - at, sizeof(kZeros)));
    }
  } else if (op_ == Op::kPut) {
    const uint64_t at = std::max(sent_, request) - request;  // in value and trailer
    uint64_t until = value_bytes_;
    if (trailer_ && hashed_ < value_bytes_) {
      until = std::min(value_bytes_, at + kSendPiece);
      if (until > hashed_) {
        hash_.Add(source_ + hashed_, until - hashed_);
        hashed_ = until;
      }
      until = hashed_;
    }
    if (at < until) pieces.Add(source_ + at, until - at);
    if (trailer_ && hashed_ == value_bytes_) {
      hash_.Write(value_bytes_, tail_);
      const uint64_t skip = at > value_bytes_ ? at - value_bytes_ : 0;
      pieces.Add(tail_ + skip, kTrailerBytes - skip);
    }
  }
  msghdr m = pieces.Message();
  const ssize_t n = sendmsg(fd, &m, MSG_NOSIGNAL | flags);
  if (n >= 0) {
    sent_ += static_cast<uint64_t>(n);
    return Step::kMore;
  }
  if (errno == EINTR) return Step::kMore;
  // A server that has no room for a put says so before it has the value.
  if (NotReady(errno)) return op_ == Op::kPut && requested() ? Receive(fd, flags | MSG_DONTWAIT, scratch) : Step::kWait;
  error_ = "send: " + std::generic_category().message(errno);
  // Having said so it closes: the answer may be there.
  if (op_ != Op::kPut || !requested()) return Step::kBroken;
  send_failed_ = true;
  return Step::kMore;
}

Exchange::Step Exchange::Receive(int fd, int flags, uint8_t* scratch) {
  // What may come is known only up to the head. Of a get, value and trailer are asked
  // for together with it: one call suffices when the size is the wanted one.
  Pieces pieces;
  const uint64_t most = end_ != 0 ? end_ : op_ == Op::kGet ? 8 + want_ : op_ == Op::kPut ? 4 : 8;
  const bool wanted = op_ == Op::kGet && !detached_ && (end_ == 0 || size_fits());
  if (got_ < 8) pieces.Add(head_ + got_, std::min<uint64_t>(most, 8) - got_);
  uint64_t value_from = 0, value_more = 0;  // of the value, in this call
  if (most > 8) {
    const uint64_t at = std::max<uint64_t>(got_, 8) - 8;
    if (wanted) {
      value_from = std::min(at, value_bytes_);
      value_more = value_bytes_ - value_from;
      if (trailer_) value_more = std::min(value_more, kReceivePiece);
      pieces.Add(target_ + value_from, value_more);
      if (trailer_ && value_from + value_more == value_bytes_) {
        const uint64_t skip = at > value_bytes_ ? at - value_bytes_ : 0;
        pieces.Add(tail_ + skip, kTrailerBytes - skip);
      }
    } else {
      pieces.Add(scratch, std::min<uint64_t>(most - 8 - at, kScratchBytes));
    }
  }
  // Else the server's second small write waits for our delayed acknowledgement, 40 ms.
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
  msghdr m = pieces.Message();
  const ssize_t n = recvmsg(fd, &m, flags);
  if (n < 0) {
    if (errno == EINTR) return Step::kMore;
    if (NotReady(errno) && !send_failed_) return Step::kWait;
    return Broken(send_failed_ ? error_ : "receive: " + std::generic_category().message(errno));
  }
  if (n == 0) return Broken(send_failed_ ? error_ : "the server closed the connection");
  const uint64_t before = got_;
  got_ += static_cast<uint64_t>(n);
  if (wanted && trailer_ && got_ > 8) {
    const uint64_t fresh = std::min(got_ - std::max<uint64_t>(before, 8), value_more);
    hash_.Add(target_ + value_from, fresh);
  }
  return Judge();
}

Exchange::Step Exchange::Judge() {
  if (end_ == 0 && got_ >= 4) {
    if (op_ == Op::kPut || code() != kCodeDone) {
      end_ = 4;
    } else if (op_ != Op::kGet) {
      end_ = 8;
    } else if (got_ >= 8) {
      if (stored_bytes() > kMaxWireValue) return Broken("the answer announces a value of " + std::to_string(stored_bytes()) + " bytes");
      end_ = 8 + stored_bytes();
    }
    if (end_ != 0 && got_ > end_) return Broken("the answer with code " + std::to_string(code()) + " is too long");
    if (sending() && code() == kCodeDone) return Broken("the server answered a put that it has not got");
  }
  return end_ != 0 && got_ == end_ ? Step::kDone : Step::kMore;
}

void Exchange::Detach() {
  if (detached_) return;
  if (op_ == Op::kPut && sending() && !trailer_) {
    rest_from_ = std::max<uint64_t>(sent_, request_.size());
    rest_.assign(reinterpret_cast<const char*>(source_) + (rest_from_ - request_.size()), send_bytes_ - rest_from_);
  }
  detached_ = true;
  source_ = nullptr;
  target_ = nullptr;
}

}  // namespace infinistore
