// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_INFINISTORE_PLAIN_CLIENT_H
#define SIXCALL_INFINISTORE_PLAIN_CLIENT_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include "infinistore_wire.h"

namespace infinistore_test {

// The least that speaks the protocol: one blocking connection to 127.0.0.1, no
// deadlines, no locks, no checks of what is stored. The limit that the connector is
// compared with. Throws std::runtime_error.
class PlainClient {
 public:
  explicit PlainClient(int port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in a = {};
    a.sin_family = AF_INET;
    a.sin_port = htons(static_cast<uint16_t>(port));
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd_, reinterpret_cast<sockaddr *>(&a), sizeof(a)) != 0) throw std::runtime_error("plain client: cannot connect");
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
  PlainClient(const PlainClient &) = delete;
  ~PlainClient() { close(fd_); }

  void Put(const std::string &key, const uint8_t *value, uint64_t len) {
    infinistore::WritePut(key, len, &request_);
    SendRequest(value, len);
    uint8_t head[4];
    Receive(head, 4);
    if (infinistore::ReadI32(head) != 200) throw std::runtime_error("plain client: put of " + key + " was refused");
  }
  // Whether the key is there; it then has to have len bytes.
  bool Get(const std::string &key, uint8_t *value, uint64_t len) {
    infinistore::WriteGet(key, &request_);
    SendRequest(nullptr, 0);
    uint8_t head[8];
    Receive(head, 4);
    if (infinistore::ReadI32(head) != 200) return false;
    Receive(head + 4, 4);
    if (static_cast<uint32_t>(infinistore::ReadI32(head + 4)) != len) throw std::runtime_error("plain client: another size");
    Receive(value, len);
    return true;
  }
  bool Exists(const std::string &key) {
    infinistore::WriteExists(key, &request_);
    SendRequest(nullptr, 0);
    uint8_t head[8];
    Receive(head, 8);
    return infinistore::ReadI32(head + 4) == 0;
  }
  void Delete(const std::string &key) {
    infinistore::WriteDelete(key, &request_);
    SendRequest(nullptr, 0);
    uint8_t head[8];
    Receive(head, 8);
  }

 private:
  void SendRequest(const uint8_t *value, uint64_t len) {
    const uint64_t total = request_.size() + len;
    for (uint64_t sent = 0; sent < total;) {
      iovec v[2];
      int n = 0;
      if (sent < request_.size()) v[n++] = {&request_[sent], request_.size() - sent};
      const uint64_t at = sent < request_.size() ? 0 : sent - request_.size();
      if (at < len) v[n++] = {const_cast<uint8_t *>(value) + at, len - at};
      msghdr m = {};
      m.msg_iov = v;
      m.msg_iovlen = static_cast<size_t>(n);
      const ssize_t done = sendmsg(fd_, &m, MSG_NOSIGNAL);
      if (done <= 0) throw std::runtime_error("plain client: send failed");
      sent += static_cast<uint64_t>(done);
    }
  }
  void Receive(uint8_t *to, uint64_t len) {
    while (len > 0) {
      const int on = 1;
      setsockopt(fd_, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
      const ssize_t n = recv(fd_, to, len, 0);
      if (n <= 0) throw std::runtime_error("plain client: receive failed");
      to += n;
      len -= static_cast<uint64_t>(n);
    }
  }

  int fd_;
  std::string request_;
};

}  // namespace infinistore_test

#endif  // SIXCALL_INFINISTORE_PLAIN_CLIENT_H
