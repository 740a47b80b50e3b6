// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_REDIS_RING_H
#define SIXCALL_REDIS_RING_H

#include <cstddef>
#include <utility>
#include <vector>

namespace redis {

/// A queue that keeps its memory: once it has been long, it allocates no more.
template <class T>
class Ring {
 public:
  bool empty() const { return n_ == 0; }
  size_t size() const { return n_; }
  T& front() { return items_[from_]; }
  T& operator[](size_t i) { return items_[(from_ + i) & (items_.size() - 1)]; }
  const T& operator[](size_t i) const { return items_[(from_ + i) & (items_.size() - 1)]; }

  void push(const T& item) {
    if (n_ == items_.size()) Grow();
    items_[(from_ + n_++) & (items_.size() - 1)] = item;
  }
  void pop() {
    from_ = (from_ + 1) & (items_.size() - 1);
    n_--;
  }
  void clear() { from_ = n_ = 0; }
  void swap(Ring& other) {
    items_.swap(other.items_);
    std::swap(from_, other.from_);
    std::swap(n_, other.n_);
  }

 private:
  void Grow() {
    std::vector<T> larger(items_.empty() ? 64 : items_.size() * 2);
    for (size_t i = 0; i < n_; i++) larger[i] = std::move((*this)[i]);
    items_.swap(larger);
    from_ = 0;
  }

  std::vector<T> items_;  // a power of two long
  size_t from_ = 0, n_ = 0;
};

}  // namespace redis

#endif  // SIXCALL_REDIS_RING_H
