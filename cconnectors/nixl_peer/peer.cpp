// SPDX-License-Identifier: Apache-2.0
#include "peer.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "sixcall/connector.hpp"

namespace nixl_peer {

namespace {

using Clock = std::chrono::steady_clock;
using sixcall::Error;

}  // namespace

void Peer::Connect() {
  addrinfo hints = {}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  if (const int rc = getaddrinfo(host_.c_str(), port_.c_str(), &hints, &found); rc != 0) {
    throw Error(SIXCALL_E_IO, "peer " + address() + ": " + gai_strerror(rc));
  }
  fd_ = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int rc = fd_ < 0 ? -1 : connect(fd_, found->ai_addr, found->ai_addrlen);
  const int why = errno;
  freeaddrinfo(found);
  if (fd_ < 0 || (rc != 0 && why != EINPROGRESS)) throw Error(SIXCALL_E_IO, "connect to peer " + address() + ": " + std::generic_category().message(why), why);
  if (rc != 0) Await(POLLOUT, Clock::now() + limits_.connect);
  int failed = 0;
  socklen_t size = sizeof(failed);
  getsockopt(fd_, SOL_SOCKET, SO_ERROR, &failed, &size);
  if (failed != 0) throw Error(SIXCALL_E_IO, "connect to peer " + address() + ": " + std::generic_category().message(failed), failed);
  const int one = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));

  Send(std::string(kMagic, kMagicBytes));
  char head[kMagicBytes + 2];
  Receive(head, sizeof(head));
  const size_t name = Take<uint16_t>(head + kMagicBytes);
  if (std::memcmp(head, kMagic, kMagicBytes) != 0 || name == 0 || name > kMaxName) throw Error(SIXCALL_E_IO, "peer " + address() + " is no nixl_peer");
  agent_.resize(name);
  Receive(&agent_[0], name);
  char size_text[4];
  Receive(size_text, sizeof(size_text));
  const size_t metadata = Take<uint32_t>(size_text);
  if (metadata > kMaxMetadata) throw Error(SIXCALL_E_IO, "peer " + address() + " is no nixl_peer");
  metadata_.resize(metadata);
  Receive(&metadata_[0], metadata);
  pause_ = std::chrono::milliseconds(100);
}

void Peer::Failed() noexcept {
  Close();
  retry_at_ = Clock::now() + pause_;
  pause_ = std::min(pause_ * 2, std::chrono::milliseconds(10000));
}

void Peer::Close() noexcept {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

Answer Peer::Ask(Op op, std::string_view key) {
  Send(Request(op, key));
  char answer[kAnswerBytes];
  Receive(answer, sizeof(answer));
  if (answer[0] != 0 && answer[0] != 1) throw Error(SIXCALL_E_IO, "peer " + address() + " gave an answer that is none");
  return Unpacked(answer);
}

void Peer::Release() { Send(Request(Op::kRelease, "")); }

void Peer::Await(short events, Clock::time_point until) {
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count();
    pollfd p = {fd_, events, 0};
    const int n = poll(&p, 1, static_cast<int>(std::max<int64_t>(left, 0)));
    if (n > 0) return;
    if (n == 0 && left <= 0) throw Error(SIXCALL_E_TIMEOUT, "peer " + address() + " does not answer");
    if (n < 0 && errno != EINTR) throw Error(SIXCALL_E_IO, "poll: " + std::generic_category().message(errno), errno);
  }
}

void Peer::Send(const std::string& bytes) {
  const auto until = Clock::now() + limits_.request;
  for (size_t at = 0; at < bytes.size();) {
    const ssize_t n = send(fd_, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
    if (n >= 0) {
      at += static_cast<size_t>(n);
    } else if (errno == EAGAIN) {
      Await(POLLOUT, until);
    } else if (errno != EINTR) {
      throw Error(SIXCALL_E_IO, "send to peer " + address() + ": " + std::generic_category().message(errno), errno);
    }
  }
}

void Peer::Receive(char* to, size_t len) {
  const auto until = Clock::now() + limits_.request;
  for (size_t at = 0; at < len;) {
    const ssize_t n = recv(fd_, to + at, len - at, 0);
    if (n > 0) {
      at += static_cast<size_t>(n);
    } else if (n == 0) {
      throw Error(SIXCALL_E_IO, "peer " + address() + " ended the connection");
    } else if (errno == EAGAIN) {
      Await(POLLIN, until);
    } else if (errno != EINTR) {
      throw Error(SIXCALL_E_IO, "receive from peer " + address() + ": " + std::generic_category().message(errno), errno);
    }
  }
}

}  // namespace nixl_peer
