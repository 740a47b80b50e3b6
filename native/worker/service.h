// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_WORKER_SERVICE_H
#define SIXCALL_WORKER_SERVICE_H

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>

namespace sixcall::worker {

/// The thread that runs calls of the library which may take long, one at a time
/// and in order. It lives as long as the process.
class Service {
 public:
  using Job = std::function<void()>;

  /// False: the thread could not be made; errno says why.
  bool Start();
  /// Any thread. False: too many jobs wait, the library hangs in one of them.
  bool Post(Job job);

 private:
  void Run() noexcept;

  std::mutex mutex_;  // guards jobs_
  std::condition_variable posted_;
  std::deque<Job> jobs_;
};

}  // namespace sixcall::worker

#endif
