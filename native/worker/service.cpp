// SPDX-License-Identifier: Apache-2.0
#include "service.h"

#include <pthread.h>

#include <cerrno>
#include <system_error>
#include <thread>
#include <utility>

#include "crash.h"

namespace sixcall::worker {
namespace {

constexpr size_t kMaxJobs = 256;

}  // namespace

bool Service::Start() {
  try {
    std::thread thread([this] { Run(); });
    pthread_setname_np(thread.native_handle(), "sixcall:service");
    thread.detach();
  } catch (const std::system_error& error) {
    errno = error.code().value();
    return false;
  }
  return true;
}

bool Service::Post(Job job) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (jobs_.size() >= kMaxJobs) return false;
  jobs_.push_back(std::move(job));
  posted_.notify_one();
  return true;
}

void Service::Run() noexcept {
  UseSignalStack();
  for (;;) {
    Job job;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      posted_.wait(lock, [this] { return !jobs_.empty(); });
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job();
  }
}

}  // namespace sixcall::worker
