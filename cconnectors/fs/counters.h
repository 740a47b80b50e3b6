// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_FS_COUNTERS_H
#define SIXCALL_FS_COUNTERS_H

#include <atomic>
#include <cstdint>
#include <string>

namespace fs {

using Counter = std::atomic<uint64_t>;

inline void Count(Counter& counter, uint64_t n = 1) { counter.fetch_add(n, std::memory_order_relaxed); }

/// What stats_text shows besides the helper's figures. Safe for concurrent use.
struct Counters {
  Counter direct_ops{0};           // values moved with O_DIRECT
  Counter fallback_unaligned{0};   // wanted O_DIRECT, but address or length is no multiple of 4096
  Counter fallback_refused{0};     // wanted it, but the file system refused
  Counter uring_ops{0};            // transfers by io_uring
  Counter uring_unavailable{0};    // workers that could not have a ring and use threads
  Counter foreign_files{0};        // names of ours that are no file
  Counter changed_reads{0};      // files whose size changed while they were read
  Counter no_space{0};             // sets refused for lack of space
  Counter kept{0};                 // sets that found a value of the same size and kept it
  Counter replaced{0};             // sets that replaced a file
  Counter syncs{0};                // fdatasync and fsync
  Counter temps_removed{0};        // temporary files of dead writers
  Counter scans{0};                // complete counts of the folder
  std::atomic<uint64_t> free_bytes{UINT64_MAX};  // at the last scan or ping; UINT64_MAX = unknown

  /// Appends Prometheus text.
  void Text(std::string& out) const;
};

}  // namespace fs

#endif  // SIXCALL_FS_COUNTERS_H
