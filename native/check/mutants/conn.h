// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_MUTANT_CONN_H
#define SIXCALL_MUTANT_CONN_H

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "config.h"
#include "sixcall/connector.h"
#include "store.h"

namespace mutant {

constexpr uint32_t kMaxBatch = 4096;
constexpr uint32_t kMaxKeyLen = 1024;
constexpr uint64_t kMaxValueLen = 64 << 20;

/// A batch that was accepted.
struct Record {
  sixcall_batch batch;
  sixcall_page* page;
  uint32_t op;
  bool cancelled = false;  // guarded by the handle's mu

  const sixcall_item& Item(uint32_t i) const;
};

uint64_t NowNs();

}  // namespace mutant

/// The handle.
struct sixcall_conn {
  mutant::Config config;
  const sixcall_host* host = nullptr;
  std::unique_ptr<mutant::Store> store;
  int fd = -1;
  std::vector<std::thread> threads;

  std::mutex mu;  // guards all below
  std::condition_variable work;   // for workers: the queue, closing, cancelled
  std::condition_variable timer;  // for the thread that ends what is overdue in the queue
  std::deque<mutant::Record*> queue;
  // Reserved in open, so that the end of a batch needs no memory.
  std::vector<mutant::Record*> running;
  std::vector<sixcall_completion> done;
  std::map<uint64_t, uint32_t> memory;  // handle: batches in flight
  uint64_t next_memory = 1;
  uint32_t inflight = 0;  // accepted and not drained
  bool closing = false;
  uint64_t completed = 0;
  bool signalled = false;  // for mistakes with the fd only
  uint64_t races = 0;      // for the mistake data_race; guarded by nothing
  bool poisoned = false;   // for the mistake cancel_poisons
  int fd_for_host = -1;    // for the mistake fd_changes

  ~sixcall_conn();
  bool StartThreads();
  int32_t Submit(uint32_t op, const sixcall_batch* batch, sixcall_page* page);
  int32_t Drain(sixcall_completion* out, uint32_t cap, uint32_t stride);
  int32_t Cancel(uint64_t ticket);
  /// Waits for the threads; false if one does not end in time.
  bool Stop(uint32_t grace_ms);

  int32_t Check(uint32_t op, const sixcall_batch* batch, const sixcall_page* page) const;
  void Work();
  void Watch();
  void Forget(mutant::Record* r);
  void Run(mutant::Record* r);
  uint8_t Key(const mutant::Record& r, uint32_t i);  // may throw
  /// Ends a record: fills what has no status, publishes, frees it.
  void End(mutant::Record* r, int32_t rc, uint8_t rest);
  void Publish(const sixcall_completion& done);
  void Signal();
  void Log(int32_t level, const char* text) const;
};

#endif  // SIXCALL_MUTANT_CONN_H
