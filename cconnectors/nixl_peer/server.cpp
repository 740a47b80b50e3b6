// SPDX-License-Identifier: Apache-2.0
#include "server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "wire.h"

namespace nixl_peer {

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMaxClients = 1024;
constexpr size_t kMaxOutput = 1 << 20;  // a client that does not read its answers
constexpr auto kHelloLimit = std::chrono::seconds(10);

}  // namespace

struct Server::Client {
  ~Client() {
    if (fd >= 0) close(fd);
  }
  int fd = -1;
  bool greeted = false;
  std::string in, out;
  Lease lease;
  Clock::time_point since = Clock::now();  // of the connection until the hello, then of the lease
};

void SplitAddress(const std::string& key, const std::string& text, std::string* host, std::string* port) {
  const size_t colon = text.rfind(':');
  const auto wrong = [&] { return sixcall::Error(SIXCALL_E_CONFIG, key + " is \"" + text + "\", want host:port"); };
  if (colon == std::string::npos || colon == 0 || colon + 1 == text.size()) throw wrong();
  *host = text.substr(0, colon);
  *port = text.substr(colon + 1);
  if (host->size() > 2 && host->front() == '[' && host->back() == ']') *host = host->substr(1, host->size() - 2);
  if (port->size() > 5 || port->find_first_not_of("0123456789") != std::string::npos || std::stoul(*port) > 65535) throw wrong();
}

Server::Server(Pool& pool, const std::string& host, uint16_t port, std::string hello, std::chrono::milliseconds lease_limit)
    : pool_(pool), hello_(std::move(hello)), lease_limit_(lease_limit) {
  addrinfo hints = {}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  const std::string at = host + ":" + std::to_string(port);
  if (const int rc = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found); rc != 0) {
    throw sixcall::Error(SIXCALL_E_CONFIG, "listen is \"" + at + "\": " + gai_strerror(rc));
  }
  listener_ = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int one = 1;
  if (listener_ >= 0) setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  const bool bound = listener_ >= 0 && bind(listener_, found->ai_addr, found->ai_addrlen) == 0 && listen(listener_, 128) == 0;
  const int why = errno;
  freeaddrinfo(found);
  if (bound) stop_ = eventfd(0, EFD_CLOEXEC);
  sockaddr_storage own = {};
  socklen_t size = sizeof(own);
  if (!bound || stop_ < 0 || getsockname(listener_, reinterpret_cast<sockaddr*>(&own), &size) != 0) {
    if (listener_ >= 0) close(listener_);
    if (stop_ >= 0) close(stop_);
    throw sixcall::Error(SIXCALL_E_CONFIG, "listen at " + at + ": " + std::generic_category().message(why), why);
  }
  port_ = ntohs(own.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&own)->sin6_port : reinterpret_cast<sockaddr_in*>(&own)->sin_port);
  thread_ = sixcall::StartThread("nixl_peer", [this] { Run(); });
}

Server::~Server() {
  const uint64_t one = 1;
  if (write(stop_, &one, sizeof(one)) != sizeof(one)) std::abort();  // cannot fail: the counter was 0
  thread_.join();
  clients_.clear();
  close(listener_);
  close(stop_);
}

void Server::Run() {
  std::vector<pollfd> fds;
  for (;;) {
    const bool full = clients_.size() >= kMaxClients;
    fds.assign({{stop_, POLLIN, 0}, {full ? -1 : listener_, POLLIN, 0}});
    for (const auto& c : clients_) fds.push_back({c->fd, static_cast<short>(c->out.empty() ? POLLIN : POLLIN | POLLOUT), 0});
    if (poll(fds.data(), fds.size(), 1000) < 0 && errno != EINTR) return;
    if (fds[0].revents != 0) return;
    const auto now = Clock::now();
    for (size_t i = clients_.size(); i-- > 0;) {
      Client& c = *clients_[i];
      bool keep = fds[i + 2].revents == 0 || (Read(c) && Flush(c));
      if (!c.greeted) keep = keep && now - c.since < kHelloLimit;
      if (c.lease != nullptr) keep = keep && now - c.since < lease_limit_;
      if (keep) continue;
      Hold(c, nullptr);
      clients_.erase(clients_.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (fds[1].revents != 0) Accept();
    connections_.store(clients_.size(), std::memory_order_relaxed);
  }
}

void Server::Accept() {
  const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
  try {
    clients_.reserve(clients_.size() + 1);
    auto c = std::make_unique<Client>();
    c->fd = fd;
    clients_.push_back(std::move(c));
  } catch (const std::bad_alloc&) {
    close(fd);
  }
}

/// Takes what has come and answers it. False: the connection is over.
bool Server::Read(Client& c) {
  try {
    char buffer[16 << 10];
    const ssize_t n = recv(c.fd, buffer, sizeof(buffer), 0);
    if (n == 0) return false;
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    c.in.append(buffer, static_cast<size_t>(n));
    return Serve(c);
  } catch (const std::bad_alloc&) {
    return false;
  }
}

bool Server::Serve(Client& c) {
  size_t at = 0;
  if (!c.greeted) {
    if (std::string_view(kMagic, kMagicBytes).substr(0, c.in.size()) != std::string_view(c.in).substr(0, kMagicBytes)) return false;
    if (c.in.size() < kMagicBytes) return true;
    at = kMagicBytes;
    c.greeted = true;
    c.out += hello_;
  }
  while (c.in.size() - at >= 3) {
    const auto op = static_cast<Op>(c.in[at]);
    const size_t key_len = Take<uint16_t>(c.in.data() + at + 1);
    if (key_len > kMaxKey || (op != Op::kExists && op != Op::kGet && op != Op::kRelease)) return false;
    if (c.in.size() - at < 3 + key_len) break;
    const std::string_view key(c.in.data() + at + 3, key_len);
    at += 3 + key_len;
    if (op == Op::kRelease) {
      Hold(c, nullptr);
      continue;
    }
    Lease lease = pool_.Find(key);
    Answer answer;
    if (lease != nullptr) {
      answer = {true, lease->len, reinterpret_cast<uintptr_t>(pool_.At(*lease)), lease->hash};
    }
    c.out += Packed(answer);
    if (op == Op::kGet) Hold(c, std::move(lease));
  }
  c.in.erase(0, at);
  return c.out.size() < kMaxOutput;
}

void Server::Hold(Client& c, Lease lease) {
  if (c.lease != nullptr) leases_.fetch_sub(1, std::memory_order_relaxed);
  if (lease != nullptr) leases_.fetch_add(1, std::memory_order_relaxed);
  c.lease = std::move(lease);
  c.since = Clock::now();
}

bool Server::Flush(Client& c) {
  while (!c.out.empty()) {
    const ssize_t n = send(c.fd, c.out.data(), c.out.size(), MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    c.out.erase(0, static_cast<size_t>(n));
  }
  return true;
}

}  // namespace nixl_peer
