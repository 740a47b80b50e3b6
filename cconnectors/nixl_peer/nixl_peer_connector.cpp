// SPDX-License-Identifier: Apache-2.0
// Wires a pool that peers read, and the pools of peers, to the ABI.
#include <optional>

#include "server.h"
#include "session.h"
#include "sixcall/connector.hpp"

namespace {

using nixl_peer::Agent;
using nixl_peer::Lease;
using nixl_peer::Pool;
using nixl_peer::Server;
using nixl_peer::Session;
using sixcall::Key;
using sixcall::Result;
using sixcall::Status;

struct NixlPeerConnector final : sixcall::Connector<Session> {
  nixl_peer::Shared shared;
  std::unique_ptr<Pool> pool;
  std::unique_ptr<Agent> agent;  // the pool's; its progress thread serves the peers
  std::unique_ptr<Server> server;

  ~NixlPeerConnector() override {
    server.reset();  // leases end before the pool
    agent.reset();
  }

  void Start(const sixcall::Config& config) override {
    std::string host, port;
    const std::string listen = config.GetString("listen");
    if (!listen.empty()) nixl_peer::SplitAddress("listen", listen, &host, &port);
    for (const auto& text : config.GetStrings("peers")) {
      std::string peer_host, peer_port;
      nixl_peer::SplitAddress("an entry of peers", text, &peer_host, &peer_port);
      shared.peers.emplace_back(peer_host, peer_port);
    }
    if (listen.empty() && shared.peers.empty()) throw sixcall::Error(SIXCALL_E_CONFIG, "neither listen nor peers is given: nobody to share values with");
    const uint64_t bytes = config.GetUint("pool_bytes", uint64_t{1} << 30, 4096);
    shared.backend = config.GetString("backend", "UCX");
    shared.params = config.GetMap("backend_params");
    shared.limits.connect = std::chrono::milliseconds(config.GetUint("connect_timeout_ms", 500, 1, 60000));
    shared.limits.request = std::chrono::milliseconds(config.GetUint("request_timeout_ms", 5000, 1, 3600000));
    const std::chrono::milliseconds lease(config.GetUint("lease_ms", 30000, 1, 3600000));
    shared.log = [this](const std::string& text) { log().Warn(text); };

    sixcall::Options& o = mutable_options();
    o.workers = 2;
    o.lookup_workers = 1;
    o.max_value_len = bytes;

    shared.api = nixl::LoadApi(config.GetString("library"));
    pool = std::make_unique<Pool>(bytes);
    if (listen.empty()) return;
    agent = std::make_unique<Agent>(shared.api, shared.backend, shared.params, nixl_peer::AgentName(), config.GetUint("progress_us", 250, 1, 1000000));
    agent->Register(pool->base(), pool->capacity());
    server = std::make_unique<Server>(*pool, host, static_cast<uint16_t>(std::stoul(port)), Hello(), lease);
  }

  std::unique_ptr<Session> Connect(const sixcall::Config&) override { return std::make_unique<Session>(shared); }

  Result Get(Session& s, Key key, sixcall::MutableBytes buffer) override {
    const Lease here = pool->Find(key);
    if (here == nullptr) return key.size() > nixl_peer::kMaxKey ? Result(Status::kMiss) : s.Get(key, buffer);
    if (here->len != buffer.size()) return {Status::kSize, here->len};
    if (here->len != 0) std::memcpy(buffer.data(), pool->At(*here), here->len);
    return {Status::kHit, here->len};
  }
  Status Set(Session&, Key key, sixcall::Bytes value) override { return pool->Set(key, value.data(), value.size()); }
  Result Exists(Session& s, Key key) override {
    if (const Lease here = pool->Find(key); here != nullptr) return {Status::kHit, here->len};
    return key.size() > nixl_peer::kMaxKey ? Result(Status::kMiss) : s.Exists(key);
  }
  Status Erase(Session&, Key key) override { return pool->Erase(key) ? Status::kHit : Status::kMiss; }
  void Ping(Session&) override {}  // a peer that is away is no fault of this store

  void Usage(sixcall_usage& out) override {
    out.bytes_used = pool->used();
    out.keys = pool->keys();
    out.bytes_capacity = pool->capacity();
  }

  void Stats(std::string& out) override {
    const auto line = [&](const char* name, const char* type, const char* help, uint64_t value) {
      const std::string full = std::string("sixcall_nixl_peer_") + name;
      out += "# HELP " + full + " " + help + "\n# TYPE " + full + " " + type + "\n" + full + " " + std::to_string(value) + "\n";
    };
    line("remote_hits_total", "counter", "Values read from peers.", shared.remote_hits);
    line("remote_bytes_total", "counter", "Bytes of values read from peers.", shared.remote_bytes);
    line("remote_corrupt_total", "counter", "Values of peers whose hash did not fit.", shared.remote_corrupt);
    line("peer_failures_total", "counter", "Connections to peers that failed.", shared.peer_failures);
    line("abandoned_total", "counter", "Transfers that did not end.", shared.abandoned);
    if (server == nullptr) return;
    line("clients", "gauge", "Connections of peers.", server->connections());
    line("leases", "gauge", "Values that peers read at the moment.", server->leases());
  }

 private:
  std::string Hello() const {
    const std::string metadata = agent->Metadata();
    std::string hello(nixl_peer::kMagic, nixl_peer::kMagicBytes);
    nixl_peer::Append(hello, static_cast<uint16_t>(agent->name().size()));
    hello += agent->name();
    nixl_peer::Append(hello, static_cast<uint32_t>(metadata.size()));
    return hello + metadata;
  }
};

}  // namespace

SIXCALL_CONNECTOR(NixlPeerConnector, "nixl_peer", "0.1.0", "Sixcall",
                  R"({"type":"object","additionalProperties":false,"properties":{)" SIXCALL_COMMON_PROPERTIES R"(,
"listen":{"type":"string","description":"host:port where peers ask; without it nobody reads from here"},
"peers":{"type":"array","items":{"type":"string"},"description":"host:port of the others"},
"pool_bytes":{"type":"integer","minimum":4096,"default":1073741824,"description":"memory for values, registered with NIXL; the oldest go first"},
"library":{"type":"string","description":"libnixl_capi.so, or a folder that has it or the wheel; else SIXCALL_NIXL_LIBRARY, else where pip installs"},
"backend":{"type":"string","default":"UCX","description":"NIXL's plugin for transfers between processes"},
"backend_params":{"type":"object","description":"handed to the plugin, as text"},
"connect_timeout_ms":{"type":"integer","minimum":1,"maximum":60000,"default":500,"description":"to connect to a peer, in milliseconds"},
"request_timeout_ms":{"type":"integer","minimum":1,"maximum":3600000,"default":5000,"description":"for an answer of a peer and for a transfer, in milliseconds"},
"progress_us":{"type":"integer","minimum":1,"maximum":1000000,"default":250,"description":"how long the thread that serves reads sleeps when there is nothing to do, in microseconds"},
"lease_ms":{"type":"integer","minimum":1,"maximum":3600000,"default":30000,"description":"how long a peer may take for one value, in milliseconds"}}})",
                  SIXCALL_CAP_READ_YOUR_WRITES | SIXCALL_CAP_VALUE_LENS);
