// SPDX-License-Identifier: Apache-2.0
// Wires the store of mem_store.h to the ABI. This is the reference connector:
// start a new one by copying this folder.
#include "mem_sim.h"
#include "mem_store.h"
#include "sixcall/connector.hpp"

namespace {

using sixcall::Key;
using sixcall::Tile;

struct Session {};  // the store is shared and needs no connection

struct MemConnector final : sixcall::Connector<Session> {
  std::unique_ptr<mem::Store> store;
  mem::Simulation sim;

  void Start(const sixcall::Config& config) override {
    mutable_options().workers = 2;
    mutable_options().tile_keys = 2048;  // a key costs about 50 ns here
    store = std::make_unique<mem::Store>(config.GetUint("capacity_bytes", 0));
    sim.Configure(config);
  }

  sixcall::Result Get(Session&, Key key, sixcall::MutableBytes buffer) override {
    uint64_t len = SIXCALL_LEN_UNKNOWN;
    const sixcall::Status status = store->Get(key, buffer.data(), buffer.size(), &len);
    return {status, len};
  }
  sixcall::Status Set(Session&, Key key, sixcall::Bytes value) override { return store->Set(key, value.data(), value.size()); }
  sixcall::Result Exists(Session&, Key key) override {
    uint64_t len = SIXCALL_LEN_UNKNOWN;
    const sixcall::Status status = store->Exists(key, &len);
    return {status, len};
  }
  sixcall::Status Erase(Session&, Key key) override { return store->Erase(key); }
  void Ping(Session&) override {}

  // The simulated round trip is per tile, as with a client that pipelines.
  void GetTile(Session& s, Tile& tile) override { if (sim.Wait(tile)) Connector::GetTile(s, tile); }
  void SetTile(Session& s, Tile& tile) override { if (sim.Wait(tile)) Connector::SetTile(s, tile); }
  void ExistsTile(Session& s, Tile& tile) override { if (sim.Wait(tile)) Connector::ExistsTile(s, tile); }
  void EraseTile(Session& s, Tile& tile) override { if (sim.Wait(tile)) Connector::EraseTile(s, tile); }

  void List(Session&, sixcall::Page& page) override { mem::ListPage(*store, page); }
  void Usage(sixcall_usage& out) override {
    out.bytes_used = store->bytes();
    out.keys = store->keys();
    if (store->capacity() != 0) out.bytes_capacity = store->capacity();
  }
};

}  // namespace

SIXCALL_CONNECTOR(MemConnector, "mem", "0.1.0", "Sixcall",
                  R"({"type":"object","additionalProperties":false,"properties":{)" SIXCALL_COMMON_PROPERTIES R"(,
"capacity_bytes":{"type":"integer","minimum":0,"default":0,"description":"bytes of values kept; the values stored first go first; 0 = unlimited"},
"read_latency_us":{"type":"integer","minimum":0,"maximum":60000000,"default":0,"description":"simulated round trip of get and exists, in microseconds"},
"write_latency_us":{"type":"integer","minimum":0,"maximum":60000000,"default":0,"description":"simulated round trip of set and delete, in microseconds"},
"bandwidth_gbps":{"type":"number","minimum":0,"maximum":1000000,"default":0,"description":"simulated link of all workers, in 10^9 bits per second; 0 = unlimited"}}})",
                  SIXCALL_CAP_READ_YOUR_WRITES | SIXCALL_CAP_VALUE_LENS);
