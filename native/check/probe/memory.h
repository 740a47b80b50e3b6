// SPDX-License-Identifier: Apache-2.0
//
// Memory with inaccessible pages around it. A connector that reads or writes one
// byte beside what it was given, or after it was taken back, faults at that
// instruction, and the verdict says which memory it was.
#ifndef SIXCALL_PROBE_MEMORY_H
#define SIXCALL_PROBE_MEMORY_H

#include <sys/mman.h>

#include <cstdint>
#include <string>

namespace probe {

/// Which end of the memory touches an inaccessible page.
enum class Edge { kEnd, kStart };

class Guarded {
 public:
  Guarded() = default;
  /// Zeroed, readable and writable. With an alignment the start is aligned, and the
  /// end may be up to align-1 bytes away from the inaccessible page.
  Guarded(size_t size, Edge edge, const std::string& name, size_t align = 1);
  Guarded(Guarded&& other) noexcept { *this = static_cast<Guarded&&>(other); }
  Guarded& operator=(Guarded&& other) noexcept;
  Guarded(const Guarded&) = delete;
  ~Guarded() { Release(); }

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  explicit operator bool() const { return data_ != nullptr; }

  /// Changes the access; `why` is a literal that ends the sentence "touched X".
  void Protect(int access, const char* why);
  /// Whether nothing was written between the memory and its pages' ends.
  bool SlackIntact() const;

 private:
  void Release();

  uint8_t* map_ = nullptr;
  size_t map_size_ = 0;
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
  int region_ = -1;
};

/// Installs the handlers that turn a fault into a line for the runner. The process
/// dies of the signal all the same.
void CatchFaults();
/// Gives the calling thread a stack for these handlers, so that an overflow of its
/// own stack can be reported.
void CatchStackOverflow();

}  // namespace probe

#endif  // SIXCALL_PROBE_MEMORY_H
