// SPDX-License-Identifier: Apache-2.0
#include "exercise.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace sixcall::worker {
namespace {

constexpr size_t kSizes[] = {1, 100, 4096, 65536, 1 << 20};  // bytes of the values

/// Memory for one value, aligned for any transport.
struct Value {
  explicit Value(size_t len) : size(len), bytes(static_cast<uint8_t*>(std::aligned_alloc(4096, (len + 4095) / 4096 * 4096))) {}
  size_t size;
  struct Free {
    void operator()(uint8_t* p) const { std::free(p); }
  };
  std::unique_ptr<uint8_t, Free> bytes;
};

class Runner {
 public:
  Runner(Connection* connection, uint32_t timeout_ms) : connection_(connection), timeout_(timeout_ms) {
    const uint64_t most = connection->limits() && connection->limits()->max_value_len != 0 ? connection->limits()->max_value_len : UINT64_MAX;
    for (const size_t size : kSizes) {
      if (size > most) continue;
      keys_.push_back("sixcall-exercise-" + std::to_string(getpid()) + "-" + std::to_string(size));
      stored_.emplace_back(size);
      loaded_.emplace_back(size);
      for (size_t i = 0; i < size; i++) stored_.back().bytes.get()[i] = static_cast<uint8_t>(i * 31 + size);
    }
  }

  std::optional<Failure> Run() {
    const Library& lib = connection_->library();
    if (lib.Has(SIXCALL_CAP_PING)) Check(Batch(SIXCALL_OP_PING, connection_->api().submit_ping, 0), "ping", 0);
    Check(Batch(SIXCALL_OP_EXISTS, connection_->api().submit_batch_exists), "exists before", SIXCALL_STATUS_MISS);
    Check(Batch(SIXCALL_OP_SET, connection_->api().submit_batch_set), "set", SIXCALL_STATUS_HIT);
    Check(Batch(SIXCALL_OP_EXISTS, connection_->api().submit_batch_exists), "exists", SIXCALL_STATUS_HIT);
    Check(Batch(SIXCALL_OP_GET, connection_->api().submit_batch_get), "get", SIXCALL_STATUS_HIT);
    for (size_t i = 0; i < keys_.size() && !failure_; i++) {
      if (std::memcmp(stored_[i].bytes.get(), loaded_[i].bytes.get(), stored_[i].size) != 0) Fail(Format("get returned other bytes than were stored under %s", keys_[i].c_str()));
    }
    if (lib.Has(SIXCALL_CAP_DELETE)) {
      Check(Batch(SIXCALL_OP_DELETE, connection_->api().submit_batch_delete), "delete", SIXCALL_STATUS_HIT);
      Check(Batch(SIXCALL_OP_GET, connection_->api().submit_batch_get), "get after", SIXCALL_STATUS_MISS);
    }
    AskFigures();
    return failure_;
  }

 private:
  using SubmitSlot = int32_t (*)(sixcall_conn*, const sixcall_batch*);

  /// Runs one batch over all keys and waits for its end.
  bool Batch(uint32_t op, SubmitSlot slot, size_t n = SIZE_MAX) {
    if (failure_) return false;
    n = std::min(n, keys_.size());
    items_.assign(n, {});
    status_.assign(n, SIXCALL_STATUS_UNSET);
    for (size_t i = 0; i < n; i++) {
      items_[i].key = reinterpret_cast<const uint8_t*>(keys_[i].data());
      items_[i].key_len = static_cast<uint32_t>(keys_[i].size());
      if (op != SIXCALL_OP_GET && op != SIXCALL_OP_SET) continue;
      const Value& value = op == SIXCALL_OP_SET ? stored_[i] : loaded_[i];
      items_[i].buf = value.bytes.get(), items_[i].len = value.size;
    }
    err_ = {};
    err_.struct_size = sizeof(err_);
    sixcall_batch batch = {};
    batch.struct_size = sizeof(batch);
    batch.ticket = ++ticket_;
    batch.n = static_cast<uint32_t>(n);
    batch.item_stride = sizeof(sixcall_item);
    batch.items = n > 0 ? items_.data() : nullptr;
    batch.status = n > 0 ? status_.data() : nullptr;
    batch.err = &err_;
    const int32_t rc = connection_->Locked([&] { return slot(connection_->conn(), &batch); });
    if (rc < 0) return Fail(Format("submit returned %d", rc));
    return Wait(op);
  }

