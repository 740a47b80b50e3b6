// SPDX-License-Identifier: Apache-2.0
#include "infinistore_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <memory>
#include <system_error>

#include "sixcall/connector.hpp"

namespace infinistore {

namespace {

void SetInt(int fd, int level, int option, int value) { setsockopt(fd, level, option, &value, sizeof(value)); }

void SetSlices(int fd) {
  timeval slice = {};
  slice.tv_usec = kSliceMs * 1000;
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &slice, sizeof(slice));
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &slice, sizeof(slice));
}

/// Waits for a connect in progress; 0, an errno, or -1 when go_on said no.
int Finish(int fd, const std::function<bool()>& go_on) {
  for (;;) {
    pollfd p = {fd, POLLOUT, 0};
    const int n = poll(&p, 1, kSliceMs);
    if (n > 0) break;
    if (!go_on()) return -1;
  }
  int error = 0;
  socklen_t len = sizeof(error);
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? error : errno;
}

}  // namespace

Socket Socket::Connect(const std::string& host, uint16_t port, const std::function<bool()>& go_on) {
  const std::string where = host + ":" + std::to_string(port);
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int bad = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (bad != 0) throw sixcall::Error(SIXCALL_E_CONNECT, "resolve " + where + ": " + gai_strerror(bad), bad);
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, &freeaddrinfo);
  int error = 0;
  for (const addrinfo* a = list; a != nullptr; a = a->ai_next) {
    Socket s(socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol));
    if (!s.open()) {
      error = errno;
      continue;
    }
    error = connect(s.fd_, a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) error = Finish(s.fd_, go_on);
    if (error == -1) return Socket();
    if (error != 0) continue;
    fcntl(s.fd_, F_SETFL, 0);  // blocking from here on: one call instead of poll and a call
    SetSlices(s.fd_);
    SetInt(s.fd_, IPPROTO_TCP, TCP_NODELAY, 1);
    // A host that is gone is noticed after a minute. A server that only hangs is not
    // given up by the kernel: it would abort when it goes on and finds us gone.
    SetInt(s.fd_, SOL_SOCKET, SO_KEEPALIVE, 1);
    SetInt(s.fd_, IPPROTO_TCP, TCP_KEEPIDLE, 30);
    SetInt(s.fd_, IPPROTO_TCP, TCP_KEEPINTVL, 10);
    SetInt(s.fd_, IPPROTO_TCP, TCP_KEEPCNT, 3);
    return s;
  }
  throw sixcall::Error(SIXCALL_E_CONNECT, "connect to " + where + ": " + std::generic_category().message(error) + "; is the server running?", error);
}

void Socket::Close() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
}

bool Socket::Stale() const {
  uint8_t byte;
  const ssize_t n = recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

std::string Socket::Peer() const {
  sockaddr_storage address = {};
  socklen_t len = sizeof(address);
  char host[NI_MAXHOST] = "", port[NI_MAXSERV] = "";
  if (getpeername(fd_, reinterpret_cast<sockaddr*>(&address), &len) == 0) {
    getnameinfo(reinterpret_cast<sockaddr*>(&address), len, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
  }
  return std::string(host) + " " + port;
}

}  // namespace infinistore
