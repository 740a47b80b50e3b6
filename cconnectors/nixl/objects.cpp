// SPDX-License-Identifier: Apache-2.0
#include "objects.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace nixl {

namespace {

constexpr char kMagic[8] = {'S', 'I', 'X', 'C', 'A', 'L', 'L', '1'};

uint64_t Hash(std::string_view bytes) {  // 64-bit FNV-1a
  uint64_t hash = 0xCBF29CE484222325;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  return hash;
}

}  // namespace

void Objects::MakeSeal(const Transfer& t, uint8_t* out) const {
  std::memset(out, 0, kSealBytes);
  const uint64_t hash = Hash(t.place.path);
  std::memcpy(out, kMagic, sizeof(kMagic));
  std::memcpy(out + 8, &t.len, 8);
  std::memcpy(out + 16, &hash, 8);
}

void Objects::Pack(Transfer& t) const {
  if (t.len != 0) std::memcpy(t.bounce.data, t.data, t.len);
  if (seal_) MakeSeal(t, t.bounce.data + t.len);
}

void Objects::Prepare(Transfer& t) const {
  if (seal_) std::memset(t.bounce.data + t.len, 0, kSealBytes);
}

bool Objects::Check(const Transfer& t) const {
  if (!seal_) return true;
  uint8_t want[kSealBytes];
  MakeSeal(t, want);
  return std::memcmp(t.bounce.data + t.len, want, kSealBytes) == 0;
}

std::string WhyNotReachable(const std::string& endpoint, const std::string& scheme, int timeout_ms) {
  std::string rest = endpoint;
  bool https = scheme != "http";
  const size_t mark = rest.find("://");
  if (mark != std::string::npos) {
    https = rest.compare(0, mark, "http") != 0;
    rest.erase(0, mark + 3);
  }
  rest = rest.substr(0, rest.find('/'));
  if (rest.find('@') != std::string::npos) return "";
  std::string host = rest, port = https ? "443" : "80";
  if (!rest.empty() && rest[0] == '[') {
    const size_t end = rest.find(']');
    if (end == std::string::npos) return "";
    host = rest.substr(1, end - 1);
    if (end + 1 < rest.size() && rest[end + 1] == ':') port = rest.substr(end + 2);
  } else if (const size_t colon = rest.find(':'); colon != std::string::npos) {
    host = rest.substr(0, colon);
    port = rest.substr(colon + 1);
  }
  if (host.empty() || port.empty()) return "";

  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* addresses = nullptr;
  const int failed = getaddrinfo(host.c_str(), port.c_str(), &hints, &addresses);
  if (failed != 0) return "resolve " + host + ": " + gai_strerror(failed);
  std::string why = "no address of " + host;
  for (const addrinfo* a = addresses; a != nullptr && !why.empty(); a = a->ai_next) {
    const int fd = socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);
    if (fd < 0) continue;
    int error = connect(fd, a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
      pollfd wait = {fd, POLLOUT, 0};
      socklen_t size = sizeof(error);
      error = ETIMEDOUT;
      if (poll(&wait, 1, timeout_ms) == 1 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    }
    close(fd);
    why = error == 0 ? "" : "connect to " + host + ":" + port + ": " + std::generic_category().message(error) + "; is the server running?";
  }
  freeaddrinfo(addresses);
  return why;
}

}  // namespace nixl
