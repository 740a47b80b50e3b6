// SPDX-License-Identifier: Apache-2.0
#include "mooncake_master.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <system_error>

#include "sixcall/connector.hpp"

namespace mooncake {
namespace {

using Clock = std::chrono::steady_clock;

struct Socket {
  explicit Socket(int number) : fd(number) {}
  Socket(const Socket&) = delete;
  ~Socket() {
    if (fd >= 0) ::close(fd);
  }
  int fd;
};

/// Waits until the connection stands. Returns 0, or an errno.
int Connect(int fd, const addrinfo& to, Clock::time_point end) {
  if (::connect(fd, to.ai_addr, to.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS && errno != EINTR) return errno;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
    pollfd wait = {fd, POLLOUT, 0};
    const int n = ::poll(&wait, 1, static_cast<int>(std::max<long>(left, 0)));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return ETIMEDOUT;
    int error = 0;
    socklen_t size = sizeof(error);
    return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 ? errno : error;
  }
}

std::string LocalAddress(int fd) {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  char host[NI_MAXHOST];
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return "";
  if (::getnameinfo(reinterpret_cast<sockaddr*>(&address), size, host, sizeof(host), nullptr, 0, NI_NUMERICHOST) != 0) return "";
  return host;
}

}  // namespace

MasterAddress MasterAddress::Parse(const std::string& text) {
  MasterAddress master;
  master.text = text;
  if (text.find("://") != std::string::npos) return master;
  const size_t colon = text.rfind(':');
  if (colon != std::string::npos) {
    master.host = text.substr(0, colon);
    master.port = text.substr(colon + 1);
    if (master.host.size() > 2 && master.host.front() == '[' && master.host.back() == ']') {
      master.host = master.host.substr(1, master.host.size() - 2);
    } else if (master.host.find_first_of(":[]") != std::string::npos) {
      master.host.clear();
    }
  }
  const bool digits = !master.port.empty() && master.port.size() <= 5 && master.port.find_first_not_of("0123456789") == std::string::npos;
  if (master.host.empty() || !digits || std::stoul(master.port) == 0 || std::stoul(master.port) > 65535) {
    throw sixcall::Error(SIXCALL_E_CONFIG, "config key \"master_server_address\" is \"" + text.substr(0, 80) + "\", want host:port");
  }
  return master;
}

std::string CheckMaster(const MasterAddress& master, std::chrono::milliseconds timeout) {
  if (master.host.empty()) return "";
  const std::string what = "connect to the Mooncake master at " + master.text + ": ";
  const auto end = Clock::now() + timeout;
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int unknown = ::getaddrinfo(master.host.c_str(), master.port.c_str(), &hints, &found);
  if (unknown != 0) throw sixcall::Error(SIXCALL_E_CONNECT, what + ::gai_strerror(unknown), unknown);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, &::freeaddrinfo);
  int error = EADDRNOTAVAIL;
  for (const addrinfo* to = addresses.get(); to != nullptr; to = to->ai_next) {
    const Socket socket(::socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    error = socket.fd < 0 ? errno : Connect(socket.fd, *to, end);
    if (error == 0) return LocalAddress(socket.fd);
  }
  if (error == ETIMEDOUT) {
    throw sixcall::Error(SIXCALL_E_TIMEOUT, what + "no answer within " + std::to_string(timeout.count()) + " ms", error);
  }
  throw sixcall::Error(SIXCALL_E_CONNECT, what + std::generic_category().message(error) + "; is mooncake_master running?", error);
}

}  // namespace mooncake
