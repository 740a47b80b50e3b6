// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_REDIS_WORKER_H
#define SIXCALL_REDIS_WORKER_H

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "directory.h"
#include "link.h"
#include "request.h"

namespace redis {

/// A thread with a connection to each server, which runs the tasks that it is
/// given. Push, Cancel, CancelAll and Notify may be called from any thread.
class Worker final : public LinkOwner {
 public:
  Worker(const Link::Context& context, Directory& directory, sixcall::AsyncConnector& host);
  ~Worker() override;

  void Start(const std::string& thread_name);

  /// Takes over keys [from, from + n) of a batch. Throws only when memory is short.
  void Push(const sixcall::AsyncBatch& batch, uint32_t from, uint32_t n, uint64_t cost);
  void Cancel(uint64_t ticket);
  void CancelAll();
  /// The directory has news.
  void Notify();

  /// What is given to this worker and not done, in bytes or so.
  uint64_t load() const { return load_.load(std::memory_order_relaxed); }

  // LinkOwner, on the worker's thread
  void Done(const Request& request, sixcall::Result result) override;
  void Failed(const Request& request, const sixcall::Error& error) override;
  void Again(const Request& request) override;
  void Later(const Request& request) override;
  void Redirected(const Request& request, int slot, const Address& where) override;
  void Misplaced() override { directory_.Refresh(); }
  void Watch(Link& link, int fd, bool writable, bool first) override;
  uint64_t now() const override { return now_; }
  uint64_t Jitter(uint64_t ns) override;

 private:
  struct Order {  // from other threads
    sixcall::AsyncBatch batch;
    uint32_t from, n;
    uint64_t cost;
  };

  void Wake();
  void Run();
  void Loop();
  void StartAnew(const sixcall::Error& error) noexcept;
  void TakeInbox();
  void Begin(const Order& order);
  void Report(Task* task, uint32_t index, sixcall::Result result, const sixcall::Error* error);
  void Release(Task* task);
  void Die(Task* task);
  void Kill(Task* task, const sixcall::Error& error);
  void Route(const Request& request);
  void Deliver(Link& link, const Request& request);
  Link* LinkTo(const Node& node);
  Link* NodeForPing();
  void TakeView();
  void Rebuild();
  void Unpark();
  void OnTimers();
  void Bury();
  int Timeout() const;

  const Link::Context& context_;
  Directory& directory_;
  sixcall::AsyncConnector& host_;
  int epoll_ = -1;
  int wake_ = -1;
  std::thread thread_;

  std::mutex mu_;  // guards the next six
  std::vector<Order> inbox_;
  std::vector<uint64_t> cancels_;
  bool cancel_all_ = false;
  bool news_ = true;
  bool stop_ = false;
  std::condition_variable stopped_;
  std::atomic<bool> asleep_{false};
  std::atomic<uint64_t> load_{0};

  // The rest belongs to the thread.
  uint64_t now_ = 0;
  std::minstd_rand random_;
  std::vector<Order> taken_;
  size_t begun_ = 0;  // of taken_
  std::vector<uint64_t> taken_cancels_;
  std::vector<std::unique_ptr<Task>> tasks_;
  std::vector<Task*> free_;
  Task* living_ = nullptr;
  uint64_t earliest_ns_ = UINT64_MAX;  // no living task has an earlier deadline

  Directory::View view_;
  std::map<std::string, std::unique_ptr<Link>> links_;  // by address
  std::vector<Link*> by_node_;                          // of view_.topology
  std::unordered_map<uint16_t, Link*> moved_;           // slots that have moved since that map
  std::vector<std::unique_ptr<Link>> retired_;
  std::vector<Link*> dirty_;                            // have requests to send
  Ring<Request> homeless_;                              // wait for the first topology
  struct Parked {
    uint64_t until_ns;
    Request request;
  };
  std::vector<Parked> parked_;                          // wait for servers to agree
  std::string wire_key_;
};

}  // namespace redis

#endif  // SIXCALL_REDIS_WORKER_H
