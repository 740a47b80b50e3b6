// SPDX-License-Identifier: Apache-2.0
// Wires InfiniStore's protocol (infinistore_session.h) to the ABI.
#include "infinistore_rdma.h"
#include "infinistore_session.h"
#include "sixcall/connector.hpp"

namespace {

using infinistore::Patience;
using infinistore::Refusal;
using infinistore::Session;
using sixcall::Error;
using sixcall::Key;
using sixcall::Result;
using sixcall::Status;
using sixcall::Tile;

struct InfiniStoreConnector final : sixcall::Connector<Session> {
  infinistore::Settings settings;
  infinistore::Counters counters;
  std::shared_ptr<infinistore::Reaper> reaper;

  ~InfiniStoreConnector() override {
    // Still there only when open failed: nothing but probes can be parked then.
    if (reaper != nullptr) reaper->Stop(std::chrono::steady_clock::now() + std::chrono::seconds(1));
  }

  void Start(const sixcall::Config& config) override {
    settings.host = config.Require("host");
    settings.port = static_cast<uint16_t>(config.GetUint("port", 22345, 1, 65535));
    settings.trailer = config.GetBool("trailer", true);
    const uint64_t most = infinistore::kMaxWireValue - (settings.trailer ? infinistore::kTrailerBytes : 0);
    settings.max_value_bytes = std::min(config.GetUint("max_value_bytes", infinistore::kMaxWireValue, 1, infinistore::kMaxWireValue), most);
    settings.connect_timeout_ms = static_cast<uint32_t>(config.GetUint("connect_timeout_ms", 3000, 1, 60000));
    settings.request_timeout_ms = static_cast<uint32_t>(config.GetUint("request_timeout_ms", 10000, 1, 3600000));
    const std::string device = config.GetString("device");
    const std::string link_type = config.GetChoice("link_type", "LINK_ETHERNET", {"LINK_ETHERNET", "LINK_IB"});
    if (config.GetChoice("transport", "tcp", {"tcp", "rdma"}) == "rdma") infinistore::RefuseRdma(device, link_type);

    sixcall::Options& o = mutable_options();
    o.workers = 4;
    o.lookup_workers = 2;
    o.tile_keys = 4;  // a key is a round trip
    o.tile_bytes = 1 << 20;
    o.max_value_len = most;
    reaper = infinistore::Reaper::Start(info().name);
  }

  // ---- one key; the tile hooks below give the patience

  Result Get(Session& s, Key key, sixcall::MutableBytes value) override {
    Patience p = Forever();
    return s.Get(key, value, p);
  }
  Status Set(Session& s, Key key, sixcall::Bytes value) override {
    Patience p = Forever();
    s.Put(key, value, p);
    return Status::kHit;
  }
  Result Exists(Session& s, Key key) override {
    Patience p = Forever();
    return s.Exists(key, p);
  }
  Status Erase(Session& s, Key key) override {
    Patience p = Forever();
    return s.Delete(key, p);
  }
  void Ping(Session& s) override {
    Patience p(0, settings.connect_timeout_ms, [this] { return closing(); }, [this] { ExpireQueued(); });
    s.Ready(p, true);
    s.Ping(p);
  }

  std::unique_ptr<Session> Connect(const sixcall::Config&) override {
    Patience p(0, settings.connect_timeout_ms, [this] { return closing(); }, [this] { ExpireQueued(); });
    return std::make_unique<Session>(settings, reaper, counters, p);
  }

  // ---- tiles

  void GetTile(Session& s, Tile& tile) override {
    Each(s, tile, [&](size_t i, Patience& p) { return s.Get(tile.key(i), tile.buffer(i), p); });
  }
  void SetTile(Session& s, Tile& tile) override {
    Each(s, tile, [&](size_t i, Patience& p) -> Result {
      s.Put(tile.key(i), tile.value(i), p);
      return Status::kHit;
    });
  }
  void ExistsTile(Session& s, Tile& tile) override {
    Each(s, tile, [&](size_t i, Patience& p) { return s.Exists(tile.key(i), p); });
  }
  void EraseTile(Session& s, Tile& tile) override {
    Each(s, tile, [&](size_t i, Patience& p) -> Result { return s.Delete(tile.key(i), p); });
  }

