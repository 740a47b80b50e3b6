// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_WORKER_SESSION_H
#define SIXCALL_WORKER_SESSION_H

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "channel.h"
#include "connection.h"
#include "fd.h"
#include "library.h"
#include "memory.h"
#include "pump.h"

namespace sixcall::worker {

/// The requests that run code of the library: each calls it and sends the answer.
/// All methods but Interrupt run on the service thread.
class Session {
 public:
  Session(Channel* channel, MemoryMap* memory) : channel_(channel), memory_(memory) {}

  struct LoadRequest {
    std::string path, host_version;
    LoadOptions options;
    int32_t log_level = 0;
    Pump::Setup pump;  // all but library_event
  };
  void Load(uint64_t id, LoadRequest request);

  struct OpenMessage {
    Fd config;
    uint64_t config_len = 0;
    OpenRequest request;  // all but config
  };
  void Open(uint64_t id, OpenMessage message);

  void Register(uint64_t id, Fd fd, uint64_t base, uint64_t len, uint64_t offset);
  void Unregister(uint64_t id, uint64_t base, uint64_t len, uint64_t handle);
  void Usage(uint64_t id);
  void Stats(uint64_t id);
  void List(uint64_t id, const std::vector<uint8_t>& cursor, uint32_t timeout_ms);
  /// Ends the process.
  [[noreturn]] void Close(uint64_t id, uint32_t grace_ms);

  /// A Close waits: ends a listing that does. Any thread.
  void Interrupt();

 private:
  std::optional<Failure> OpenLibrary(OpenMessage* message);
  std::optional<Failure> StartPump();
  /// Sends Failed and returns false unless the connection is open.
  bool IsOpen(uint64_t id);

  Channel* const channel_;
  MemoryMap* const memory_;
  LogSink* log_ = nullptr;
  std::optional<Library> library_;
  std::optional<LoadRequest> load_;
  std::unique_ptr<Connection> connection_;
  bool open_ = false, open_tried_ = false;
  std::atomic<bool> closing_{false};
  std::atomic<Pump*> pump_{nullptr};  // lives as long as the process
};

}  // namespace sixcall::worker

#endif
