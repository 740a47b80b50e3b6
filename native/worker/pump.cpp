// SPDX-License-Identifier: Apache-2.0
#include "pump.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "memory.h"

namespace sixcall::worker {
namespace {

static_assert(sizeof(sixcall_completion) == sizeof(sixcall_ring_completion));
static_assert(offsetof(sixcall_completion, done_ns) == offsetof(sixcall_ring_completion, done_ns));

constexpr uint32_t kHeadStep = 16;                   // submissions taken between two updates of the head
constexpr int kRetryMs = 10;                         // AGAIN from a library that has nothing in flight
constexpr uint32_t kEmptyDrains = 64;                // in a row, before a library that cries wolf is asked less often
constexpr uint64_t kSqEvent = 0, kLibraryEvent = 1;  // epoll data

// Fills the record behind those that the library may write.
constexpr sixcall_completion kCanary = {0xA5C35AA5C33C5A3C, 0x5AC33CA5, 0x3C5AA5C3, 0xC35A3CA5, 0x5A3CC3A5, 0x3CA55AC3A53CC35A};

void PauseMs() {
  const timespec ms = {0, 1000000};
  nanosleep(&ms, nullptr);
}

void Relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  asm volatile("yield");
#endif
}

}  // namespace

Pump::Pump(Connection* connection, Setup setup)
    : connection_(connection), conn_(connection->conn()), ring_(setup.view.ring), setup_(std::move(setup)) {
  const sixcall_api& api = connection->api();
  const Library& library = connection->library();
  slots_[SIXCALL_OP_GET] = api.submit_batch_get;
  slots_[SIXCALL_OP_SET] = api.submit_batch_set;
  slots_[SIXCALL_OP_EXISTS] = api.submit_batch_exists;
  if (library.Has(SIXCALL_CAP_DELETE)) slots_[SIXCALL_OP_DELETE] = api.submit_batch_delete;
  if (library.Has(SIXCALL_CAP_PING)) slots_[SIXCALL_OP_PING] = api.submit_ping;
  refused_.reserve(setup_.view.sq_mask + 1);
}

bool Pump::Start() {
  epoll_ = Fd(epoll_create1(EPOLL_CLOEXEC));
  epoll_event sq = {}, library = {};
  sq.events = EPOLLIN | EPOLLET;
  sq.data.u64 = kSqEvent;
  library.events = EPOLLIN;
  library.data.u64 = kLibraryEvent;
  if (!epoll_ || epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, setup_.sq_event.get(), &sq) != 0 ||
      epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, setup_.library_event.get(), &library) != 0) {
    return false;
  }
  try {
    thread_ = std::thread([this]() noexcept { Run(); });  // what a library throws through here ends the process
    pthread_setname_np(thread_.native_handle(), "sixcall:pump");
  } catch (const std::system_error& error) {
    errno = error.code().value();
    return false;
  }
  return true;
}

bool Pump::Stop(std::chrono::milliseconds grace) {
  stop_.store(true);
  WakeSelf();
  {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!changed_.wait_for(lock, grace, [this] { return ended_; })) return false;
  }
  thread_.join();
  return true;
}

