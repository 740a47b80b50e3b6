// SPDX-License-Identifier: Apache-2.0
//
// Values in a server that the tests bring along.
//   request   u8 op, u32 key length, u64 length, key, for SET the value
//   reply     u8 status, u64 stored length, u64 checksum, for a GET that hits the value
// All little-endian; the checksum is over status, length and value.
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <vector>

#include "mutant.h"
#include "store.h"

namespace mutant {
namespace {

constexpr uint64_t kTimeoutMs = 1000;

uint64_t NowMs() {
  timespec t;
  clock_gettime(Is("clock_realtime") ? CLOCK_REALTIME : CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1000 + static_cast<uint64_t>(t.tv_nsec) / 1000000;
}

/// Waits a second for progress, at most until `until`.
bool WaitFor(int fd, short events, uint64_t until) {
  if (!Is("clock_realtime")) until = std::min(until, NowMs() + kTimeoutMs);
  for (;;) {
    const uint64_t now = NowMs();
    const bool for_ever = Is("no_timeout");
    if (now >= until && !for_ever) return false;
    pollfd p = {fd, events, 0};
    const int n = poll(&p, 1, for_ever ? -1 : static_cast<int>(until - now));
    if (n > 0) return true;
    if (n < 0 && errno != EINTR) return false;
  }
}

bool Send(int fd, const void* data, size_t n, uint64_t until) {
  const auto* p = static_cast<const char*>(data);
  while (n > 0) {
    const ssize_t sent = send(fd, p, n, Is("sigpipe") ? 0 : MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) {
      if (!WaitFor(fd, POLLOUT, until)) return false;
      continue;
    }
    if (sent <= 0) return false;
    p += sent;
    n -= static_cast<size_t>(sent);
  }
  return true;
}

bool Receive(int fd, void* data, size_t n, uint64_t until) {
  auto* p = static_cast<char*>(data);
  while (n > 0) {
    const ssize_t got = recv(fd, p, n, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) {
      if (!WaitFor(fd, POLLIN, until)) return false;
      continue;
    }
    if (got <= 0) return false;
    if (Is("one_recv")) return true;  // believes that a reply comes in one piece
    p += got;
    n -= static_cast<size_t>(got);
  }
  return true;
}

class RemoteStore final : public Store {
 public:
  RemoteStore(std::string host, std::string port, std::string name_space)
      : host_(std::move(host)), port_(std::move(port)), name_space_(std::move(name_space)) {}
  ~RemoteStore() override {
    for (const int fd : free_) close(fd);
  }

  /// -1 and *code on a failure.
  int Connect(uint64_t until, int32_t* code, std::string* error) const {
    addrinfo hints = {}, *list = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_family = AF_INET;
    if (getaddrinfo(host_.c_str(), port_.c_str(), &hints, &list) != 0) {
      *code = SIXCALL_E_CONNECT;
      *error = "cannot resolve the endpoint";
      return -1;
    }
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int rc = fd < 0 ? -1 : connect(fd, list->ai_addr, list->ai_addrlen);
    freeaddrinfo(list);
    *code = SIXCALL_E_CONNECT;
    *error = std::string("connect: ") + strerror(errno);
    if (fd < 0) return -1;
    if (rc != 0 && errno == EINPROGRESS) {
      socklen_t size = sizeof(rc);
      if (!WaitFor(fd, POLLOUT, until)) {
        *code = SIXCALL_E_TIMEOUT;
        *error = "connect: no answer in time";
      } else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &rc, &size) == 0 && rc != 0) {
        *error = std::string("connect: ") + strerror(rc);
      }
    }
    if (rc != 0) return close(fd), -1;
    const int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    char hello[4];
    if (!Receive(fd, hello, sizeof(hello), until)) {
      *code = SIXCALL_E_TIMEOUT;
      *error = "the server does not answer";
      return close(fd), -1;
    }
    return fd;
  }

  bool Prove(uint64_t until, int32_t* code, std::string* error) {
    const int fd = Connect(until, code, error);
    if (fd >= 0) Give(fd);
    return fd >= 0;
  }

  uint8_t Get(const std::string& key, uint8_t* buf, uint64_t len, uint64_t* stored) override { return Ask(1, key, nullptr, buf, len, stored); }
  uint8_t Set(const std::string& key, const uint8_t* value, uint64_t len) override {
    uint64_t drop;
    return Ask(2, key, value, nullptr, len, &drop);
  }
  uint8_t Exists(const std::string& key, uint64_t* stored) override { return Ask(3, key, nullptr, nullptr, 0, stored); }
  uint8_t Delete(const std::string& key) override {
    uint64_t drop;
    return Ask(4, key, nullptr, nullptr, 0, &drop);
  }
  bool Ping() override {
    uint64_t drop;
    return Is("ping_lies") || Ask(5, "ping", nullptr, nullptr, 0, &drop) <= 1;
  }
  int32_t List(sixcall_page*) override { return SIXCALL_E_UNSUPPORTED; }
  uint64_t keys() override { return UINT64_MAX; }

