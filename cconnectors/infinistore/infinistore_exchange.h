// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_INFINISTORE_EXCHANGE_H
#define SIXCALL_INFINISTORE_EXCHANGE_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "infinistore_trailer.h"
#include "infinistore_wire.h"

struct msghdr;

namespace infinistore {

enum class Op : uint8_t { kGet, kPut, kExists, kDelete };

/// One request and its answer on one connection, in steps of one system call. The
/// worker that began it may leave it half-way: after Detach it touches nothing of the
/// caller's and somebody else can run it to its end, which the server needs: it
/// aborts when a client goes away during the answer to a get. One thread at a time.
class Exchange {
 public:
  static constexpr size_t kScratchBytes = 64 << 10;

  enum class Step {
    kMore,    // progress was made
    kWait,    // the socket is not ready, or its time-out has passed
    kDone,    // the answer is complete; the connection can be used again, see reusable()
    kBroken,  // the connection is of no use any more, see error()
  };

  /// Each begins an exchange. key is copied; value has to stay until Done, Broken or
  /// Detach. With trailer a put sends the trailer behind the value and a get expects it.
  void StartGet(std::string_view key, uint8_t* value, uint64_t len, bool trailer);
  void StartPut(std::string_view key, const uint8_t* value, uint64_t len, bool trailer);
  void StartExists(std::string_view key);
  void StartDelete(std::string_view key);

  /// Sends or receives once. flags are added to those of the call. scratch has
  /// kScratchBytes, for what nobody wants.
  Step Run(int fd, int flags, uint8_t* scratch);

  /// Forgets the caller's memory. The rest of a value to be put becomes a copy, or,
  /// as a trailer tells the value from a whole one, zeros.
  void Detach();

  Op op() const { return op_; }
  const std::string& key() const { return key_; }
  /// Whether it waits to send, else to receive.
  bool sending() const { return sent_ < send_bytes_; }
  /// Whether the server may have seen the request whole.
  bool requested() const { return sent_ >= request_.size(); }
  bool begun() const { return sent_ > 0; }

  // After kDone:
  int32_t code() const { return ReadI32(head_); }
  /// Exists: 0 = yes. Delete: how many were removed.
  int32_t number() const { return ReadI32(head_ + 4); }
  /// Get: bytes stored under the key, with the trailer if there is one.
  uint64_t stored_bytes() const { return static_cast<uint32_t>(ReadI32(head_ + 4)); }
  /// Get: the size is the wanted one.
  bool size_fits() const { return stored_bytes() == want_; }
  /// Get with trailer, when the size fits: the trailer does as well.
  bool intact() const { return hash_.Fits(value_bytes_, tail_); }
  /// Whether the next request may go over the same connection.
  bool reusable() const { return code() == kCodeDone || (op_ == Op::kGet && code() == kCodeNotFound); }

  /// After kBroken: why.
  const std::string& error() const { return error_; }

 private:
  void Start(Op op, std::string_view key, uint64_t value_bytes, bool trailer);
  Step Send(int fd, int flags, uint8_t* scratch);
  Step Receive(int fd, int flags, uint8_t* scratch);
  /// Looks at what has come up to got_; sets end_ as soon as it is known.
  Step Judge();
  Step Broken(std::string why);

  Op op_ = Op::kExists;
  bool trailer_ = false;
  bool detached_ = false;
  bool send_failed_ = false;  // what remains is to look for an answer
  std::string key_;
  std::string request_;

  const uint8_t* source_ = nullptr;  // put
  uint8_t* target_ = nullptr;        // get
  uint64_t value_bytes_ = 0;
  uint64_t hashed_ = 0;  // bytes of the value that hash_ has seen
  TrailerHash hash_;
  uint8_t tail_[kTrailerBytes] = {};

  std::string rest_;         // detached put: what remains of the value
  uint64_t rest_from_ = 0;   // where in what is sent it begins
  uint64_t send_bytes_ = 0;  // request, value, trailer
  uint64_t sent_ = 0;

  uint8_t head_[8] = {};  // code, and a number or a size
  uint64_t want_ = 0;     // get: bytes that should be stored
  uint64_t got_ = 0;      // bytes of the answer
  uint64_t end_ = 0;      // its length, 0 = not known yet
  std::string error_;
};

}  // namespace infinistore

#endif  // SIXCALL_INFINISTORE_EXCHANGE_H