void Pump::Run() {
  UseSignalStack();
  while (!stop_.load(std::memory_order_relaxed)) {
    bool worked = TakeSubmissions();
    if (lists_waiting_.load(std::memory_order_relaxed)) SubmitLists();
    if (library_ready_) {
      const uint32_t n = Drain();
      library_ready_ = n == kDrainCap;  // a full one means that more may wait
      if (n > 0 && !held_.empty()) SubmitHeld();
      worked = true;
    }
    if (!refused_.empty()) {
      Publish(refused_.data(), static_cast<uint32_t>(refused_.size()));
      refused_.clear();
    }
    if (worked) continue;
    if (setup_.spin_ns == 0 || !Spin()) Sleep();
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

bool Pump::TakeSubmissions() {
  const uint32_t tail = __atomic_load_n(&ring_->sq_tail, __ATOMIC_ACQUIRE);
  if (sq_head_ == tail) return false;
  MemoryMap::Acquire();
  do {
    const sixcall_submission s = setup_.view.sq[sq_head_ & setup_.view.sq_mask];
    if (++sq_head_ % kHeadStep == 0) __atomic_store_n(&ring_->sq_head, sq_head_, __ATOMIC_RELEASE);
    if (s.op == SIXCALL_RING_CANCEL) {
      Cancel(s.ticket);
    } else if (held_.empty()) {
      Submit(s);
    } else {
      held_.push_back(s);
    }
  } while (sq_head_ != tail);
  __atomic_store_n(&ring_->sq_head, sq_head_, __ATOMIC_RELEASE);
  return true;
}

void Pump::Submit(const sixcall_submission& s) {
  const SubmitSlot slot = s.op < slots_.size() ? slots_[s.op] : nullptr;
  if (slot == nullptr) return Refuse(s, SIXCALL_E_UNSUPPORTED, SIXCALL_STATUS_ERROR);
  const sixcall_batch batch = {sizeof(sixcall_batch), 0, s.ticket, s.n, sizeof(sixcall_item), reinterpret_cast<const sixcall_item*>(s.items),
                               reinterpret_cast<uint8_t*>(s.status), reinterpret_cast<uint64_t*>(s.value_lens), reinterpret_cast<sixcall_err*>(s.err),
                               s.deadline_ns, s.mem_handle};
  const int32_t rc = Call(SIXCALL_CALL_SUBMIT | s.op, s.ticket, [&] { return slot(conn_, &batch); });
  if (rc >= 0) {
    in_flight_++;
  } else if (rc == SIXCALL_E_AGAIN) {
    held_.push_front(s);  // it is the oldest: nothing is submitted while something is held
  } else {
    Refuse(s, rc, SIXCALL_STATUS_ERROR);
  }
}

void Pump::SubmitHeld() {
  while (!held_.empty()) {
    const sixcall_submission s = held_.front();
    held_.pop_front();
    const size_t left = held_.size();
    Submit(s);
    if (held_.size() > left) return;  // again AGAIN
  }
}

void Pump::Cancel(uint64_t ticket) {
  for (auto it = held_.begin(); it != held_.end(); ++it) {
    if (it->ticket != ticket) continue;
    const sixcall_submission s = *it;
    held_.erase(it);
    return Refuse(s, SIXCALL_E_CANCELLED, SIXCALL_STATUS_CANCELLED);
  }
  if (!connection_->library().Has(SIXCALL_CAP_CANCEL)) return;
  Call(SIXCALL_CALL_SUBMIT | SIXCALL_RING_CANCEL, ticket, [&] { return connection_->api().cancel(conn_, ticket); });
}

/// Completes a submission that the library did not take.
void Pump::Refuse(const sixcall_submission& s, int32_t rc, uint8_t status) {
  auto* bytes = reinterpret_cast<uint8_t*>(s.status);
  for (uint32_t i = 0; bytes != nullptr && i < s.n; i++) {
    if (bytes[i] == SIXCALL_STATUS_UNSET) bytes[i] = status;
  }
  refused_.push_back({s.ticket, rc, s.op, 0, 0, NowNs(CLOCK_MONOTONIC)});
}

uint32_t Pump::Drain() {
  drained_[kDrainCap] = kCanary;
  const int32_t n = Call(SIXCALL_CALL_DRAIN, 0, [&] { return connection_->api().drain_completions(conn_, drained_.data(), kDrainCap, sizeof(sixcall_completion)); });
  const char* path = connection_->library().path.c_str();
  if (n < 0) Die(kExitContract, "drain_completions of \"%s\" returned %d", path, n);
  if (static_cast<uint32_t>(n) > kDrainCap) Die(kExitContract, "drain_completions of \"%s\" returned %d, but was given room for %u", path, n, kDrainCap);
  if (std::memcmp(&drained_[kDrainCap], &kCanary, sizeof(kCanary)) != 0) {
    Die(kExitContract, "drain_completions of \"%s\" wrote past the %u records that it was given", path, kDrainCap);
  }
  if (n == 0) {
    if (++empty_drains_ > kEmptyDrains) PauseMs();
    return 0;
  }
  empty_drains_ = 0;
  const auto count = static_cast<uint32_t>(n);
  in_flight_ -= std::min<uint64_t>(in_flight_, count);  // a library may complete what nobody submitted
  uint32_t kept = count;
  if (!listings_.empty()) {
    kept = 0;
    for (uint32_t i = 0; i < count; i++) {
      if (!TakeListing(drained_[i])) drained_[kept++] = drained_[i];
    }
  }
  Publish(drained_.data(), kept);
  return count;
}

/// Copies records into the completion ring and wakes the host, once. Waits while
/// the ring is full.
void Pump::Publish(const sixcall_completion* records, uint32_t n) {
  const RingView& view = setup_.view;
  while (n > 0) {
    const uint32_t head = __atomic_load_n(&ring_->cq_head, __ATOMIC_ACQUIRE);
    const uint32_t room = std::min(n, view.cq_entries - (cq_tail_ - head));
    for (uint32_t i = 0; i < room; i++) std::memcpy(&view.cq[(cq_tail_ + i) & (view.cq_entries - 1)], &records[i], sizeof(records[i]));
    if (room > 0) {
      cq_tail_ += room;
      Put(&ring_->completions, completions_ += room);
      // The exchange must not be seen before the tail.
      __atomic_store_n(&ring_->cq_tail, cq_tail_, __ATOMIC_SEQ_CST);
      if (__atomic_exchange_n(&ring_->cq_need_wake, 0, __ATOMIC_SEQ_CST) == 1) {
        const uint64_t one = 1;
        if (write(setup_.cq_event.get(), &one, sizeof(one)) < 0 && errno == EBADF) {
          Die(kExitContract, "the completion eventfd was closed in this process: the library closes descriptors that are not its own");
        }
      }
    }
    records += room;
    n -= room;
    if (n == 0) return;
    if (stop_.load(std::memory_order_relaxed)) return;  // nobody reads them any more
    PauseMs();
  }
}

/// Looks again for a while. True: there is something to do.
bool Pump::Spin() {
  const uint64_t until = NowNs(CLOCK_MONOTONIC) + setup_.spin_ns;
  do {
    for (int i = 0; i < 64; i++) {
      if (__atomic_load_n(&ring_->sq_tail, __ATOMIC_ACQUIRE) != sq_head_) return true;
      Relax();
    }
    if (in_flight_ > 0 && Poll(0)) return true;
    if (lists_waiting_.load(std::memory_order_relaxed) || stop_.load(std::memory_order_relaxed)) return true;
  } while (NowNs(CLOCK_MONOTONIC) < until);
  return false;
}

void Pump::Sleep() {
  // Says that it is about to sleep, then looks once more: see ring.h.
  __atomic_store_n(&ring_->sq_need_wake, 1, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&ring_->sq_tail, __ATOMIC_SEQ_CST) == sq_head_ && !lists_waiting_.load() && !stop_.load()) {
    const bool retry = !held_.empty() && in_flight_ == 0;
    Poll(retry ? kRetryMs : -1);
    if (retry && !library_ready_) SubmitHeld();
  }
  Put(&ring_->sq_need_wake, 0u);
}

/// Waits for events. True: the library has completions.
bool Pump::Poll(int timeout_ms) {
  epoll_event events[2];
  const int n = epoll_wait(epoll_.get(), events, 2, timeout_ms);
  if (n < 0 && errno != EINTR) {
    Die(kExitContract, "epoll: %s: the library closes descriptors that are not its own", ErrnoText(errno).c_str());
  }
  for (int i = 0; i < n; i++) {
    if (events[i].data.u64 == kLibraryEvent) library_ready_ = true;
  }
  return library_ready_;
}

void Pump::WakeSelf() {
  const uint64_t one = 1;
  if (write(setup_.sq_event.get(), &one, sizeof(one)) < 0) return;  // full: then it is awake
}

}  // namespace sixcall::worker
