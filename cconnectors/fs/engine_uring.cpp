// SPDX-License-Identifier: Apache-2.0
#include <liburing.h>
#include <time.h>

#include <vector>

#include "engine.h"
#include "fd.h"

namespace fs {

namespace {

class UringEngine final : public Engine {
 public:
  UringEngine(Counters& counters, uint32_t depth, uint64_t window_bytes)
      : counters_(counters), window_bytes_(window_bytes), jobs_(depth) {
    int rc = -EINVAL;
    // One thread submits and reaps: newer kernels save locks and interrupts then.
#if defined(IORING_SETUP_SINGLE_ISSUER) && defined(IORING_SETUP_DEFER_TASKRUN)
    rc = io_uring_queue_init(depth, &ring_, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
#endif
    if (rc == -EINVAL) rc = io_uring_queue_init(depth, &ring_, 0);
    if (rc < 0) throw SystemError("io_uring is not available here (sysctl kernel.io_uring_disabled, seccomp); use \"engine\": \"threads\"", -rc);
    for (uint32_t i = depth; i > 0; i--) free_.push_back(i - 1);
  }
  ~UringEngine() override { io_uring_queue_exit(&ring_); }

  uint32_t depth() const override { return static_cast<uint32_t>(jobs_.size()); }

  void Run(JobSource& source) override {
    Job next;  // taken, but there is no room in the window yet
    bool have_next = false, more = true;
    uint64_t bytes = 0;
    in_flight_ = 0;
    for (;;) {
      while (have_next || (more && !free_.empty())) {
        if (!have_next) {
          next = Job();
          next.slot = free_.back();
          more = have_next = source.Next(next);
          if (!have_next) break;
          free_.pop_back();
        }
        if (in_flight_ > 0 && bytes + next.len > window_bytes_) break;
        have_next = false;
        in_flight_++;
        bytes += next.len;
        Job& job = jobs_[next.slot] = next;
        if (!Start(job)) End(source, job, &bytes);
      }
      if (in_flight_ > 0) {
        Reap(source, &bytes);
      } else if (!more) {
        return;
      }
    }
  }

 private:
  /// Queues the next transfer of a job; false = it has none.
  bool Start(Job& job) {
    if (job.done == job.len) return Sync(job);
    const auto parts = static_cast<unsigned>(NextParts(job, counters_));
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);  // one per slot at most, so there is one
    if (job.write) {
      io_uring_prep_writev(sqe, job.fd, job.parts, parts, job.done);
    } else {
      io_uring_prep_readv(sqe, job.fd, job.parts, parts, job.done);
    }
    io_uring_sqe_set_data(sqe, &job);
    Count(counters_.uring_ops);
    return true;
  }
  bool Sync(Job& job) {
    if (!job.sync) return false;
    job.sync = false;
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    io_uring_prep_fsync(sqe, job.fd, IORING_FSYNC_DATASYNC);
    io_uring_sqe_set_data(sqe, &job);
    Count(counters_.syncs);
    return true;
  }

  void Reap(JobSource& source, uint64_t* bytes) {
    const int rc = io_uring_submit_and_wait(&ring_, 1);
    if (rc < 0 && rc != -EINTR && io_uring_cq_ready(&ring_) == 0) {
      // The kernel is short of something. What is in flight still uses the host's
      // memory, so there is no way out but to try again.
      const timespec pause = {0, 1000000};
      nanosleep(&pause, nullptr);
    }
    io_uring_cqe* cqe;
    while (io_uring_peek_cqe(&ring_, &cqe) == 0) {
      Job& job = *static_cast<Job*>(io_uring_cqe_get_data(cqe));
      const int result = cqe->res;
      io_uring_cqe_seen(&ring_, cqe);
      if (!Advance(job, result)) End(source, job, bytes);
    }
  }

  /// Takes the result of a transfer; true = the job goes on.
  bool Advance(Job& job, int result) {
    const bool was_sync = job.done == job.len;
    if (result == -EINTR) {
      job.sync = job.sync || was_sync;
      return Start(job);
    }
    if (result == -EAGAIN || result == -EOPNOTSUPP) {  // this file cannot be waited for in the ring
      job.sync = job.sync || was_sync;
      RunBlocking(job, counters_);
      return false;
    }
    if (result == -EINVAL && job.direct && !was_sync) {
      Count(counters_.fallback_refused);
      StopDirect(job);
      return Start(job);
    }
    if (result < 0) job.error = -result;
    if (result < 0 || was_sync) return false;
    if (Moved(job, static_cast<uint64_t>(result))) return Start(job);
    return job.error == 0 && job.done == job.len && Sync(job);
  }

  void End(JobSource& source, Job& job, uint64_t* bytes) {
    *bytes -= job.len;
    source.Done(job);
    free_.push_back(job.slot);
    in_flight_--;
  }

  Counters& counters_;
  const uint64_t window_bytes_;
  io_uring ring_ = {};
  std::vector<Job> jobs_;        // by slot
  std::vector<uint32_t> free_;  // slots
  uint32_t in_flight_ = 0;      // jobs started and not ended
};

}  // namespace

std::unique_ptr<Engine> MakeUringEngine(Counters& counters, uint32_t depth, uint64_t window_bytes) {
  return std::make_unique<UringEngine>(counters, depth, window_bytes);
}

}  // namespace fs
