// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_FS_ENGINE_H
#define SIXCALL_FS_ENGINE_H

#include <sys/uio.h>

#include <cstdint>
#include <memory>

#include "counters.h"
#include "settings.h"

namespace fs {

/// O_DIRECT wants the address, the length and the offset to be multiples of this.
/// Devices need 512 to 4096; 4096 suits them all.
constexpr uint64_t kDirectAlign = 4096;  // bytes

/// The bytes of one file, to or from the host's memory, from offset 0 on.
struct Job {
  int fd = -1;
  bool write = false;
  bool direct = false;  ///< fd has O_DIRECT; the engine clears both if the file system refuses
  bool sync = false;    ///< fdatasync when all is written
  uint8_t* data = nullptr;
  uint64_t len = 0;    ///< bytes
  uint64_t first = 0;  ///< bytes of the first transfer; 0 = all
  bool to_end = false;  ///< read: see whether the file is longer than len, at no cost of a call; not with direct or len 0
  uint32_t slot = 0;   ///< below Engine::depth(); set by the engine, free again after Done

  uint64_t done = 0;    ///< bytes moved; below len without an error when the file ended
  bool longer = false;  ///< to_end: it is
  int error = 0;        ///< errno, or 0

  // For the engine: the memory of one transfer, and room for a byte behind len.
  iovec parts[2] = {};
  uint8_t behind = 0;
};

/// Where an engine gets its jobs.
class JobSource {
 public:
  virtual ~JobSource() = default;
  /// Fills job, all but slot; false = there are no more. Must not throw.
  virtual bool Next(Job& job) noexcept = 0;
  /// The job has ended; its memory is not touched any more. Must not throw.
  virtual void Done(Job& job) noexcept = 0;
};

/// Moves bytes between files and memory. Belongs to one thread.
class Engine {
 public:
  virtual ~Engine() = default;
  /// Jobs that can be between Next and Done at the same time.
  virtual uint32_t depth() const = 0;
  /// Runs jobs until there are no more and all have ended.
  virtual void Run(JobSource& source) = 0;
};

/// One pread or pwrite after the other; the parallelism is that of the workers.
std::unique_ptr<Engine> MakeThreadsEngine(Counters& counters);
/// A ring with a sliding window of jobs, bounded by depth and by window_bytes (but
/// always at least one job). Throws Error where io_uring is not available.
std::unique_ptr<Engine> MakeUringEngine(Counters& counters, uint32_t depth, uint64_t window_bytes);

// ---- for engines

/// Moves what is left of a job with blocking calls.
void RunBlocking(Job& job, Counters& counters) noexcept;
/// Takes O_DIRECT off a job whose file system or rest length refused it.
void StopDirect(Job& job) noexcept;
/// Fills parts with the memory of the next transfer and returns how many there
/// are. Stops O_DIRECT at an unaligned rest.
int NextParts(Job& job, Counters& counters) noexcept;
/// Takes the bytes that a transfer moved; 0 = the file ended. False = that was the last.
bool Moved(Job& job, uint64_t bytes) noexcept;

}  // namespace fs

#endif  // SIXCALL_FS_ENGINE_H
