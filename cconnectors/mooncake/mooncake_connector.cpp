// SPDX-License-Identifier: Apache-2.0
// Wires the calls of mooncake_calls.h to the ABI.
#include "mooncake_backend.h"
#include "mooncake_calls.h"
#include "mooncake_find.h"
#include "sixcall/connector.hpp"

namespace {

using sixcall::Tile;

/// How long close waits for the library to end its client, which takes up to a
/// second and more.
constexpr std::chrono::milliseconds kDestroyWait{5000};

struct MooncakeConnector final : sixcall::Connector<mooncake::Calls> {
  std::shared_ptr<mooncake::Backend> backend;
  mooncake::KeyLocks locks;
  mooncake::ExistingCounters existing;

  ~MooncakeConnector() override {
    if (backend != nullptr) backend->Shutdown(kDestroyWait);
  }

  void Start(const sixcall::Config& config) override {
    mooncake::Settings settings = mooncake::Settings::Read(config);
    const std::string configured = config.GetString("library");
    const std::vector<std::string> preload = config.GetStrings("preload");
    // The helper reads these after Start. Now, before a large library is loaded for nothing:
    config.GetUint("workers", 1, 1, 256);
    config.GetUint("lookup_workers", 1, 1, 64);
    config.GetUint("max_inflight", 1, 1, 65536);
    config.GetBool("lazy", false);
    config.CheckUnknown();
    const mooncake::Library& library = mooncake::Library::Load(mooncake::FindLibrary(configured), preload);
    library.SetLogLevel(settings.log_level);
    mutable_options().workers = 2;
    mutable_options().tile_keys = 64;
    mutable_options().tile_bytes = 8 << 20;
    backend = std::make_shared<mooncake::Backend>(library, std::move(settings));
  }

  std::unique_ptr<mooncake::Calls> Connect(const sixcall::Config&) override {
    return std::make_unique<mooncake::Calls>(backend, backend->Acquire([this] { return closing(); }), &locks, &existing);
  }

  void GetTile(mooncake::Calls& calls, Tile& tile) override { calls.Get(tile); }
  void SetTile(mooncake::Calls& calls, Tile& tile) override { calls.Set(tile); }
  void ExistsTile(mooncake::Calls& calls, Tile& tile) override { calls.Exists(tile); }
  void EraseTile(mooncake::Calls& calls, Tile& tile) override { calls.Erase(tile); }
  void Ping(mooncake::Calls& calls) override { calls.Ping(); }

  uint64_t RegisterMemory(const sixcall_memory& memory) override { return backend->Register(memory.base, memory.len); }
  void UnregisterMemory(uint64_t handle) override { backend->Unregister(handle); }

  void Stats(std::string& out) override {
    out += "# HELP sixcall_mooncake_setups_total Clients of the library that were made.\n# TYPE sixcall_mooncake_setups_total counter\n";
    out += "sixcall_mooncake_setups_total " + std::to_string(backend->setups()) + "\n";
    out += "# HELP sixcall_mooncake_existing_total Sets of a key that was stored already.\n# TYPE sixcall_mooncake_existing_total counter\n";
    out += "sixcall_mooncake_existing_total{outcome=\"equal\"} " + std::to_string(existing.equal.load()) + "\n";
    out += "sixcall_mooncake_existing_total{outcome=\"replaced\"} " + std::to_string(existing.replaced.load()) + "\n";
    out += "sixcall_mooncake_existing_total{outcome=\"refused\"} " + std::to_string(existing.refused.load()) + "\n";
  }

  // Tiles are whole calls of the library, so these are never reached.
  sixcall::Result Get(mooncake::Calls&, sixcall::Key, sixcall::MutableBytes) override { return sixcall::Status::kError; }
  sixcall::Status Set(mooncake::Calls&, sixcall::Key, sixcall::Bytes) override { return sixcall::Status::kError; }
  sixcall::Result Exists(mooncake::Calls&, sixcall::Key) override { return sixcall::Status::kError; }
  sixcall::Status Erase(mooncake::Calls&, sixcall::Key) override { return sixcall::Status::kError; }
};

}  // namespace

SIXCALL_CONNECTOR(MooncakeConnector, "mooncake", "0.1.0", "Sixcall",
                  R"({"type":"object","additionalProperties":false,"required":["master_server_address"],"properties":{)" SIXCALL_COMMON_PROPERTIES R"(,
"library":{"type":"string","description":"path of libmooncake_store.so; default: SIXCALL_MOONCAKE_LIBRARY, else the places of Python packages"},
"preload":{"type":"array","items":{"type":"string"},"description":"libraries to load before it, in this order, such as a stand-in for libcuda.so.1"},
"library_log":{"type":"string","enum":["info","warning","error","none"],"default":"error","description":"what the library itself writes to standard error"},
"master_server_address":{"type":"string","description":"host:port of mooncake_master, or an address with a scheme for a replicated one"},
"local_hostname":{"type":"string","description":"this machine, as storage nodes see it; default: its address on the way to the master"},
"metadata_server":{"type":"string","default":"P2PHANDSHAKE","description":"where transfer metadata is kept"},
"protocol":{"type":"string","default":"tcp","description":"transport of the library: tcp, rdma, ..."},
"device_name":{"type":"string","description":"network devices for the transport, separated by commas"},
"key_prefix":{"type":"string","description":"put before every key, so that several users of a store stay apart"},
"global_segment_size":{"type":"integer","minimum":0,"maximum":1125899906842624,"default":0,"description":"bytes of memory that this process gives to the store; 0 = only a client"},
"local_buffer_size":{"type":"integer","minimum":0,"maximum":1099511627776,"default":16777216,"description":"bytes of memory for the client itself"},
"replica_num":{"type":"integer","minimum":1,"maximum":64,"default":1,"description":"copies of each value"},
"soft_pin":{"type":"boolean","default":false,"description":"ask the store to evict the values late"},
"hard_pin":{"type":"boolean","default":false,"description":"ask the store not to evict the values"},
"prefer_local_alloc":{"type":"boolean","default":false,"description":"store in the segment of this process first"},
"preferred_segments":{"type":"array","items":{"type":"string"},"description":"names of segments to store in first"},
"existing":{"type":"string","enum":["compare","keep","replace"],"default":"compare","description":"what a set does with a key that is stored: compare the values, keep the stored one unseen, or replace it"},
"force_remove":{"type":"boolean","default":false,"description":"remove keys that are leased; a reader may then get bytes of another value"},
"connect_timeout_ms":{"type":"integer","minimum":1,"maximum":60000,"default":2000,"description":"longest wait for the TCP connection to the master"},
"setup_timeout_ms":{"type":"integer","minimum":1,"maximum":600000,"default":10000,"description":"longest wait for the client of the library to be ready"}}})",
                  SIXCALL_CAP_READ_YOUR_WRITES | SIXCALL_CAP_PERSISTENT);