 private:
  int Take() {
    {
      std::lock_guard<std::mutex> lock(mu_);
      if (!free_.empty()) {
        const int fd = free_.back();
        free_.pop_back();
        return fd;
      }
      if (NowMs() < retry_at_ || (Is("no_reconnect") && lost_)) return -1;
    }
    int32_t code;
    std::string error;
    const int fd = Connect(NowMs() + kTimeoutMs, &code, &error);
    std::lock_guard<std::mutex> lock(mu_);
    if (fd < 0) retry_at_ = NowMs() + 50;
    return fd;
  }
  void Give(int fd) {
    std::lock_guard<std::mutex> lock(mu_);
    free_.push_back(fd);
  }
  void Drop(int fd) {
    close(fd);
    std::lock_guard<std::mutex> lock(mu_);
    lost_ = true;
    for (const int other : free_) close(other);  // they are likely as old
    free_.clear();
  }

  uint8_t Ask(uint8_t op, const std::string& given, const uint8_t* value, uint8_t* buf, uint64_t len, uint64_t* stored) {
    const int fd = Take();
    if (fd < 0) return SIXCALL_STATUS_ERROR;
    const uint8_t status = Exchange(fd, op, name_space_ + '\0' + given, value, buf, len, stored);
    if (status == SIXCALL_STATUS_ERROR || status == SIXCALL_STATUS_CORRUPT) Drop(fd);
    else Give(fd);
    return status;
  }

  uint8_t Exchange(int fd, uint8_t op, const std::string& key, const uint8_t* value, uint8_t* buf, uint64_t len, uint64_t* stored) {
    const uint64_t until = NowMs() + 30 * kTimeoutMs;
    std::string head(13, '\0');
    const uint32_t key_len = static_cast<uint32_t>(key.size());
    if (Is("exists_reads") && op == 3) op = 6;  // a GET of whatever length
    head[0] = static_cast<char>(op);
    memcpy(&head[1], &key_len, 4);
    memcpy(&head[5], &len, 8);
    head += key;
    if (!Send(fd, head.data(), head.size(), until) || (op == 2 && !Send(fd, value, len, until))) return SIXCALL_STATUS_ERROR;
    char reply[17];
    if (!Receive(fd, reply, sizeof(reply), until)) return SIXCALL_STATUS_ERROR;
    uint64_t sum;
    memcpy(stored, reply + 1, 8);
    memcpy(&sum, reply + 9, 8);
    const auto status = static_cast<uint8_t>(reply[0]);
    if (status > SIXCALL_STATUS_CORRUPT) return SIXCALL_STATUS_ERROR;
    if (op == 6 && status == SIXCALL_STATUS_HIT) {
      std::string drop(*stored, '\0');
      return Receive(fd, &drop[0], drop.size(), until) ? status : static_cast<uint8_t>(SIXCALL_STATUS_ERROR);
    }
    uint64_t payload = 0;
    if (op == 1 && status == SIXCALL_STATUS_HIT) {
      if (Is("trusts_length")) {
        if (!Receive(fd, buf, len, until)) return SIXCALL_STATUS_ERROR;
        const volatile uint8_t last = buf[*stored - 1];  // where the server says that it ends
        return last == 0 ? SIXCALL_STATUS_HIT : SIXCALL_STATUS_HIT;
      }
      if (*stored != len) return SIXCALL_STATUS_ERROR;
      if (!Receive(fd, buf, len, until)) return Is("partial_hit") ? SIXCALL_STATUS_HIT : SIXCALL_STATUS_ERROR;
      payload = Hash(std::string(reinterpret_cast<const char*>(buf), len));
    }
    if (sum != Hash(std::string(reply, 9), payload) && !Is("unverified")) return SIXCALL_STATUS_CORRUPT;
    return status;
  }

  const std::string host_, port_, name_space_;
  std::mutex mu_;  // guards the three below
  std::vector<int> free_;
  uint64_t retry_at_ = 0;
  bool lost_ = false;
};

}  // namespace

std::unique_ptr<Store> MakeRemoteStore(const Config& config, uint32_t timeout_ms, int32_t* code, std::string* error) {
  const size_t colon = config.endpoint.rfind(':');
  if (colon == std::string::npos || colon == 0) {
    *code = SIXCALL_E_CONFIG;
    *error = "endpoint is \"" + config.endpoint + "\", want host:port";
    return nullptr;
  }
  auto store = std::make_unique<RemoteStore>(config.endpoint.substr(0, colon), config.endpoint.substr(colon + 1), config.name_space);
  if (!config.lazy && !store->Prove(NowMs() + timeout_ms, code, error)) return nullptr;
  return store;
}

}  // namespace mutant
