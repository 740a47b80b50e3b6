// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_REDIS_STREAM_H
#define SIXCALL_REDIS_STREAM_H

#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "address.h"

namespace redis {

/// A connected, non-blocking byte stream that closes its descriptor. One thread.
/// Read and Write throw sixcall::Error when the peer is gone.
class Stream {
 public:
  Stream(int fd, std::string peer) : fd_(fd), peer_(std::move(peer)) {}
  Stream(const Stream&) = delete;
  virtual ~Stream();

  int fd() const { return fd_; }
  const std::string& peer() const { return peer_; }
  /// Gives the descriptor away.
  int ReleaseFd() { return std::exchange(fd_, -1); }

  /// Goes on with the handshake of the transport; true when it is done.
  virtual bool Handshake() { return true; }
  /// Moves what can be moved now and returns the bytes, 0 when that is nothing.
  virtual size_t Read(const iovec* iov, int n);
  virtual size_t Write(const iovec* iov, int n);

  /// Whether there is something to do when the descriptor becomes writable.
  /// pending says that the caller has bytes to write.
  virtual bool wants_write(bool pending) const { return pending; }
  /// Whether bytes that Write did not take may be on their way all the same:
  /// then the memory they came from must not change.
  virtual bool holds_unwritten() const { return false; }

 protected:
  [[noreturn]] void Lost(int error) const;

 private:
  int fd_;
  std::string peer_;
};

/// Begins to connect. The descriptor is writable when that has ended; ConnectError
/// then tells how. Throws sixcall::Error with SIXCALL_E_CONNECT when it fails at once.
std::unique_ptr<Stream> StartConnect(const Endpoint& endpoint, const Address& address);
/// 0, or the errno with which connecting ended.
int ConnectError(int fd);
/// The error of a failed connect, with a hint.
std::string ConnectText(const Address& address, int error);

}  // namespace redis

#endif  // SIXCALL_REDIS_STREAM_H
