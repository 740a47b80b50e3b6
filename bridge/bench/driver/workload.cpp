// SPDX-License-Identifier: Apache-2.0
#include "workload.h"

#include <poll.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "error.h"

namespace driver {
namespace {

constexpr uint32_t kKeyBytes = 90;
constexpr uint64_t kKeyStride = 96;  // bytes, so that keys stay aligned
constexpr uint32_t kMaxDrain = 256;  // completions per drain
constexpr int kStallMs = 30000;      // no completion for so long is a failure

const char *StatusText(uint8_t status) {
  static const char *const kNames[] = {"miss",    "hit",      "error",   "size mismatch",
                                       "cancelled", "timed out", "refused", "corrupt"};
  if (status == SIXCALL_STATUS_UNSET) return "never written";
  return status < sizeof(kNames) / sizeof(kNames[0]) ? kNames[status] : "unknown";
}

// A well-mixed 64-bit value from a counter.
uint64_t Mix(uint64_t x) {
  x += UINT64_C(0x9E3779B97F4A7C15);
  x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
  return x ^ (x >> 31);
}

// Writes a key in the form of the host's object keys: model, rank, group, hash.
void WriteKey(uint64_t index, uint8_t *out) {
  static const char kPrefix[] = "bench/chat-8@0x00000001@0@";
  static_assert(sizeof(kPrefix) - 1 + 64 == kKeyBytes, "a prefix and 64 hex digits");
  std::memcpy(out, kPrefix, sizeof(kPrefix) - 1);
  uint8_t *hex = out + sizeof(kPrefix) - 1;
  for (uint64_t word = 0; word < 4; ++word) {
    const uint64_t bits = Mix(index * 4 + word);
    for (int shift = 60; shift >= 0; shift -= 4) *hex++ = static_cast<uint8_t>("0123456789abcdef"[(bits >> shift) & 15]);
  }
}

auto SubmitCall(const sixcall_api &api, uint32_t op) {
  if (op == SIXCALL_OP_GET) return api.submit_batch_get;
  return op == SIXCALL_OP_SET ? api.submit_batch_set : api.submit_batch_exists;
}

}  // namespace

uint64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec);
}

void Workload::Unmap::operator()(uint8_t *memory) const { munmap(memory, bytes); }

Workload::Memory Workload::Map(uint64_t bytes, const char *what) {
  void *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    throw RunError("no memory for " + std::to_string(bytes) + " bytes of " + what + ": " + std::strerror(errno));
  }
  return Memory(static_cast<uint8_t *>(memory), Unmap{bytes});
}

Workload::Workload(const Options &options, Connection &connection)
    : options_(options),
      connection_(connection),
      key_count_(options.WorkingSet()),
      key_bytes_(Map(key_count_ * kKeyStride, "keys")),
      values_(Map(options.value_bytes * options.batch * options.depth, "values")),
      slots_(options.depth),
      completions_(std::min(options.depth, kMaxDrain)) {
  for (uint64_t i = 0; i < key_count_; ++i) WriteKey(i, key_bytes_.get() + i * kKeyStride);
  // Touched here, so that no page fault of ours is in a round.
  std::memset(values_.get(), 0xA5, options.value_bytes * options.batch * options.depth);
  for (uint32_t i = 0; i < options.depth; ++i) {
    Slot &slot = slots_[i];
    slot.items.resize(options.batch);
    slot.status.resize(options.batch);
    slot.values = values_.get() + options.value_bytes * options.batch * i;
    slot.batch.struct_size = sizeof(slot.batch);
    slot.batch.item_stride = sizeof(sixcall_item);
    slot.batch.items = slot.items.data();
    slot.batch.status = slot.status.data();
    slot.batch.err = &slot.err;
    slot.err.struct_size = sizeof(slot.err);
    for (sixcall_item &item : slot.items) item.key_len = kKeyBytes;
    free_.push_back(options.depth - 1 - i);
  }
}

const uint8_t *Workload::Key(uint64_t index) const { return key_bytes_.get() + index * kKeyStride; }

void Workload::FillValue(uint64_t key, uint8_t *out) const {
  uint64_t word = Mix(key);
  uint64_t i = 0;
  for (; i + sizeof(word) <= options_.value_bytes; i += sizeof(word)) {
    std::memcpy(out + i, &word, sizeof(word));
    word = word * UINT64_C(6364136223846793005) + 1;
  }
  std::memcpy(out + i, &word, options_.value_bytes - i);
}

bool Workload::Submit(uint32_t op, uint64_t first_key, uint32_t n, uint64_t now_ns) {
  const uint32_t index = free_.back();
  Slot &slot = slots_[index];
  const bool moves_values = op != SIXCALL_OP_EXISTS;
  uint64_t key = first_key;
  for (uint32_t i = 0; i < n; ++i) {
    sixcall_item &item = slot.items[i];
    item.key = Key(key);
    item.buf = moves_values ? slot.values + i * options_.value_bytes : nullptr;
    item.len = moves_values ? options_.value_bytes : 0;
    if (++key == key_count_) key = 0;
  }
  std::memset(slot.status.data(), SIXCALL_STATUS_UNSET, n);
  slot.batch.n = n;
  slot.batch.ticket = uint64_t{++slot.generation} << 32 | index;
  slot.submitted_ns = now_ns;
  const int32_t rc = SubmitCall(connection_.api(), op)(connection_.handle(), &slot.batch);
  if (rc == SIXCALL_E_AGAIN && in_flight_ > 0) return false;
  if (rc != SIXCALL_OK) {
    throw RunError("submit of " + std::to_string(n) + " keys refused: " + CodeText(rc));
  }
  slot.in_flight = true;
  free_.pop_back();
  ++in_flight_;
  return true;
}

