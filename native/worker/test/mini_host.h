// SPDX-License-Identifier: Apache-2.0
// A host that starts the real program and speaks its protocol, for tests. One
// thread. Everything that waits gives up after a minute and throws.
#ifndef SIXCALL_WORKER_TEST_MINI_HOST_H
#define SIXCALL_WORKER_TEST_MINI_HOST_H

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../fd.h"
#include "../ring.h"
#include "../wire.h"
#include "sixcall/connector.h"

namespace worker_test {

namespace wire = sixcall::wire;
using sixcall::worker::Fd;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

std::string MemLibrary();
std::string FaultyLibrary(const std::string& what = "");  // "crash_in_entry": see faulty_connector.cpp

/// A program that was started, with its stderr in a file. Killed and reaped with
/// its owner, which fails the test when a sanitizer had something to say.
class Process {
 public:
  Process() = default;
  Process(std::vector<std::string> argv, int keep_fd, int as_fd, bool leave_stray_fd = false);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  /// What it wrote to stdout and stderr so far.
  std::string Output() const;
  void Kill(int signal);
  /// Waits for its end and describes it: "exit 4", "signal 11".
  std::string End();
  bool Ended();
  /// A sanitizer's report is what the test wants.
  void ExpectReport() { report_expected_ = true; }

 private:
  void CheckForReports() const;

  bool report_expected_ = false;
  pid_t pid_ = -1;
  Fd pidfd_, output_;
  std::string end_;
};

/// A message of the worker.
struct Answer {
  std::vector<uint8_t> bytes;
  const wire::Message* message() const { return wire::GetMessage(bytes.data()); }
  uint64_t id() const { return message()->id(); }
  template <typename T>
  const T* As() const {
    return message()->body_type() == wire::BodyTraits<T>::enum_value ? static_cast<const T*>(message()->body()) : nullptr;
  }
  /// "code -11: text" when it is Failed, else "".
  std::string Failure() const;
};

/// Memory that both have mapped.
struct Shared {
  Fd fd;
  uint8_t* local = nullptr;
  uint64_t len = 0;
  uint64_t base = 0;    // in the worker
  uint64_t handle = 0;  // of the connector

  Shared() = default;
  Shared(Shared&& other) noexcept { *this = static_cast<Shared&&>(other); }
  Shared& operator=(Shared&& other) noexcept;
  ~Shared();
};

/// One batch in shared memory.
struct Batch {
  uint64_t ticket = 0;
  uint32_t op = 0;
  uint32_t n = 0;
  uint8_t* status = nullptr;
  uint64_t* lens = nullptr;
  sixcall_err* err = nullptr;
  std::vector<uint8_t*> bufs;
  std::string Statuses() const;  // "11103", one digit per key, 'u' = unset
};

struct KeyValue {
  std::string key;
  uint64_t len = 0;
};

struct HostOptions {
  std::vector<std::string> wrapper;  // before the program
  bool leave_stray_fd = false;
  bool allow_exec = false, core_dumps = false, keep_handlers = false, with_identity = true;
  uint64_t memory_limit = 0;
  uint32_t spin_ns = 0;
  int32_t log_level = SIXCALL_LOG_DEBUG;
  uint32_t sq_entries = 64, cq_entries = 128;
};

class MiniHost {
 public:
  /// Starts the program and takes its Hello.
  explicit MiniHost(HostOptions options = {});

  // Control.
  Answer Load(const std::string& library);
  Answer Open(const std::string& config);
  /// Load and open, which must work.
  void Connect(const std::string& library, const std::string& config = "{}");
  Answer Map(Shared* shared, bool register_it);
  Answer Unmap(const Shared& shared);
  Answer Ping();
  Answer Close(uint32_t grace_ms = 10000);

  /// Sends a request and waits for its answer.
  template <typename T>
  Answer Ask(flatbuffers::FlatBufferBuilder& builder, flatbuffers::Offset<T> body, const std::vector<int>& fds = {}) {
    return WaitFor(Send(builder, body, fds));
  }
  template <typename T>
  uint64_t Send(flatbuffers::FlatBufferBuilder& builder, flatbuffers::Offset<T> body, const std::vector<int>& fds = {}) {
    const uint64_t id = ++last_id_;
    wire::FinishMessageBuffer(builder, wire::CreateMessage(builder, id, wire::BodyTraits<T>::enum_value, body.Union()));
    SendBytes(builder.GetBufferPointer(), builder.GetSize(), fds);
    return id;
  }
  uint64_t SendLoad(const std::string& library, const std::vector<int>& fds);
  uint64_t SendLoad(const std::string& library);
  uint64_t SendOpen(const std::string& config);
  uint64_t SendPing();
  void SendBytes(const void* bytes, size_t len, const std::vector<int>& fds = {});
  Answer WaitFor(uint64_t id);
  bool Answered(uint64_t id);  // without waiting
  /// Waits until a log line contains text.
  void WaitForLog(const std::string& text);

  // Batches. Keys and values are in memory of the host's.
  Batch Submit(uint32_t op, const std::vector<KeyValue>& keys, uint8_t fill = 0);
  void SubmitRaw(const sixcall_submission& submission);
  void Cancel(uint64_t ticket);
  sixcall_ring_completion WaitForCompletion();
  sixcall_ring_completion Run(Batch* batch, uint32_t op, const std::vector<KeyValue>& keys, uint8_t fill = 0);
  bool CompletionReady() const;
  /// Waits until the worker's pump is inside the call.
  void WaitForCall(uint32_t call);
  void ResetArena() { arena_used_ = 0; }

  Process& process() { return *process_; }
  sixcall_ring* ring() { return ring_; }
  Fd& socket() { return socket_; }
  const Answer& hello() const { return hello_; }
  const std::vector<std::string>& logs() const { return logs_; }
  uint64_t dropped_logs() const { return dropped_logs_; }
  uint64_t wakes() const { return wakes_; }
  int ring_fd() const { return ring_memory_.fd.get(); }
  int sq_event() const { return sq_event_.get(); }
  int cq_event() const { return cq_event_.get(); }

 private:
  bool Receive(int timeout_ms, Answer* out);
  void MakeRing();
  uint8_t* Take(uint64_t len, uint64_t align = 64);
  uint64_t Remote(const void* local) const;

  HostOptions options_;
  Fd socket_;
  std::unique_ptr<Process> process_;
  Answer hello_;
  uint64_t last_id_ = 0, last_ticket_ = 0;
  bool gone_ = false;  // the worker's end of the socket is closed
  std::vector<Answer> answers_;  // that nobody has asked for yet
  std::vector<std::string> logs_;
  uint64_t dropped_logs_ = 0;

  Shared ring_memory_;
  sixcall_ring* ring_ = nullptr;
  Fd sq_event_, cq_event_;
  uint32_t sq_tail_ = 0, cq_head_ = 0;
  uint64_t wakes_ = 0;  // eventfd writes to the worker
  Shared arena_;
  uint64_t arena_used_ = 0;
};

Shared MakeShared(uint64_t len);

}  // namespace worker_test

#endif
