// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_WORKER_PUMP_H
#define SIXCALL_WORKER_PUMP_H

#include <time.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "connection.h"
#include "fd.h"
#include "ring_view.h"
#include "sixcall/connector.h"

namespace sixcall::worker {

/// One submit_list and the memory that is lent for it. The pump keeps it until
/// the library has completed it.
struct Listing {
  explicit Listing(size_t cap) : buf((cap + 7) / 8) {}

  sixcall_batch batch = {};
  sixcall_page page = {};
  sixcall_err err = {};
  std::vector<uint64_t> buf;  // aligned as the ABI wants it
  int32_t rc = 0;
  bool done = false;  // guarded by the pump's mutex, as is rc
};

/// The thread that serves the rings: it submits what the host put into one,
/// drains the library, and publishes the completions in the other.
///
/// It sleeps in epoll on two descriptors: the host's eventfd, edge-triggered so
/// that nobody need read it, and a dup of the library's event fd.
class Pump {
 public:
  struct Setup {
    RingView view;
    Fd sq_event, cq_event;  // of the host
    Fd library_event;       // a dup
    uint32_t spin_ns = 0;   // how long it looks again before it sleeps
  };

  Pump(Connection* connection, Setup setup);
  Pump(const Pump&) = delete;
  Pump& operator=(const Pump&) = delete;

  /// False: errno says why not.
  bool Start();
  /// Asks the thread to end and waits for it. False: it was still inside the
  /// library after grace, and the pump must live as long as the process.
  bool Stop(std::chrono::milliseconds grace);

  /// Submits a listing and waits until it is done, `until` has come or stop is
  /// set. False: it is not done; its memory stays lent.
  bool List(const std::shared_ptr<Listing>& listing, std::optional<std::chrono::steady_clock::time_point> until);
  /// Ends a List that waits, and all later ones.
  void CancelLists();

  /// What the pump is in at the moment, for a sentence.
  const char* call() const { return CallName(__atomic_load_n(&ring_->call, __ATOMIC_RELAXED)); }

 private:
  using SubmitSlot = int32_t (*)(sixcall_conn*, const sixcall_batch*);

  void Run();
  bool TakeSubmissions();
  void Submit(const sixcall_submission& s);
  void SubmitHeld();
  void Cancel(uint64_t ticket);
  void Refuse(const sixcall_submission& s, int32_t rc, uint8_t status);
  void SubmitLists();
  void FinishListing(const std::shared_ptr<Listing>& listing, int32_t rc);
  bool TakeListing(const sixcall_completion& record);
  uint32_t Drain();
  void Publish(const sixcall_completion* records, uint32_t n);
  bool Spin();
  void Sleep();
  bool Poll(int timeout_ms);
  void WakeSelf();

  /// Calls the library, with what the host's reports need written down around it.
  template <typename F>
  int32_t Call(uint32_t call, uint64_t ticket, F&& f) {
    Put(&ring_->call_ticket, ticket);
    Put(&ring_->call_since_ns, NowNs(CLOCK_MONOTONIC_COARSE));  // ticks of some ms, at a quarter of the cost
    __atomic_store_n(&ring_->call, call, __ATOMIC_RELEASE);
    const int32_t rc = connection_->Locked(f);
    Put(&ring_->calls, ++calls_);
    __atomic_store_n(&ring_->call, SIXCALL_CALL_NONE, __ATOMIC_RELEASE);
    return rc;
  }

  template <typename T>
  static void Put(T* where, T value) {
    __atomic_store_n(where, value, __ATOMIC_RELAXED);
  }
  static uint64_t NowNs(clockid_t clock) {
    timespec now;
    clock_gettime(clock, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec);
  }

  static constexpr uint32_t kDrainCap = 256;  // completions that one call takes
  static constexpr uint64_t kListingBit = uint64_t{1} << 63;  // of tickets; the host's are below it

  Connection* const connection_;
  sixcall_conn* const conn_;
  sixcall_ring* const ring_;
  const Setup setup_;
  std::array<SubmitSlot, 8> slots_ = {};  // by operation, NULL = not implemented
  Fd epoll_;

  // The pump thread's own.
  uint32_t sq_head_ = 0, cq_tail_ = 0;
  uint64_t calls_ = 0, completions_ = 0;
  uint64_t in_flight_ = 0;               // accepted by the library and not drained
  std::deque<sixcall_submission> held_;  // refused with AGAIN, and what came behind
  std::vector<sixcall_completion> refused_;
  bool library_ready_ = false;
  uint32_t empty_drains_ = 0;  // in a row
  std::map<uint64_t, std::shared_ptr<Listing>> listings_;  // by ticket, lent to the library
  uint64_t last_listing_ = 0;
  std::array<sixcall_completion, kDrainCap + 1> drained_;

  std::atomic<bool> stop_{false};
  std::atomic<bool> lists_waiting_{false};
  std::thread thread_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Listing>> new_lists_;
  bool lists_cancelled_ = false;
  bool ended_ = false;
};

}  // namespace sixcall::worker

#endif