  bool Settle(std::chrono::steady_clock::time_point until) override {
    return std::exchange(reaper, nullptr)->Stop(until);
  }

  void Stats(std::string& out) override {
    const auto line = [&](const char* name, const char* type, const char* help, uint64_t value) {
      const std::string full = std::string("sixcall_infinistore_") + name;
      out += "# HELP " + full + " " + help + "\n# TYPE " + full + " " + type + "\n" + full + " " + std::to_string(value) + "\n";
    };
    line("connects_total", "counter", "Connections made.", counters.connects.load());
    line("lost_total", "counter", "Connections that the server or the network ended.", counters.lost.load());
    line("no_room_total", "counter", "Puts refused with code 507.", counters.no_room.load());
    line("corrupt_total", "counter", "Values whose trailer did not fit.", counters.corrupt.load());
    line("cut_puts_total", "counter", "Puts that were cut by a lost connection.", counters.cut_puts.load());
    line("healed_total", "counter", "Keys of cut puts that were replaced and removed.", counters.healed.load());
    line("parked_total", "counter", "Requests left to the reaper.", reaper->parked_total());
    line("parked", "gauge", "Requests that the reaper waits for.", reaper->parked());
  }

 private:
  Patience Forever() {
    return Patience(0, settings.request_timeout_ms, [] { return false; }, [] {});
  }

  /// Runs fn for every key. A key that fails leaves the others alone as long as there is a
  /// server to talk to.
  template <class F>
  void Each(Session& s, Tile& tile, F&& fn) {
    Patience p(tile.deadline_ns(), settings.request_timeout_ms, [&tile] { return tile.cancelled(); }, [this] { ExpireQueued(); });
    for (size_t i = 0; i < tile.size(); i++) {
      if (tile.cancelled()) return;
      s.Ready(p, i == 0);
      try {
        tile.Done(i, fn(i, p));
      } catch (const Refusal& e) {
        tile.Fail(i, e);
        tile.Done(i, Status::kRefused);
      } catch (...) {
        const Error e = Error::Current(SIXCALL_E_IO);
        tile.Fail(i, e);
        if (e.code() == SIXCALL_E_TIMEOUT || e.code() == SIXCALL_E_CANCELLED) throw;  // the others would fare no better
      }
    }
  }
};

}  // namespace

SIXCALL_CONNECTOR(InfiniStoreConnector, "infinistore", "0.1.0", "Sixcall",
                  R"({"type":"object","additionalProperties":false,"required":["host"],"properties":{)" SIXCALL_COMMON_PROPERTIES R"(,
"host":{"type":"string","description":"name or address of the server"},
"port":{"type":"integer","minimum":1,"maximum":65535,"default":22345,"description":"the server's --service-port"},
"transport":{"type":"string","enum":["tcp","rdma"],"default":"tcp","description":"rdma is not implemented: open explains what was found of the device"},
"device":{"type":"string","default":"","description":"RDMA device such as mlx5_0; not used over TCP"},
"link_type":{"type":"string","enum":["LINK_ETHERNET","LINK_IB"],"default":"LINK_ETHERNET","description":"link layer of the RDMA device; not used over TCP"},
"trailer":{"type":"boolean","default":true,"description":"store 24 bytes behind each value that prove it whole; false is LMCache's own layout"},
"max_value_bytes":{"type":"integer","minimum":1,"maximum":2147483647,"default":2147483647,"description":"larger values are refused before they are sent; set it below the server's --prealloc-size"},
"connect_timeout_ms":{"type":"integer","minimum":1,"maximum":60000,"default":3000,"description":"to connect and have the first answer, in milliseconds"},
"request_timeout_ms":{"type":"integer","minimum":1,"maximum":3600000,"default":10000,"description":"for one key, in milliseconds; a deadline of the batch may be earlier"}}})",
                  SIXCALL_CAP_READ_YOUR_WRITES | SIXCALL_CAP_DEADLINE | SIXCALL_CAP_PERSISTENT);