void Workload::Poll() const {
  pollfd ready = {connection_.fd(), POLLIN, 0};
  int n;
  do {
    n = poll(&ready, 1, kStallMs);
  } while (n < 0 && errno == EINTR);
  if (n < 0) throw RunError(std::string("poll: ") + std::strerror(errno));
  if (n == 0) {
    throw RunError("no completion for " + std::to_string(kStallMs / 1000) + " s, " + std::to_string(in_flight_) +
                   " batches in flight");
  }
  if ((ready.revents & POLLIN) == 0) throw RunError("the event fd is not readable but in error");
}

size_t Workload::Drain() {
  const auto cap = static_cast<uint32_t>(completions_.size());
  const int32_t n =
      connection_.api().drain_completions(connection_.handle(), completions_.data(), cap, sizeof(sixcall_completion));
  if (n < 0) throw RunError("drain: " + CodeText(n));
  if (static_cast<uint32_t>(n) > cap) throw RunError("drain returned " + std::to_string(n) + " of at most " + std::to_string(cap));
  return static_cast<size_t>(n);
}

Slot &Workload::Finish(const sixcall_completion &completion) {
  const uint64_t index = completion.ticket & UINT32_MAX;
  if (index >= slots_.size() || !slots_[index].in_flight || slots_[index].batch.ticket != completion.ticket) {
    throw RunError("a completion for ticket " + std::to_string(completion.ticket) + ", which is not in flight");
  }
  Slot &slot = slots_[index];
  if (completion.rc != SIXCALL_OK) Fail(slot, "ended with " + CodeText(completion.rc));
  const uint32_t n = slot.batch.n;
  for (uint32_t i = 0; i < n; ++i) {
    if (slot.status[i] == SIXCALL_STATUS_HIT) continue;
    std::string what = "status of key " + std::to_string(i) + " is " + std::to_string(slot.status[i]) + ", " +
                       StatusText(slot.status[i]) + ", want 1, hit";
    if (slot.status[i] == SIXCALL_STATUS_MISS) {
      what += "; is the working set of " + std::to_string(key_count_) + " keys of " +
              std::to_string(options_.value_bytes) + " bytes over the connector's capacity?";
    }
    Fail(slot, what);
  }
  if (completion.n_ok != n) Fail(slot, "n_ok is " + std::to_string(completion.n_ok) + ", want " + std::to_string(n));
  return slot;
}

void Workload::Release(Slot &slot) {
  slot.in_flight = false;
  free_.push_back(static_cast<uint32_t>(&slot - slots_.data()));
  --in_flight_;
}

void Workload::Fail(const Slot &slot, const std::string &what) const {
  std::string text = "batch of " + std::to_string(slot.batch.n) + " keys: " + what;
  if (slot.err.code != SIXCALL_OK) {
    text += ": " + std::string(slot.err.msg, std::min<size_t>(slot.err.len, sizeof(slot.err.msg)));
  }
  throw RunError(text);
}

// Runs one pass over the working set. Only the keys in flight need memory, so a
// slot's values are filled before its SET and compared after its GET.
void Workload::ForWorkingSet(uint32_t op) {
  std::vector<uint64_t> first(slots_.size());
  std::vector<uint8_t> want(options_.value_bytes);
  const auto check = [&](Slot &slot) {
    if (op != SIXCALL_OP_GET) return;
    const uint64_t begin = first[static_cast<size_t>(&slot - slots_.data())];
    for (uint32_t i = 0; i < slot.batch.n; ++i) {
      FillValue(begin + i, want.data());
      if (std::memcmp(slot.values + i * options_.value_bytes, want.data(), want.size()) != 0) {
        Fail(slot, "the value of key " + std::to_string(i) + " is not the one that was stored");
      }
    }
  };
  uint64_t next = 0;
  while (next < key_count_ || in_flight_ > 0) {
    while (next < key_count_ && !full()) {
      const auto n = static_cast<uint32_t>(std::min<uint64_t>(options_.batch, key_count_ - next));
      Slot &slot = slots_[free_.back()];
      for (uint32_t i = 0; i < n; ++i) {
        uint8_t *value = slot.values + i * options_.value_bytes;
        if (op == SIXCALL_OP_SET) {
          FillValue(next + i, value);
        } else {
          std::memset(value, 0, options_.value_bytes);
        }
      }
      first[static_cast<size_t>(&slot - slots_.data())] = next;
      if (!Submit(op, next, n, 0)) break;
      next += n;
    }
    WaitAndDrain(check);
  }
}

void Workload::StoreWorkingSet() { ForWorkingSet(SIXCALL_OP_SET); }

void Workload::VerifyWorkingSet() { ForWorkingSet(SIXCALL_OP_GET); }

}  // namespace driver
