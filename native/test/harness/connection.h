// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_TEST_HARNESS_CONNECTION_H
#define SIXCALL_TEST_HARNESS_CONNECTION_H

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "batch.h"
#include "sixcall/connector.h"

namespace sixcall_test {

// Loads the connector at path, for the life of the process, and returns its
// table. Throws std::runtime_error with the loader's words.
const sixcall_api *LoadLibrary(const std::string &path);

// How a connection is opened.
struct OpenOptions {
  std::string config = "{}";
  uint32_t max_inflight = 0;
  uint32_t max_batch = 0;
  uint64_t value_len_hint = 0;
  uint32_t open_timeout_ms = 10000;
  const char *instance = "test";
  int32_t log_level = SIXCALL_LOG_DEBUG;
  Edge edge = Edge::kEnd;
  uint32_t completion_stride = sizeof(sixcall_completion);
  uint32_t drain_cap = 64;
};

// A host with one connection. Every batch lives in guarded memory; every
// completion is checked against the contract (known ticket, once, op, n_ok,
// status bytes, time), and a violation fails the running test.
//
// TrySubmit, Submit, in_flight and log are safe for concurrent use; the rest belongs to one thread.
class Connection {
 public:
  // Opens. After a failure ok() is false and the error is in open_rc and
  // open_error.
  explicit Connection(const sixcall_api *api, OpenOptions options = {});
  Connection(const Connection &) = delete;
  Connection &operator=(const Connection &) = delete;
  // Closes if that was not done, and fails the test if it cannot.
  ~Connection();

  bool ok() const { return conn_ != nullptr; }
  int32_t open_rc() const { return open_rc_; }
  int32_t open_code() const { return open_code_; }
  const std::string &open_error() const { return open_error_; }
  const sixcall_api &api() const { return *api_; }
  sixcall_conn *handle() const { return conn_; }
  int fd() const { return fd_; }

  // Submits and returns what the connector did: 0, or the code of a refusal.
  // The ticket goes to *ticket if that is not NULL.
  int32_t TrySubmit(const Request &request, uint64_t *ticket = nullptr);

  // Submits, throws std::runtime_error on a refusal, and returns the ticket.
  uint64_t Submit(const Request &request);

  // Submits, again after a completion when the queue is full, and waits for the end.
  Result Run(const Request &request);

  // Waits for the ticket, or for every ticket, while draining. Throws
  // std::runtime_error when that takes over a minute.
  Result Wait(uint64_t ticket);
  void WaitForAll();

  // Whether the ticket has been drained.
  bool Finished(uint64_t ticket) const { return finished_.count(ticket) != 0; }

  // Whether the event fd becomes readable within timeout_ms.
  bool Readable(int timeout_ms) const;

  // Drains once, cap records at most, and returns how many came.
  uint32_t Drain(uint32_t cap);

  size_t in_flight() const;

  // Closes and returns the result. After 0 no memory that was lent may be
  // touched any more; after SIXCALL_E_BUSY it stays as it is, for ever.
  int32_t Close(uint32_t grace_ms = 30000);

  // The log so far.
  std::vector<std::string> log() const;

 private:
  // What the log callback needs; it outlives a connection that cannot stop.
  struct Log {
    std::mutex mutex;  // guards lines and closed
    std::vector<std::string> lines;
    bool closed = false;
    int32_t level = 0;
  };

  static void OnLog(void *context, int32_t level, const char *text, uint64_t len);
  void Finish(const sixcall_completion &completion);
  void Retire(std::unique_ptr<LentBatch> batch);

  const sixcall_api *api_;
  OpenOptions options_;
  std::unique_ptr<Log> log_ = std::make_unique<Log>();
  GuardedMemory host_memory_;
  GuardedMemory completions_;
  sixcall_conn *conn_ = nullptr;
  int fd_ = -1;
  int32_t open_rc_ = 0;
  int32_t open_code_ = 0;
  std::string open_error_;

  mutable std::mutex mutex_;  // guards the five below
  std::map<uint64_t, std::unique_ptr<LentBatch>> in_flight_;
  std::map<uint64_t, uint64_t> submitted_ns_;
  std::deque<std::unique_ptr<LentBatch>> retired_;  // closed memory, kept for a while to catch late access
  std::deque<GuardedMemory> retired_structs_;
  uint64_t next_ticket_ = 1;

  std::map<uint64_t, Result> finished_;  // of the draining thread
};

}  // namespace sixcall_test

#endif  // SIXCALL_TEST_HARNESS_CONNECTION_H
