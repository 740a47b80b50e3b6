// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_DRIVER_WORKLOAD_H
#define SIXCALL_DRIVER_WORKLOAD_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "library.h"
#include "options.h"
#include "sixcall/connector.h"

namespace driver {

// One batch that can be in flight, with everything it lends to the connector.
struct Slot {
  sixcall_batch batch = {};
  std::vector<sixcall_item> items;
  std::vector<uint8_t> status;
  sixcall_err err = {};
  uint8_t *values = nullptr;  // batch times value_bytes
  uint64_t submitted_ns = 0;
  uint32_t generation = 0;  // upper half of the ticket, so that an old echo is noticed
  bool in_flight = false;
};

// The keys, the memory and the batches of a run, driven by one thread.
class Workload {
 public:
  Workload(const Options &options, Connection &connection);
  Workload(const Workload &) = delete;
  Workload &operator=(const Workload &) = delete;

  uint64_t keys() const { return key_count_; }

  // Stores the whole working set and waits for it.
  void StoreWorkingSet();

  // Loads the whole working set and compares every byte.
  void VerifyWorkingSet();

  // Submits the next n keys on a free slot. False when the connector's queue is
  // full. Throws RunError on any other refusal.
  bool Submit(uint32_t op, uint64_t first_key, uint32_t n, uint64_t now_ns);

  // Waits on the event fd and drains once. Calls done(slot) for each end that
  // has passed the checks; its status bytes, values and submitted_ns are still
  // in place. Throws RunError on a failed check, or when nothing ends in time.
  template <typename Done>
  void WaitAndDrain(Done &&done) {
    Poll();
    const size_t n = Drain();
    for (size_t i = 0; i < n; ++i) {
      Slot &slot = Finish(completions_[i]);
      done(slot);
      Release(slot);
    }
  }

  uint32_t in_flight() const { return in_flight_; }
  bool full() const { return free_.empty(); }

 private:
  struct Unmap {
    size_t bytes;
    void operator()(uint8_t *memory) const;
  };
  using Memory = std::unique_ptr<uint8_t, Unmap>;

  static Memory Map(uint64_t bytes, const char *what);
  void ForWorkingSet(uint32_t op);
  const uint8_t *Key(uint64_t index) const;
  void FillValue(uint64_t key, uint8_t *out) const;
  void Poll() const;
  size_t Drain();
  Slot &Finish(const sixcall_completion &completion);
  void Release(Slot &slot);
  [[noreturn]] void Fail(const Slot &slot, const std::string &what) const;

  const Options &options_;
  Connection &connection_;
  uint64_t key_count_;
  Memory key_bytes_;
  Memory values_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;  // slots that are not in flight
  std::vector<sixcall_completion> completions_;
  uint32_t in_flight_ = 0;
};

uint64_t NowNs();

}  // namespace driver

#endif  // SIXCALL_DRIVER_WORKLOAD_H
