// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "engine.h"

namespace fs {

void StopDirect(Job& job) noexcept {
  const int flags = fcntl(job.fd, F_GETFL);
  if (flags >= 0) fcntl(job.fd, F_SETFL, flags & ~O_DIRECT);
  job.direct = false;
}

int NextParts(Job& job, Counters& counters) noexcept {
  const uint64_t left = job.len - job.done;
  if (job.direct && (job.done % kDirectAlign != 0 || left % kDirectAlign != 0)) {
    Count(counters.fallback_unaligned);
    StopDirect(job);
  }
  constexpr uint64_t kMost = 1u << 30;  // the kernel moves at most 2 GiB - 4 KiB at once
  const uint64_t len = std::min(job.done == 0 && job.first != 0 ? std::min(job.first, left) : left, kMost);
  job.parts[0] = {job.data + job.done, len};
  job.parts[1] = {&job.behind, 1};
  return job.to_end && len == left ? 2 : 1;
}

bool Moved(Job& job, uint64_t bytes) noexcept {
  if (bytes == 0) {
    job.error = job.write ? EIO : 0;
    return false;
  }
  job.done += bytes;
  job.longer = job.done > job.len;
  if (job.longer) job.done = job.len;
  return job.done < job.len;
}

void RunBlocking(Job& job, Counters& counters) noexcept {
  bool more = job.done < job.len;
  while (more) {
    const int parts = NextParts(job, counters);
    const auto at = static_cast<off_t>(job.done);
    const ssize_t n = job.write ? pwritev(job.fd, job.parts, parts, at) : preadv(job.fd, job.parts, parts, at);
    if (n >= 0) {
      more = Moved(job, static_cast<uint64_t>(n));
    } else if (errno == EINVAL && job.direct) {
      Count(counters.fallback_refused);
      StopDirect(job);
    } else if (errno != EINTR) {
      job.error = errno;
    }
    if (job.error != 0) return;
  }
  if (job.sync) {
    Count(counters.syncs);
    if (fdatasync(job.fd) != 0) job.error = errno;
  }
}

namespace {

class ThreadsEngine final : public Engine {
 public:
  explicit ThreadsEngine(Counters& counters) : counters_(counters) {}
  uint32_t depth() const override { return 1; }
  void Run(JobSource& source) override {
    for (;;) {
      Job job;
      if (!source.Next(job)) return;
      RunBlocking(job, counters_);
      source.Done(job);
    }
  }

 private:
  Counters& counters_;
};

}  // namespace

std::unique_ptr<Engine> MakeThreadsEngine(Counters& counters) { return std::make_unique<ThreadsEngine>(counters); }

}  // namespace fs
