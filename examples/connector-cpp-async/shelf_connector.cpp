// SPDX-License-Identifier: Apache-2.0
//
// A connector in C++ for a client that has completions of its own: start a batch,
// report each key when the client says so. Tickets, the event fd, cancellation and
// shutdown are in sixcall/connector.hpp; three places are yours.
#include "sixcall/connector.hpp"

#include "shelf_client.h"

namespace {

struct ShelfConnector final : sixcall::AsyncConnector {
  // ===================================================================
  // YOUR PLACE 1 of 3: the configuration and the connection.
  // The destructor of the client ends its threads; no ticket is open then.
  // ===================================================================
  std::unique_ptr<shelf::Client> client;

  void Start(const sixcall::Config& config) override { client = std::make_unique<shelf::Client>(config.GetUint("max_keys", 10000000)); }

  // ===================================================================
  // YOUR PLACE 2 of 3: a batch. Submit must not wait for the backend.
  // Keys and buffers stay in place until the last index was reported, so
  // the client may read and write them directly.
  // ===================================================================
  void Submit(const sixcall::AsyncBatch& batch) override {
    const uint64_t ticket = batch.ticket();
    if (batch.op() == SIXCALL_OP_PING) {
      Complete(ticket, 0, sixcall::Status::kHit);  // ask your server for a sign of life
      return;
    }
    std::vector<shelf::Request> requests(batch.size());
    for (size_t i = 0; i < batch.size(); i++) {
      shelf::Request& r = requests[i];
      r.key = batch.key(i);
      switch (batch.op()) {
        case SIXCALL_OP_GET: r.verb = shelf::Verb::kRead; break;
        case SIXCALL_OP_SET: r.verb = shelf::Verb::kWrite; break;
        case SIXCALL_OP_EXISTS: r.verb = shelf::Verb::kAsk; break;
        default: r.verb = shelf::Verb::kRemove; break;
      }
      if (r.verb == shelf::Verb::kWrite) {
        r.from = batch.value(i).data();
        r.size = batch.value(i).size();
      } else if (r.verb == shelf::Verb::kRead) {
        r.to = batch.buffer(i).data();
        r.size = batch.buffer(i).size();
      }
      r.done = [this, ticket, i](shelf::Answer answer, size_t len) { Complete(ticket, i, Translate(answer, len)); };
    }
    client->Start(std::move(requests));  // all at once: a refused batch has started nothing
  }
  void CancelAll() override { client->Hurry(); }

  static sixcall::Result Translate(shelf::Answer answer, size_t len) {
    switch (answer) {
      case shelf::Answer::kOk: return {sixcall::Status::kHit, len};
      case shelf::Answer::kAbsent: return sixcall::Status::kMiss;
      case shelf::Answer::kOtherSize: return {sixcall::Status::kSize, len};
      case shelf::Answer::kFull: return sixcall::Status::kRefused;
      case shelf::Answer::kEnded: return sixcall::Status::kCancelled;
    }
    return sixcall::Status::kError;
  }
};

}  // namespace

// =====================================================================
// YOUR PLACE 3 of 3: name, version, vendor, what can be configured, what
// Submit implements and what is promised.
// =====================================================================
SIXCALL_CONNECTOR(ShelfConnector, "shelf", "0.1.0", "Shelf",
                  R"({"type":"object","additionalProperties":false,"properties":{
"max_inflight":{"type":"integer","minimum":1,"maximum":65536,"default":1024,"description":"batches accepted before the host has to wait"},
"lazy":{"type":"boolean","default":false,"description":"open without proving that the backend is reachable"},
"max_keys":{"type":"integer","minimum":1,"maximum":1000000000,"default":10000000,"description":"keys that are kept; more are refused"}}})",
                  SIXCALL_CAP_DELETE | SIXCALL_CAP_PING | SIXCALL_CAP_READ_YOUR_WRITES | SIXCALL_CAP_VALUE_LENS);
