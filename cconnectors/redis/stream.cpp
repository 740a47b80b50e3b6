// SPDX-License-Identifier: Apache-2.0
#include "stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <system_error>

#include "sixcall/connector.hpp"

namespace redis {

Stream::~Stream() {
  if (fd_ >= 0) ::close(fd_);
}

void Stream::Lost(int error) const {
  if (error == 0) throw sixcall::Error(SIXCALL_E_CONNECT, peer_ + ": the server closed the connection");
  throw sixcall::Error(SIXCALL_E_CONNECT, peer_ + ": connection lost: " + std::generic_category().message(error), error);
}

size_t Stream::Read(const iovec* iov, int n) {
  msghdr msg = {};
  msg.msg_iov = const_cast<iovec*>(iov);
  msg.msg_iovlen = static_cast<size_t>(n);
  for (;;) {
    const ssize_t got = n == 1 ? ::recv(fd_, iov->iov_base, iov->iov_len, 0) : ::recvmsg(fd_, &msg, 0);
    if (got > 0) return static_cast<size_t>(got);
    if (got == 0) Lost(0);
    if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
    if (errno != EINTR) Lost(errno);
  }
}

size_t Stream::Write(const iovec* iov, int n) {
  msghdr msg = {};
  msg.msg_iov = const_cast<iovec*>(iov);
  msg.msg_iovlen = static_cast<size_t>(n);
  for (;;) {
    const ssize_t sent = ::sendmsg(fd_, &msg, MSG_NOSIGNAL);
    if (sent >= 0) return static_cast<size_t>(sent);
    if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
    if (errno != EINTR) Lost(errno);
  }
}

std::unique_ptr<Stream> StartConnect(const Endpoint& endpoint, const Address& address) {
  const int family = endpoint.addr.ss_family;
  const int fd = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throw sixcall::Error(SIXCALL_E_CONNECT, ConnectText(address, errno), errno);
  auto stream = std::make_unique<Stream>(fd, address.Text());
  if (family != AF_UNIX) {
    const int one = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
  }
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&endpoint.addr), endpoint.len) != 0 && errno != EINPROGRESS) {
    throw sixcall::Error(SIXCALL_E_CONNECT, ConnectText(address, errno), errno);
  }
  return stream;
}

int ConnectError(int fd) {
  int error = 0;
  socklen_t len = sizeof(error);
  return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? error : errno;
}

std::string ConnectText(const Address& address, int error) {
  std::string text = "connect to " + address.Text() + ": " + std::generic_category().message(error);
  if (error == ECONNREFUSED || error == ENOENT) text += "; is the server running?";
  return text;
}

}  // namespace redis
