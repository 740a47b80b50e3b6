// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_PROBE_SESSION_H
#define SIXCALL_PROBE_SESSION_H

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "batch.h"
#include "core.h"
#include "library.h"

namespace probe {

struct OpenOptions {
  std::string config = In("params", "{}");
  HostOptions host;
  uint32_t timeout_ms = 10000;
  uint32_t tail = 0;  ///< bytes of a later host's fields behind the args, not zero
  uint32_t stride = sizeof(sixcall_completion);
  uint32_t drain_cap = 64;
  const char* instance = "check";
  std::string what;  ///< says in a crash report which open it was: " with an unknown key"
};

/// What a failed open said.
struct OpenError {
  int32_t rc = 0;
  int32_t code = 0;
  std::string text;
  std::string violation;  ///< what is wrong with the error itself, "" = nothing
  uint64_t took_ms = 0;
};

/// A host with one connection. All that is lent is guarded; every completion is
/// checked, and a violation ends the check with FAIL.
///
/// TrySubmit and Submit are safe for concurrent use; the rest belongs to one thread.
class Session {
 public:
  /// Opens, or fails the check.
  explicit Session(const sixcall_api* api, const OpenOptions& options = OpenOptions());
  Session(const Session&) = delete;
  ~Session();  ///< closes if that was not done

  /// Opens and returns NULL when that fails.
  static std::unique_ptr<Session> TryOpen(const sixcall_api* api, const OpenOptions& options, OpenError* error);

  const sixcall_api* api() const { return api_; }
  sixcall_conn* conn() const { return conn_; }
  int fd() const { return fd_; }
  Host& host() const { return *host_; }
  const sixcall_limits& limits() const { return limits_; }
  /// The alignment that bufs need.
  uint32_t align() const { return limits_.buf_align > 1 ? limits_.buf_align : 1; }
  /// The largest value to use, at most `most`.
  uint64_t ValueLen(uint64_t most) const { return limits_.max_value_len != 0 && limits_.max_value_len < most ? limits_.max_value_len : most; }
  uint32_t Batch(uint32_t most) const { return limits_.max_batch != 0 && limits_.max_batch < most ? limits_.max_batch : most; }
  uint32_t KeyLen(uint32_t most) const { return limits_.max_key_len != 0 && limits_.max_key_len < most ? limits_.max_key_len : most; }

  /// 0, or the code of a refusal.
  int32_t TrySubmit(const Spec& spec, uint64_t* ticket = nullptr);
  /// Prepares all batches, then submits them as fast as it can, so that most are in
  /// flight when it returns. Stops at the first refusal; returns how many were accepted.
  size_t SubmitAll(const std::vector<Spec>& specs);
  /// Submits; drains and tries again while the queue is full; fails on a refusal.
  uint64_t Submit(const Spec& spec);
  Result Wait(uint64_t ticket);
  Result Run(const Spec& spec) { return Wait(Submit(spec)); }
  void WaitAll();
  /// Whether the ticket has been drained; its result is left for Wait.
  bool Finished(uint64_t ticket) const { return finished_.count(ticket) != 0; }

  bool Readable(int timeout_ms) const;
  /// One drain; returns how many came.
  uint32_t Drain(uint32_t cap);
  size_t InFlight() const;
  /// Results are not kept, so that long runs need no memory.
  void Forget(bool on = true) { forget_ = on; }

  /// Closes; after 0 all memory that was lent is inaccessible, after BUSY it is left.
  int32_t Close(uint32_t grace_ms = 10000);

  // ---- one key each; the check fails if the outcome is another one
  void Set(const std::string& key, const std::string& value);
  void ExpectValue(const std::string& key, const std::string& value);
  void ExpectMiss(const std::string& key, uint64_t len = 64);
  uint8_t Exists(const std::string& key);
  uint8_t Get(const std::string& key, uint64_t len, std::string* value);

 private:
  Session() = default;
  bool Open(const sixcall_api* api, const OpenOptions& options, OpenError* error);
  struct Prepared {
    std::unique_ptr<Lent> lent;
    Guarded batch;
    uint64_t ticket;
  };
  Prepared Prepare(const Spec& spec);
  int32_t TrySubmit(Prepared prepared, uint64_t* ticket);
  int32_t Call(uint32_t op, const sixcall_batch* batch, sixcall_page* page);
  void Finish(const sixcall_completion& done);
  void Retire(std::unique_ptr<Lent> lent);

  const sixcall_api* api_ = nullptr;
  OpenOptions options_;
  Host* host_ = nullptr;
  sixcall_conn* conn_ = nullptr;
  int fd_ = -1;
  sixcall_limits limits_ = {};
  Guarded completions_;
  bool forget_ = false;

  mutable std::mutex mu_;  // guards the four below
  std::map<uint64_t, std::unique_ptr<Lent>> in_flight_;
  std::deque<std::unique_ptr<Lent>> retired_;  // kept inaccessible for a while, to catch late touches
  std::deque<Guarded> retired_structs_;
  uint64_t next_ticket_ = 1;

  std::map<uint64_t, Result> finished_;
};

/// Sets, gets, asks for and (if it can) deletes a few values of some sizes, and
/// checks every byte: whether the connection works at all.
void Exercise(Session& session, const char* tag, uint32_t rounds = 1);

}  // namespace probe

#endif  // SIXCALL_PROBE_SESSION_H
