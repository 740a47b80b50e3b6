// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_INFINISTORE_SOCKET_H
#define SIXCALL_INFINISTORE_SOCKET_H

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

namespace infinistore {

/// How long a call on a socket blocks before whoever made it looks at the clock.
constexpr int kSliceMs = 25;

/// A connected TCP socket. Blocking, with time-outs of kSliceMs.
class Socket {
 public:
  Socket() = default;
  Socket(Socket&& other) noexcept { *this = std::move(other); }
  Socket& operator=(Socket&& other) noexcept {
    Close();
    fd_ = std::exchange(other.fd_, -1);
    return *this;
  }
  ~Socket() { Close(); }

  /// Connects to one of the addresses of host. go_on is asked every kSliceMs; when it
  /// returns false the result is not open. Throws sixcall::Error (CONNECT).
  static Socket Connect(const std::string& host, uint16_t port, const std::function<bool()>& go_on);

  int fd() const { return fd_; }
  bool open() const { return fd_ >= 0; }
  void Close();

  /// Whether the server has closed it, or has sent what nobody asked for.
  bool Stale() const;
  /// The server's numeric address and port.
  std::string Peer() const;

 private:
  explicit Socket(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace infinistore

#endif  // SIXCALL_INFINISTORE_SOCKET_H
