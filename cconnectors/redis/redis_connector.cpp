// SPDX-License-Identifier: Apache-2.0
// Wires the workers, the directory and the control thread to the ABI.
#include <algorithm>
#include <memory>
#include <thread>
#include <vector>

#include "control.h"
#include "directory.h"
#include "link.h"
#include "settings.h"
#include "sixcall/connector.hpp"
#include "stats.h"
#include "tls.h"
#include "worker.h"

namespace {

using sixcall::AsyncBatch;

struct RedisConnector final : sixcall::AsyncConnector {
  // A batch goes to workers in pieces of so much, and a worker that has more than
  // that to do lets the next one have some.
  static constexpr uint64_t kPiece = 4 << 20;   // bytes
  static constexpr uint64_t kRequest = 1024;    // what a request costs beside its value, bytes

  redis::Settings settings;
  redis::Stats counters;
  std::unique_ptr<redis::TlsContext> tls;
  std::unique_ptr<redis::Directory> directory;
  std::unique_ptr<redis::Control> control;
  std::unique_ptr<redis::Link::Context> context;
  std::vector<std::unique_ptr<redis::Worker>> bulk, lookup;

  void Start(const sixcall::Config& config) override {
    const uint64_t deadline_ns = sixcall::NowNs() + uint64_t{info().open_timeout_ms} * 1000000;
    settings = redis::Settings::Read(config);
    auto& o = mutable_options();
    o.workers = static_cast<uint32_t>(config.GetUint("workers", DefaultWorkers(), 1, 256));
    o.lookup_workers = static_cast<uint32_t>(config.GetUint("lookup_workers", 1, 1, 64));
    o.max_inflight = static_cast<uint32_t>(config.GetUint("max_inflight", o.max_inflight, 1, 65536));
    o.max_value_len = settings.max_value_bytes;
    o.best_batch = 64;
    config.CheckUnknown();  // before anything is connected to

    if (settings.tls.enabled) tls = std::make_unique<redis::TlsContext>(settings.tls);
    context = std::make_unique<redis::Link::Context>(redis::Link::Context{settings, tls.get(), counters, log()});
    directory = std::make_unique<redis::Directory>(settings, tls.get(), counters, info().name);
    control = std::make_unique<redis::Control>(settings, tls.get(), *directory, *this);
    for (uint32_t i = 0; i < o.workers; i++) bulk.push_back(std::make_unique<redis::Worker>(*context, *directory, *this));
    for (uint32_t i = 0; i < o.lookup_workers; i++) lookup.push_back(std::make_unique<redis::Worker>(*context, *directory, *this));
    directory->OnChange([this] {
      for (const auto& w : bulk) w->Notify();
      for (const auto& w : lookup) w->Notify();
    });
    directory->Start();
    if (!settings.lazy) control->Prove(deadline_ns);
    control->Start(info().name);
    for (const auto& w : bulk) w->Start(info().name);
    for (const auto& w : lookup) w->Start(info().name);
  }

  ~RedisConnector() override {
    // The directory calls the workers, and all others call the directory.
    if (directory != nullptr) directory->Stop();
    bulk.clear();
    lookup.clear();
    control.reset();
  }

  void Submit(const AsyncBatch& batch) override {
    switch (batch.op()) {
      case SIXCALL_OP_LIST: return control->PushList(batch);
      case SIXCALL_OP_PING: return LeastLoaded(lookup).Push(batch, 0, 1, kRequest);
      case SIXCALL_OP_EXISTS: return Share(lookup, batch);
      default: return Share(bulk, batch);
    }
  }

  void Cancel(uint64_t ticket) override {
    for (const auto& w : bulk) w->Cancel(ticket);
    for (const auto& w : lookup) w->Cancel(ticket);
    control->Cancel(ticket);
  }
  void CancelAll() override {
    for (const auto& w : bulk) w->CancelAll();
    for (const auto& w : lookup) w->CancelAll();
    control->CancelAll();
  }

  void Usage(sixcall_usage& out) override { control->Usage(out); }
  void Stats(std::string& out) override { counters.Append(out); }

 private:
  using Workers = std::vector<std::unique_ptr<redis::Worker>>;

  /// Two workers keep a server busy. Where they would take the CPU that a server on
  /// the same machine needs, or the host, one moves more.
  static uint64_t DefaultWorkers() { return std::thread::hardware_concurrency() > 2 ? 2 : 1; }

  static redis::Worker& LeastLoaded(const Workers& workers) {
    return **std::min_element(workers.begin(), workers.end(), [](const auto& a, const auto& b) { return a->load() < b->load(); });
  }
  /// The first worker that has little to do: few busy connections answer more per
  /// system call than many idle ones.
  static redis::Worker& Pick(const Workers& workers) {
    for (const auto& w : workers) {
      if (w->load() < kPiece) return *w;
    }
    return LeastLoaded(workers);
  }

  void Share(const Workers& workers, const AsyncBatch& batch) {
    const bool moves = batch.op() == SIXCALL_OP_GET || batch.op() == SIXCALL_OP_SET;
    const auto n = static_cast<uint32_t>(batch.size());
    for (uint32_t from = 0; from < n;) {
      uint64_t cost = 0;
      uint32_t to = from;
      while (to < n && (cost < kPiece || workers.size() == 1)) cost += kRequest + (moves ? batch.value(to++).size() : (to++, 0));
      try {
        Pick(workers).Push(batch, from, to - from, cost);
      } catch (...) {
        if (from == 0) throw;  // nothing runs yet: the batch is refused
        for (uint32_t i = from; i < to; i++) Fail(batch.ticket(), i, sixcall::Error::Current(SIXCALL_E_NOMEM));
      }
      from = to;
    }
  }
};

}  // namespace

SIXCALL_CONNECTOR(RedisConnector, "redis", "0.1.0", "Sixcall",
                  redis::kSchema,
                  SIXCALL_CAP_DELETE | SIXCALL_CAP_PING | SIXCALL_CAP_LIST | SIXCALL_CAP_READ_YOUR_WRITES | SIXCALL_CAP_DEADLINE |
                      SIXCALL_CAP_PERSISTENT | SIXCALL_CAP_VALUE_LENS);