  bool Wait(uint32_t op) {
    const auto until = std::chrono::steady_clock::now() + timeout_;
    for (;;) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
      // The memory is still lent, so there is no way back.
      if (left <= 0) Die(kExitFailed, "exercise: operation %u is not done after %lld ms", op, static_cast<long long>(timeout_.count()));
      pollfd wait = {connection_->event_fd(), POLLIN, 0};
      if (poll(&wait, 1, static_cast<int>(std::min<int64_t>(left, 1000))) <= 0) continue;
      sixcall_completion done = {};
      const int32_t n = connection_->Locked([&] { return connection_->api().drain_completions(connection_->conn(), &done, 1, sizeof(done)); });
      if (n < 0 || n > 1) return Fail(Format("drain_completions returned %d, but was given room for 1", n));
      if (n == 0) continue;
      if (done.ticket != ticket_ || done.op != op) return Fail(Format("ticket %llu, operation %u was completed, want ticket %llu, operation %u",
                                                                     static_cast<unsigned long long>(done.ticket), done.op, static_cast<unsigned long long>(ticket_), op));
      if (done.rc < 0) return Fail(Format("completed with %d: %.*s", done.rc, static_cast<int>(std::min<size_t>(err_.len, sizeof(err_.msg))), err_.msg));
      return true;
    }
  }

  void Check(bool ran, const char* what, uint8_t want) {
    if (!ran) {
      if (failure_ && !named_) failure_->text = std::string(what) + ": " + failure_->text, named_ = true;
      return;
    }
    for (size_t i = 0; i < status_.size(); i++) {
      if (status_[i] == want) continue;
      Fail(Format("%s: status of %s is %u, want %u; %.*s", what, keys_[i].c_str(), status_[i], want, static_cast<int>(std::min<size_t>(err_.len, sizeof(err_.msg))), err_.msg));
      named_ = true;
      return;
    }
    std::printf("%-12s %s: %zu keys\n", "exercise", what, status_.size());
  }

  void AskFigures() {
    const Library& lib = connection_->library();
    sixcall_usage usage;
    std::string stats;
    if (!failure_ && lib.Has(SIXCALL_CAP_USAGE) && !(failure_ = connection_->Usage(&usage))) {
      std::printf("%-12s %lld bytes used, %lld keys (-1 = unknown)\n", "usage", static_cast<long long>(usage.bytes_used), static_cast<long long>(usage.keys));
    }
    if (!failure_ && lib.Has(SIXCALL_CAP_STATS_TEXT) && !(failure_ = connection_->Stats(&stats))) std::printf("%-12s %zu bytes of text\n", "stats", stats.size());
  }

  bool Fail(std::string text) {
    if (!failure_) failure_ = Failure{SIXCALL_E_INTERNAL, std::move(text)};
    return false;
  }

  Connection* const connection_;
  const std::chrono::milliseconds timeout_;
  std::vector<std::string> keys_;
  std::vector<Value> stored_, loaded_;
  std::vector<sixcall_item> items_;
  std::vector<uint8_t> status_;
  sixcall_err err_ = {};
  uint64_t ticket_ = 0;
  std::optional<Failure> failure_;
  bool named_ = false;
};

}  // namespace

std::optional<Failure> Exercise(Connection* connection, uint32_t timeout_ms) { return Runner(connection, timeout_ms).Run(); }

}  // namespace sixcall::worker
