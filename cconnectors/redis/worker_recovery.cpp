// SPDX-License-Identifier: Apache-2.0
#include "worker.h"

namespace redis {

/// After an exception, which is one of memory: nobody knows what is half done. All
/// that was given to the worker fails, its connections end, and it begins again.
/// Needs no memory itself.
void Worker::StartAnew(const sixcall::Error& error) noexcept {
  // The links and their queues go first: they point to tasks.
  dirty_.clear();
  moved_.clear();
  by_node_.clear();
  parked_.clear();
  homeless_.clear();
  links_.clear();
  retired_.clear();
  view_ = {};
  earliest_ns_ = UINT64_MAX;

  while (living_ != nullptr) {
    Task* const t = living_;
    Die(t);
    for (uint32_t i = 0; i < t->n; i++) host_.Fail(t->ticket, t->from + i, error);  // keys that have an outcome keep it
  }
  for (; begun_ < taken_.size(); begun_++) {
    const Order& o = taken_[begun_];
    load_.fetch_sub(o.cost, std::memory_order_relaxed);
    for (uint32_t i = 0; i < o.n; i++) host_.Fail(o.batch.ticket(), o.from + i, error);
  }
  taken_.clear();
  free_.clear();
  for (const auto& task : tasks_) {
    task->batch.reset();
    task->requests = 0;
    free_.push_back(task.get());
  }
  std::lock_guard<std::mutex> lock(mu_);
  news_ = true;
}

}  // namespace redis
