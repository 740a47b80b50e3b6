// SPDX-License-Identifier: Apache-2.0
// Wires the engines to the ABI.
#include <thread>

#include "core.h"
#include "engine.h"
#include "lookup.h"
#include "sixcall/connector.hpp"

namespace {

using namespace nixl;

class NixlConnector final : public sixcall::AsyncConnector {
 public:
  ~NixlConnector() override {
    if (core_ == nullptr) return;
    core_->Leave();
    Stop();
    // After a close that was busy, or an open that failed: a thread that NIXL holds
    // has memory of its own only, and goes on alone.
    const bool ended = core_->AwaitThreads(std::chrono::milliseconds(250));
    for (std::thread& thread : threads_) ended ? thread.join() : thread.detach();
  }

  /// No ticket is open, but a thread may still wait for NIXL.
  bool Settle(std::chrono::steady_clock::time_point until) override {
    Stop();
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    return core_->AwaitThreads(std::max(left, std::chrono::milliseconds(0)));
  }

  void Start(const sixcall::Config& config) override {
    Settings settings = ReadSettings(config, mutable_options());
    config.CheckUnknown();
    core_ = std::make_shared<Core>(std::move(settings), this);
    const Settings& s = core_->settings;
    core_->api = LoadApi(s.library);
    if (!s.files.base_path.empty()) {
      core_->files.emplace(s.files);
    } else {
      core_->objects.emplace(s.key_prefix, s.seal);
    }
    StartEngine(0);
    if (!options().lazy) core_->AwaitProof(std::chrono::milliseconds(info().open_timeout_ms));
    for (uint32_t i = 1; i < options().workers; i++) StartEngine(i);
    for (uint32_t i = 0; i < options().lookup_workers; i++) {
      StartThread([core = core_] { core->files.has_value() ? LookUpFiles(*core) : LookUpObjects(*core); });
    }
    if (core_->objects.has_value()) StartThread([core = core_] { WatchAsks(*core); });
  }

  void Submit(const sixcall::AsyncBatch& batch) override {
    const uint32_t op = batch.op();
    const bool files = core_->files.has_value();
    if (op == SIXCALL_OP_DELETE && !files) {
      throw sixcall::Error(SIXCALL_E_UNSUPPORTED, "NIXL has no call that deletes an object");
    }
    const bool lookup = op == SIXCALL_OP_EXISTS || op == SIXCALL_OP_PING;
    if (lookup && !files) return AskAbout(batch);
    std::vector<LotPtr> lots;
    const size_t n = batch.size();
    const size_t tiles = lookup ? LookupTiles(n) : Tiles(batch);
    lots.reserve(tiles);
    for (size_t i = 0, from = 0; i < tiles; i++) {
      const size_t count = n / tiles + (i < n % tiles);
      lots.push_back(std::make_unique<Lot>(batch, from, count));
      for (size_t k = from; k < from + count; k++) lots.back()->bytes += batch.buffer(k).size();
      from += count;
    }
    (lookup ? core_->lookups : core_->bulk).Push(std::move(lots));
  }

  void Cancel(uint64_t ticket) override { Withdraw(ticket, "cancelled before it began"); }
  void CancelAll() override {
    core_->abort.store(true);
    Withdraw(LotQueue::kEvery, "the connection is closed");
  }

  uint64_t RegisterMemory(const sixcall_memory& memory) override { return core_->AddArena(memory.base, memory.len); }
  void UnregisterMemory(uint64_t handle) override { core_->RemoveArena(handle); }
  void Stats(std::string& out) override { core_->Stats(out); }

 private:
  void Stop() {
    core_->bulk.Stop();
    core_->lookups.Stop();
    core_->asks.Stop();
  }
  template <class F>
  void StartThread(F body) {
    threads_.reserve(threads_.size() + 1);  // a thread without a place would end the process
    core_->ThreadBegins();
    try {
      threads_.push_back(sixcall::detail::StartThread(info().name, [core = core_, body] {
        body();
        core->ThreadEnds();
      }));
    } catch (...) {
      core_->ThreadEnds();
      throw;
    }
  }
  void StartEngine(uint32_t index) {
    StartThread([core = core_, index] { Engine(core, index).Run(); });
  }

  /// Lots for the workers: enough to share the work, none with more requests than
  /// a worker may have in flight.
  size_t Tiles(const sixcall::AsyncBatch& batch) const {
    const size_t n = batch.size();
    uint64_t bytes = 0;
    for (size_t i = 0; i < n; i++) bytes += batch.buffer(i).size();
    const bool objects = core_->objects.has_value();
    const size_t by_keys = objects ? (n + 7) / 8 : n / options().tile_keys;
    const size_t wanted = std::max<size_t>({1, by_keys, static_cast<size_t>(bytes / options().tile_bytes)});
    const size_t most = std::min<size_t>(objects ? 8 : 64, core_->settings.queue_depth);
    return std::max(std::min({wanted, n, size_t{options().workers}}), (n + most - 1) / most);
  }
  size_t LookupTiles(size_t n) const {
    const size_t wanted = std::min<size_t>(n / 128, options().lookup_workers);
    return std::max<size_t>({1, wanted, n / 4096});
  }

  void AskAbout(const sixcall::AsyncBatch& batch) {
    constexpr size_t kNames = 16;
    const uint64_t expiry = sixcall::NowNs() + core_->settings.request_timeout_ns;
    const bool ping = batch.op() == SIXCALL_OP_PING;
    const size_t n = std::max<size_t>(batch.size(), 1);
    std::vector<AskPtr> asks;
    for (size_t from = 0; from < n; from += kNames) {
      auto ask = std::make_shared<Ask>();
      ask->why = ping ? Ask::Why::kPing : Ask::Why::kLookup;
      ask->ticket = batch.ticket();
      ask->expiry_ns = expiry;
      for (size_t i = from; i < std::min(n, from + kNames); i++) {
        Place place;
        place.path = ".sixcall-probe";
        ask->index.push_back(i);
        ask->names.push_back(core_->objects->Name(ping ? place : PlaceOf(batch.key(i), core_->settings.files.shards)));
      }
      asks.push_back(std::move(ask));
    }
    for (auto& ask : asks) core_->asks.Push(std::move(ask));
  }

  void Withdraw(uint64_t ticket, const char* why) {
    const sixcall::Error error(SIXCALL_E_CANCELLED, why);
    for (LotQueue* queue : {&core_->bulk, &core_->lookups}) {
      for (const LotPtr& lot : queue->Withdraw(ticket)) core_->AnswerAll(*lot, error);
    }
    for (const AskPtr& ask : core_->asks.Withdraw(ticket)) AnswerAsk(*core_, *ask, error);
  }

  std::shared_ptr<Core> core_;
  std::vector<std::thread> threads_;
};

}  // namespace

SIXCALL_CONNECTOR(NixlConnector, "nixl", "0.1.0", "Sixcall", nixl::kSchema,
                  SIXCALL_CAP_DELETE | SIXCALL_CAP_PING | SIXCALL_CAP_READ_YOUR_WRITES | SIXCALL_CAP_PERSISTENT | SIXCALL_CAP_VALUE_LENS);
