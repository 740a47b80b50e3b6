// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_INFINISTORE_PATIENTLY_H
#define SIXCALL_INFINISTORE_PATIENTLY_H

#include <chrono>
#include <new>
#include <thread>

namespace infinistore {

/// Runs fn until there is memory for it: for what must not be forgotten. fn must be
/// able to run again after std::bad_alloc.
template <class F>
void Patiently(F&& fn) {
  for (;;) {
    try {
      return fn();
    } catch (const std::bad_alloc&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
}

}  // namespace infinistore

#endif  // SIXCALL_INFINISTORE_PATIENTLY_H
