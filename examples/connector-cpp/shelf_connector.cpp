// SPDX-License-Identifier: Apache-2.0
//
// A connector in C++ for a client that blocks. Threads, queues, the event fd,
// reconnects and shutdown are in sixcall/connector.hpp; three places are yours.
#include "sixcall/connector.hpp"

#include "shelf_client.h"

namespace {

/// One connection, made and used by one worker thread only. Throw sixcall::Error
/// when the backend cannot be reached: the helper tries again, with back-off.
struct Session {
  explicit Session(shelf::Client& client) : client(client) {}
  shelf::Client& client;
};

struct ShelfConnector final : sixcall::Connector<Session> {
  // ===================================================================
  // YOUR PLACE 1 of 3: the configuration and the connection.
  // Ask config for each key that the schema below has. A client that is
  // one per process thread is made in Connect, which each worker calls.
  // ===================================================================
  std::unique_ptr<shelf::Client> client;

  void Start(const sixcall::Config& config) override { client = std::make_unique<shelf::Client>(config.GetUint("max_keys", 10000000)); }
  std::unique_ptr<Session> Connect(const sixcall::Config&) override { return std::make_unique<Session>(*client); }

  // ===================================================================
  // YOUR PLACE 2 of 3: one key. These may block, and may throw.
  // Get fills the whole buffer for kHit and nothing for any other result.
  // ===================================================================
  sixcall::Result Get(Session& s, sixcall::Key key, sixcall::MutableBytes buffer) override {
    size_t len = 0;
    switch (s.client.Read(key, buffer.data(), buffer.size(), &len)) {
      case shelf::Found::kYes: return {sixcall::Status::kHit, len};
      case shelf::Found::kNo: return sixcall::Status::kMiss;
      case shelf::Found::kOtherSize: return {sixcall::Status::kSize, len};
    }
    return sixcall::Status::kError;
  }
  sixcall::Status Set(Session& s, sixcall::Key key, sixcall::Bytes value) override {
    return s.client.Write(key, value.data(), value.size()) ? sixcall::Status::kHit : sixcall::Status::kRefused;
  }
  sixcall::Result Exists(Session& s, sixcall::Key key) override {
    size_t len = 0;
    if (!s.client.Has(key, &len)) return sixcall::Status::kMiss;
    return {sixcall::Status::kHit, len};
  }
  sixcall::Status Erase(Session& s, sixcall::Key key) override { return s.client.Remove(key) ? sixcall::Status::kHit : sixcall::Status::kMiss; }
  void Ping(Session&) override {}  // ask your server for a sign of life
};

}  // namespace

// =====================================================================
// YOUR PLACE 3 of 3: name, version, vendor, what can be configured, what
// is promised. Capabilities that need a function follow from the class.
// =====================================================================
SIXCALL_CONNECTOR(ShelfConnector, "shelf", "0.1.0", "Shelf",
                  R"({"type":"object","additionalProperties":false,"properties":{)" SIXCALL_COMMON_PROPERTIES R"(,
"max_keys":{"type":"integer","minimum":1,"maximum":1000000000,"default":10000000,"description":"keys that are kept; more are refused"}}})",
                  SIXCALL_CAP_READ_YOUR_WRITES | SIXCALL_CAP_VALUE_LENS);
