// SPDX-License-Identifier: Apache-2.0
// Wires the store of store.h and the engines to the ABI.
#include "sixcall/connector.hpp"
#include "store.h"
#include "tiles.h"

namespace {

using sixcall::Key;
using sixcall::Tile;

struct Session {
  std::unique_ptr<fs::Engine> engine;  // made by the first tile: lookups need none
};

struct FsConnector final : sixcall::Connector<Session> {
  std::unique_ptr<fs::Store> store;
  bool uring = false;

  void Start(const sixcall::Config& config) override {
    const fs::Settings settings(config);
    store = std::make_unique<fs::Store>(settings, info().name);
    mutable_options().lookup_workers = 2;
    // Buffered transfers end inside the system call: a ring only adds to them.
    uring = settings.engine == fs::EngineKind::kUring || (settings.engine == fs::EngineKind::kAuto && settings.direct);
    if (settings.engine == fs::EngineKind::kUring) fs::MakeUringEngine(store->counters(), 1, 1);  // throws where there is none
  }

  std::unique_ptr<Session> Connect(const sixcall::Config&) override {
    store->Open();
    return std::make_unique<Session>();
  }

  fs::Engine& EngineOf(Session& s) {
    if (s.engine == nullptr && uring) {
      const fs::Settings& settings = store->settings();
      try {
        s.engine = fs::MakeUringEngine(store->counters(), settings.depth, settings.inflight_bytes / options().workers);
      } catch (const sixcall::Error&) {
        if (settings.engine == fs::EngineKind::kUring) throw;
        fs::Count(store->counters().uring_unavailable);
      }
    }
    if (s.engine == nullptr) s.engine = fs::MakeThreadsEngine(store->counters());
    return *s.engine;
  }

  void GetTile(Session& s, Tile& tile) override {
    const auto folder = store->folder();
    fs::GetTile({store->settings(), *folder, store->counters(), store->usage(), EngineOf(s)}, tile);
  }
  void SetTile(Session& s, Tile& tile) override {
    const auto folder = store->folder();
    fs::SetTile({store->settings(), *folder, store->counters(), store->usage(), EngineOf(s)}, tile);
  }
  sixcall::Result Exists(Session&, Key key) override { return store->Exists(key); }
  sixcall::Status Erase(Session&, Key key) override { return store->Erase(key); }
  void Ping(Session&) override { store->Ping(); }
  void List(Session&, sixcall::Page& page) override { store->List(page); }

  void Usage(sixcall_usage& out) override {
    const auto now = store->usage().now();
    if (!now) return;
    out.bytes_used = static_cast<uint64_t>(now->bytes);
    out.keys = static_cast<uint64_t>(now->keys);
  }
  void Stats(std::string& out) override { store->counters().Text(out); }

  // The tile hooks above stand for these.
  sixcall::Result Get(Session&, Key, sixcall::MutableBytes) override { return sixcall::Status::kError; }
  sixcall::Status Set(Session&, Key, sixcall::Bytes) override { return sixcall::Status::kError; }
};

}  // namespace

SIXCALL_CONNECTOR(FsConnector, "fs", "0.1.0", "Sixcall",
                  R"({"type":"object","additionalProperties":false,"required":["base_path"],"properties":{)" SIXCALL_COMMON_PROPERTIES "," SIXCALL_FS_PROPERTIES "}}",
                  SIXCALL_CAP_PERSISTENT | SIXCALL_CAP_READ_YOUR_WRITES | SIXCALL_CAP_VALUE_LENS);
