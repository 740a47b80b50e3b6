// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_TEST_HARNESS_GUARD_H
#define SIXCALL_TEST_HARNESS_GUARD_H

#include <cstddef>
#include <cstdint>
#include <string>

namespace sixcall_test {

enum class Access { kNone, kRead, kReadWrite };

// Which end of the memory touches a guard page: an access one byte past that
// end faults at once. The few bytes between the other end and its guard page
// are filled with a pattern instead.
enum class Edge { kEnd, kStart };

// Memory between two pages that nobody may touch. The protection of the memory
// itself can be changed while it is lent and after. A fault names the memory on
// stderr before the process dies. Size 0 is allowed: every access faults.
//
// Not safe for concurrent use; what the memory holds is up to its users.
class GuardedMemory {
 public:
  GuardedMemory() = default;
  // The memory is zero and may be read and written.
  GuardedMemory(size_t size, Edge edge, const std::string &name);
  GuardedMemory(GuardedMemory &&other) noexcept { *this = static_cast<GuardedMemory &&>(other); }
  GuardedMemory &operator=(GuardedMemory &&other) noexcept;
  GuardedMemory(const GuardedMemory &) = delete;
  GuardedMemory &operator=(const GuardedMemory &) = delete;
  ~GuardedMemory();

  uint8_t *data() const { return data_; }
  size_t size() const { return size_; }

  void Protect(Access access);

  // Whether the bytes beside the memory still have their pattern. The memory
  // must be readable.
  bool SlackIntact() const;

 private:
  uint8_t *base_ = nullptr;  // of the mapping, a guard page
  size_t mapped_ = 0;        // bytes of the mapping, guard pages included
  uint8_t *data_ = nullptr;
  size_t size_ = 0;
  int slot_ = -1;  // in the table of names
};

}  // namespace sixcall_test

#endif  // SIXCALL_TEST_HARNESS_GUARD_H
