// SPDX-License-Identifier: Apache-2.0
#include "settings.h"

#include <sys/un.h>

#include <algorithm>

namespace redis {
namespace {

sixcall::Error Bad(const std::string& text) { return sixcall::Error(SIXCALL_E_CONFIG, text); }

void Together(const sixcall::Config& c, const char* one, const char* other) {
  if (c.Has(one) && c.Has(other)) throw Bad(std::string("config keys \"") + one + "\" and \"" + other + "\" exclude each other");
}
void Needs(const sixcall::Config& c, const char* key, bool there, const char* what) {
  if (c.Has(key) && !there) throw Bad(std::string("config key \"") + key + "\" has no meaning without " + what);
}

uint32_t Uint32(const sixcall::Config& c, const char* key, uint32_t otherwise, uint64_t min, uint64_t max) {
  return static_cast<uint32_t>(c.GetUint(key, otherwise, min, max));
}

TlsSettings ReadTls(const sixcall::Config& c) {
  TlsSettings t;
  t.enabled = c.GetBool("tls", false);
  // Asking for a certificate without asking for TLS would talk in clear text.
  for (const char* key : {"tls_ca_file", "tls_cert_file", "tls_key_file", "tls_server_name", "tls_verify"}) Needs(c, key, t.enabled, "\"tls\": true");
  t.verify = c.GetBool("tls_verify", true);
  t.ca_file = c.GetString("tls_ca_file");
  t.cert_file = c.GetString("tls_cert_file");
  t.key_file = c.GetString("tls_key_file");
  t.server_name = c.GetString("tls_server_name");
  if (t.cert_file.empty() != t.key_file.empty()) throw Bad("config keys \"tls_cert_file\" and \"tls_key_file\" go together, and one is missing");
  return t;
}

Credentials ReadCredentials(const sixcall::Config& c, const std::string& prefix) {
  Credentials user{c.GetString(prefix + "username"), c.GetString(prefix + "password")};
  if (!user.username.empty() && user.password.empty()) throw Bad("config key \"" + prefix + "username\" is set and \"" + prefix + "password\" is not");
  return user;
}

void ReadServers(const sixcall::Config& c, Settings& s) {
  const std::vector<std::string> sentinels = c.GetStrings("sentinels"), nodes = c.GetStrings("nodes");
  const bool cluster = c.GetBool("cluster", false);
  for (const char* key : {"host", "port", "unix_socket", "cluster", "nodes"}) {
    if (!sentinels.empty() && (std::string(key) != "cluster" || cluster)) Together(c, "sentinels", key);
  }
  Together(c, "unix_socket", "host");
  Together(c, "unix_socket", "port");
  Together(c, "unix_socket", "nodes");
  if (c.Has("unix_socket") && s.tls.enabled) Together(c, "unix_socket", "tls");
  if (c.Has("unix_socket") && cluster) Together(c, "unix_socket", "cluster");
  Needs(c, "nodes", cluster, "\"cluster\": true");
  for (const char* key : {"sentinel_master", "sentinel_username", "sentinel_password"}) Needs(c, key, !sentinels.empty(), "\"sentinels\"");

  s.mode = !sentinels.empty() ? Mode::kSentinel : cluster ? Mode::kCluster : Mode::kSingle;
  s.sentinel_master = c.GetString("sentinel_master");
  if (s.mode == Mode::kSentinel && s.sentinel_master.empty()) throw Bad("config key \"sentinel_master\" is missing, want the name of the master");
  for (const auto& text : sentinels) s.servers.push_back(ParseAddress(text, 26379, "sentinels"));

  const std::string host = c.GetString("host", "127.0.0.1"), path = c.GetString("unix_socket");
  const auto port = static_cast<uint16_t>(c.GetUint("port", 6379, 1, 65535));
  if (c.Has("host") && host.empty()) throw Bad("config key \"host\" is empty, want a name or an address");
  if (c.Has("unix_socket") && (path.empty() || path.size() >= sizeof(sockaddr_un{}.sun_path))) {
    throw Bad("config key \"unix_socket\" is \"" + path.substr(0, 40) + "\", want a path of 1 to " + std::to_string(sizeof(sockaddr_un{}.sun_path) - 1) + " bytes");
  }
  if (!sentinels.empty()) return;
  if (c.Has("host") || nodes.empty()) s.servers.push_back(path.empty() ? Address{host, port, ""} : Address{"", 0, path});
  for (const auto& text : nodes) s.servers.push_back(ParseAddress(text, port, "nodes"));
}

}  // namespace

Settings Settings::Read(const sixcall::Config& c) {
  Settings s;
  s.tls = ReadTls(c);
  ReadServers(c, s);
  s.user = ReadCredentials(c, "");
  s.sentinel_user = ReadCredentials(c, "sentinel_");
  s.database = Uint32(c, "database", 0, 0, 65535);
  if (s.database != 0 && s.mode == Mode::kCluster) throw Bad("config key \"database\" is " + std::to_string(s.database) + ", want 0: a cluster has no other");
  s.prefix = c.GetString("prefix");
  if (s.prefix.size() > 256) throw Bad("config key \"prefix\" has " + std::to_string(s.prefix.size()) + " bytes, want at most 256");
  s.ttl_ms = c.GetUint("ttl_ms", 0, 0, 3153600000000);
  const std::string protocol = c.GetChoice("protocol", "auto", {"auto", "2", "3"});
  s.protocol = protocol == "2" ? Protocol::kResp2 : protocol == "3" ? Protocol::kResp3 : Protocol::kAuto;
  s.connect_timeout_ms = Uint32(c, "connect_timeout_ms", 2000, 1, 600000);
  s.timeout_ms = Uint32(c, "timeout_ms", 5000, 1, 3600000);
  s.window_bytes = c.GetUint("window_bytes", 2 << 20, 1, uint64_t{16} << 30);
  s.max_value_bytes = c.GetUint("max_value_bytes", 512 << 20, 1, uint64_t{1} << 40);
  s.reconnect_min_ms = Uint32(c, "reconnect_min_ms", 50, 1, 60000);
  s.reconnect_max_ms = std::max(Uint32(c, "reconnect_max_ms", 2000, 1, 600000), s.reconnect_min_ms);
  s.lazy = c.GetBool("lazy", false);
  return s;
}

}  // namespace redis
