// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_REDIS_ADDRESS_H
#define SIXCALL_REDIS_ADDRESS_H

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace redis {

/// Where a server is: a host and a port, or the path of a Unix socket.
struct Address {
  std::string host;
  uint16_t port = 0;
  std::string path;

  bool is_unix() const { return !path.empty(); }
  /// "host:port", "[v6]:port" or "unix:path".
  std::string Text() const;
  bool operator==(const Address& o) const { return host == o.host && port == o.port && path == o.path; }
};

/// Reads "host", "host:port" or "[v6]:port". Throws SIXCALL_E_CONFIG that names
/// the configuration key.
Address ParseAddress(std::string_view text, uint16_t default_port, const std::string& key);

/// Reads the address of a redirection, "host:port"; the port follows the last
/// colon and an empty host means the one that answered. False if it is none.
bool ParseRedirect(std::string_view text, const Address& answered, Address* out);

/// A socket address to connect to.
struct Endpoint {
  sockaddr_storage addr = {};
  socklen_t len = 0;
  bool operator==(const Endpoint& o) const;
};

/// The endpoint of a Unix socket or of a numeric host. Never waits; false for a name.
bool NumericEndpoint(const Address& address, Endpoint* out);

/// All endpoints of an address, for a name through the system's resolver, which
/// may take its time: after timeout_ms this throws, and a thread stays behind
/// until the resolver has come back. stop() is asked now and then.
std::vector<Endpoint> Resolve(const Address& address, uint32_t timeout_ms, const std::string& thread_name,
                              bool (*stop)(void*), void* stop_arg);

}  // namespace redis

#endif  // SIXCALL_REDIS_ADDRESS_H
