// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_REDIS_SETTINGS_H
#define SIXCALL_REDIS_SETTINGS_H

#include <cstdint>
#include <string>
#include <vector>

#include "address.h"
#include "sixcall/connector.hpp"
#include "tls.h"

namespace redis {

struct Credentials {
  std::string username;  // empty = the default user
  std::string password;  // empty = do not log in
};

enum class Mode { kSingle, kCluster, kSentinel };
enum class Protocol { kAuto, kResp2, kResp3 };

/// The configuration of a connection, checked. Immutable.
struct Settings {
  /// Reads and checks; throws SIXCALL_E_CONFIG.
  static Settings Read(const sixcall::Config& config);

  Mode mode = Mode::kSingle;
  std::vector<Address> servers;  // the server, nodes of the cluster, or the sentinels
  std::string sentinel_master;
  Credentials user;
  Credentials sentinel_user;
  uint32_t database = 0;
  TlsSettings tls;
  std::string prefix;
  uint64_t ttl_ms = 0;  // 0 = for ever
  Protocol protocol = Protocol::kAuto;
  uint32_t connect_timeout_ms = 0;
  uint32_t timeout_ms = 0;
  uint64_t window_bytes = 0;
  uint64_t max_value_bytes = 0;
  uint32_t reconnect_min_ms = 0;
  uint32_t reconnect_max_ms = 0;
  bool lazy = false;
};

/// The JSON Schema of the configuration.
inline constexpr char kSchema[] = R"({"type":"object","additionalProperties":false,"properties":{)" SIXCALL_COMMON_PROPERTIES R"(,
"host":{"type":"string","default":"127.0.0.1","description":"name or address of the server, or of a node of the cluster"},
"port":{"type":"integer","minimum":1,"maximum":65535,"default":6379,"description":"TCP port"},
"unix_socket":{"type":"string","description":"path of a Unix socket, instead of host and port"},
"username":{"type":"string","description":"ACL user; default: the server's default user"},
"password":{"type":"string","description":"password of the user; default: no login"},
"database":{"type":"integer","minimum":0,"maximum":65535,"default":0,"description":"number of the database; 0 with a cluster"},
"prefix":{"type":"string","description":"text before every key, at most 256 bytes; default: none"},
"ttl_ms":{"type":"integer","minimum":0,"maximum":3153600000000,"default":0,"description":"milliseconds until a stored value expires; 0 = never"},
"protocol":{"type":"string","enum":["auto","2","3"],"default":"auto","description":"RESP version; auto asks for 3 and takes 2"},
"cluster":{"type":"boolean","default":false,"description":"the server is a node of a cluster"},
"nodes":{"type":"array","items":{"type":"string"},"description":"more nodes of the cluster to begin with, host:port"},
"sentinels":{"type":"array","items":{"type":"string"},"description":"sentinels to ask for the master, host:port, instead of host and port"},
"sentinel_master":{"type":"string","description":"name of the master, with sentinels"},
"sentinel_username":{"type":"string","description":"ACL user at the sentinels"},
"sentinel_password":{"type":"string","description":"password at the sentinels"},
"tls":{"type":"boolean","default":false,"description":"encrypt, and check who the server is"},
"tls_ca_file":{"type":"string","description":"PEM file with the certificates to trust; default: the system's"},
"tls_cert_file":{"type":"string","description":"PEM file with our certificate, for servers that want one"},
"tls_key_file":{"type":"string","description":"PEM file with the key of tls_cert_file"},
"tls_server_name":{"type":"string","description":"name that the server's certificate must have; default: the host"},
"tls_verify":{"type":"boolean","default":true,"description":"false: encrypt, but talk to anybody"},
"connect_timeout_ms":{"type":"integer","minimum":1,"maximum":600000,"default":2000,"description":"time to connect and log in"},
"timeout_ms":{"type":"integer","minimum":1,"maximum":3600000,"default":5000,"description":"time for one value to be sent or answered, once it is its turn"},
"window_bytes":{"type":"integer","minimum":1,"maximum":17179869184,"default":2097152,"description":"bytes of values asked for and not answered, per connection"},
"max_value_bytes":{"type":"integer","minimum":1,"maximum":1099511627776,"default":536870912,"description":"largest value; the server's proto-max-bulk-len"},
"reconnect_min_ms":{"type":"integer","minimum":1,"maximum":60000,"default":50,"description":"first pause after a failed attempt to connect; doubled each time"},
"reconnect_max_ms":{"type":"integer","minimum":1,"maximum":600000,"default":2000,"description":"longest pause"}}})";

}  // namespace redis

#endif  // SIXCALL_REDIS_SETTINGS_H
