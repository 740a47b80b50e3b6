// SPDX-License-Identifier: Apache-2.0
//
// A complete connector in C++11 that knows only the frozen header: values in
// memory, one worker thread, submits in parallel.
#include "sixcall/connector_v1.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace {

struct Work {
  sixcall_batch batch;
  uint32_t op;
};

class Memory {
 public:
  Memory() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    sigset_t all, before;
    sigfillset(&all);
    for (const int keep : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS}) sigdelset(&all, keep);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    worker_ = std::thread(&Memory::Run, this);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    pthread_setname_np(worker_.native_handle(), "sixcall:frozen");
  }

  ~Memory() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    wake_.notify_one();
    worker_.join();
    ::close(fd_);
  }

  int fd() const { return fd_; }

  int32_t Submit(const sixcall_batch &batch, uint32_t op) {
    if (batch.n == 0 || batch.items == nullptr || batch.status == nullptr || batch.flags != 0 ||
        batch.item_stride < sizeof(sixcall_item)) {
      return SIXCALL_E_INVAL;
    }
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      queue_.push_back(Work{batch, op});
    }
    wake_.notify_one();
    return SIXCALL_OK;
  }

  int32_t Drain(sixcall_completion *out, uint32_t cap, uint32_t stride) {
    if (out == nullptr || stride < sizeof(*out)) return SIXCALL_E_INVAL;
    uint64_t count;
    const ssize_t cleared = read(fd_, &count, sizeof(count));
    static_cast<void>(cleared);
    const std::lock_guard<std::mutex> lock(mutex_);
    uint32_t n = 0;
    for (; n < cap && !done_.empty(); ++n, done_.pop_front()) {
      std::memcpy(reinterpret_cast<uint8_t *>(out) + size_t{stride} * n, &done_.front(), sizeof(*out));
    }
    if (!done_.empty()) Signal();
    return static_cast<int32_t>(n);
  }

 private:
  void Signal() {
    const uint64_t one = 1;
    const ssize_t written = write(fd_, &one, sizeof(one));
    static_cast<void>(written);
  }

  void Run() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return stop_ || !queue_.empty(); });
      if (stop_) return;
      const Work work = queue_.front();
      queue_.pop_front();
      lock.unlock();
      const sixcall_completion done = Do(work);
      lock.lock();
      done_.push_back(done);
      Signal();
    }
  }

  sixcall_completion Do(const Work &work) {
    sixcall_completion done = {};
    done.ticket = work.batch.ticket;
    done.op = work.op;
    for (uint32_t i = 0; i < work.batch.n; ++i) {
      const auto *at = reinterpret_cast<const uint8_t *>(work.batch.items) + size_t{work.batch.item_stride} * i;
      work.batch.status[i] = DoOne(*reinterpret_cast<const sixcall_item *>(at), work.op);
      done.n_ok += work.batch.status[i] == SIXCALL_STATUS_HIT;
    }
    return done;
  }

  uint8_t DoOne(const sixcall_item &item, uint32_t op) {
    const std::string key(reinterpret_cast<const char *>(item.key), item.key_len);
    if (op == SIXCALL_OP_SET) {
      values_[key] = std::string(static_cast<const char *>(item.buf), item.len);
      return SIXCALL_STATUS_HIT;
    }
    const auto found = values_.find(key);
    if (found == values_.end()) return SIXCALL_STATUS_MISS;
    if (op == SIXCALL_OP_EXISTS) return SIXCALL_STATUS_HIT;
    if (found->second.size() != item.len) return SIXCALL_STATUS_SIZE;
    std::memcpy(item.buf, found->second.data(), item.len);
    return SIXCALL_STATUS_HIT;
  }

  const int fd_;
  std::map<std::string, std::string> values_;  // of the worker alone
  std::mutex mutex_;                           // guards the three below
  std::deque<Work> queue_;
  std::deque<sixcall_completion> done_;
  bool stop_ = false;
  std::condition_variable wake_;
  std::thread worker_;
};

Memory &Of(sixcall_conn *self) { return *reinterpret_cast<Memory *>(self); }

int32_t Open(const sixcall_host *, const sixcall_open_args *, sixcall_conn **out, sixcall_err *err) {
  try {
    *out = reinterpret_cast<sixcall_conn *>(new Memory);
    return SIXCALL_OK;
  } catch (...) {
    static const char kText[] = "no memory or no thread";
    err->code = SIXCALL_E_NOMEM;
    err->len = sizeof(kText) - 1;
    std::memcpy(err->msg, kText, sizeof(kText));
    return SIXCALL_E_NOMEM;
  }
}

int32_t EventFd(sixcall_conn *self) { return Of(self).fd(); }
int32_t Get(sixcall_conn *self, const sixcall_batch *batch) { return Of(self).Submit(*batch, SIXCALL_OP_GET); }
int32_t Set(sixcall_conn *self, const sixcall_batch *batch) { return Of(self).Submit(*batch, SIXCALL_OP_SET); }
int32_t Exists(sixcall_conn *self, const sixcall_batch *batch) { return Of(self).Submit(*batch, SIXCALL_OP_EXISTS); }

int32_t Drain(sixcall_conn *self, sixcall_completion *out, uint32_t cap, uint32_t stride) {
  return Of(self).Drain(out, cap, stride);
}

int32_t Close(sixcall_conn *self, uint32_t) {
  delete &Of(self);
  return SIXCALL_OK;
}

const sixcall_api kApi = {sizeof(sixcall_api),
                          SIXCALL_ABI_MAJOR,
                          SIXCALL_ABI_MINOR,
                          SIXCALL_CAP_READ_YOUR_WRITES,
                          0,
                          SIXCALL_THREADS_PARALLEL,
                          0,
                          "frozen_cpp",
                          "1.0.0",
                          "Sixcall",
                          nullptr,
                          Open,
                          EventFd,
                          Get,
                          Set,
                          Exists,
                          Drain,
                          Close,
                          nullptr,
                          nullptr,
                          nullptr,
                          nullptr,
                          nullptr,
                          nullptr,
                          nullptr,
                          nullptr,
                          nullptr,
                          nullptr};

}  // namespace

SIXCALL_NOTE(SIXCALL_CAP_READ_YOUR_WRITES, "Sixcall", "frozen_cpp", "1.0.0");

SIXCALL_EXPORT const sixcall_api *sixcall_connector_entry_v1(const sixcall_host *) { return &kApi; }
