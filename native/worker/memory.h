// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_WORKER_MEMORY_H
#define SIXCALL_WORKER_MEMORY_H

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>

#include "text.h"

namespace sixcall::worker {

/// The host's memory that is mapped here. Any thread.
class MemoryMap {
 public:
  /// Orders what Map did before what the calling thread does next. The order is
  /// there already, but it leads through the host: it sends batches into memory
  /// after it has the answer to Map. No checker of data races can see that.
  static void Acquire() { (void)changes_.load(std::memory_order_acquire); }

  /// Maps len bytes of fd at offset.
  std::optional<Failure> Map(int fd, uint64_t len, uint64_t offset, uint64_t* base);
  /// Unmaps what Map has mapped; nothing else.
  std::optional<Failure> Unmap(uint64_t base, uint64_t len);
  /// A failure unless Map has mapped just that.
  std::optional<Failure> Check(uint64_t base, uint64_t len);

 private:
  static std::atomic<uint64_t> changes_;
  std::mutex mutex_;                      // guards mapped_
  std::map<uint64_t, uint64_t> mapped_;  // base to bytes
};

}  // namespace sixcall::worker

#endif
