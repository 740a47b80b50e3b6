// SPDX-License-Identifier: Apache-2.0
#include "address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>

#include "sixcall/connector.hpp"

namespace redis {
namespace {

bool ParsePort(std::string_view text, uint16_t* out) {
  unsigned port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0 || port > 65535) return false;
  *out = static_cast<uint16_t>(port);
  return true;
}

/// What a resolving thread shares with the one that waits for it.
struct Lookup {
  std::mutex mu;  // guards the rest
  std::condition_variable changed;
  bool done = false;
  int error = 0;
  std::vector<Endpoint> found;
};

void Run(Lookup& lookup, const std::string& host, const std::string& port) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* list = nullptr;
  int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &list);
  std::lock_guard<std::mutex> lock(lookup.mu);
  try {
    for (const addrinfo* a = error == 0 ? list : nullptr; a != nullptr; a = a->ai_next) {
      Endpoint e;
      if (a->ai_addrlen > sizeof(e.addr)) continue;
      std::memcpy(&e.addr, a->ai_addr, a->ai_addrlen);
      e.len = a->ai_addrlen;
      if (std::find(lookup.found.begin(), lookup.found.end(), e) == lookup.found.end()) lookup.found.push_back(e);
    }
  } catch (const std::bad_alloc&) {
    error = EAI_MEMORY;
  }
  if (list != nullptr) freeaddrinfo(list);
  lookup.error = error;
  lookup.done = true;
  lookup.changed.notify_all();
}

}  // namespace

std::string Address::Text() const {
  if (is_unix()) return "unix:" + path;
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Address ParseAddress(std::string_view text, uint16_t default_port, const std::string& key) {
  const auto bad = [&] {
    return sixcall::Error(SIXCALL_E_CONFIG, "config key \"" + key + "\" has \"" + std::string(text.substr(0, 80)) + "\", want host:port, such as 10.0.0.7:6379");
  };
  Address a;
  a.port = default_port;
  std::string_view rest = text;
  if (!rest.empty() && rest[0] == '[') {
    const size_t end = rest.find(']');
    if (end == std::string_view::npos) throw bad();
    a.host = std::string(rest.substr(1, end - 1));
    rest.remove_prefix(end + 1);
  } else if (std::count(rest.begin(), rest.end(), ':') > 1) {  // a bare IPv6 address
    a.host = std::string(rest);
    rest = {};
  } else {
    const size_t colon = std::min(rest.find(':'), rest.size());
    a.host = std::string(rest.substr(0, colon));
    rest.remove_prefix(colon);
  }
  if (a.host.empty() || (!rest.empty() && (rest[0] != ':' || !ParsePort(rest.substr(1), &a.port)))) throw bad();
  return a;
}

bool ParseRedirect(std::string_view text, const Address& answered, Address* out) {
  const size_t colon = text.rfind(':');
  Address a;
  if (colon == std::string_view::npos || !ParsePort(text.substr(colon + 1), &a.port)) return false;
  a.host = std::string(text.substr(0, colon));
  if (a.host.size() > 2 && a.host.front() == '[' && a.host.back() == ']') a.host = a.host.substr(1, a.host.size() - 2);
  if (a.host.empty()) a.host = answered.host;
  if (a.host.empty()) return false;
  *out = a;
  return true;
}

bool Endpoint::operator==(const Endpoint& o) const { return len == o.len && std::memcmp(&addr, &o.addr, len) == 0; }

bool NumericEndpoint(const Address& address, Endpoint* out) {
  *out = Endpoint{};
  if (address.is_unix()) {
    auto* un = reinterpret_cast<sockaddr_un*>(&out->addr);
    if (address.path.size() >= sizeof(un->sun_path)) return false;
    un->sun_family = AF_UNIX;
    std::memcpy(un->sun_path, address.path.c_str(), address.path.size() + 1);
    out->len = sizeof(sockaddr_un);
    return true;
  }
  auto* v4 = reinterpret_cast<sockaddr_in*>(&out->addr);
  if (inet_pton(AF_INET, address.host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(address.port);
    out->len = sizeof(sockaddr_in);
    return true;
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&out->addr);
  if (inet_pton(AF_INET6, address.host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(address.port);
    out->len = sizeof(sockaddr_in6);
    return true;
  }
  return false;
}

std::vector<Endpoint> Resolve(const Address& address, uint32_t timeout_ms, const std::string& thread_name,
                              bool (*stop)(void*), void* stop_arg) {
  Endpoint numeric;
  if (NumericEndpoint(address, &numeric)) return {numeric};
  const auto lookup = std::make_shared<Lookup>();
  // The resolver cannot be interrupted. Its thread is let go, and holds nothing
  // but what it shares here.
  sixcall::detail::StartThread(thread_name, [lookup, host = address.host, port = std::to_string(address.port)] {
    Run(*lookup, host, port);
  }).detach();
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  std::unique_lock<std::mutex> lock(lookup->mu);
  while (!lookup->done) {
    if (stop(stop_arg)) throw sixcall::Error(SIXCALL_E_CLOSED, "closed while resolving " + address.host);
    if (std::chrono::steady_clock::now() >= end) {
      throw sixcall::Error(SIXCALL_E_TIMEOUT, "resolve " + address.host + ": no answer within " + std::to_string(timeout_ms) + " ms");
    }
    lookup->changed.wait_for(lock, std::chrono::milliseconds(20));
  }
  if (lookup->error != 0 || lookup->found.empty()) {
    throw sixcall::Error(SIXCALL_E_CONNECT, "resolve " + address.host + ": " + gai_strerror(lookup->error) + "; is the name right?");
  }
  return lookup->found;
}

}  // namespace redis
