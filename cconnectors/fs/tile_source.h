// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_FS_TILE_SOURCE_H
#define SIXCALL_FS_TILE_SOURCE_H

#include <optional>

#include "tiles.h"

namespace fs {

/// Walks the keys of a tile and makes jobs of them: what reading and storing have
/// in common.
class TileSource : public JobSource {
 public:
  TileSource(const Context& context, sixcall::Tile& tile) : context_(context), tile_(tile) {}

  bool Next(Job& job) noexcept final {
    while (at_ < tile_.size() && !error_ && !tile_.cancelled()) {
      const size_t i = at_++;
      try {
        if (tile_.deadline_ns() != 0 && sixcall::NowNs() >= tile_.deadline_ns()) {
          throw sixcall::Error(SIXCALL_E_TIMEOUT, "the deadline passed before this key's turn");
        }
        if (Begin(i, job)) return true;
      } catch (...) {
        Fail(i);
      }
    }
    return false;
  }

  void Done(Job& job) noexcept final {
    size_t i = 0;
    try {
      End(job, &i);
    } catch (...) {
      Fail(i);
    }
  }

  /// After the engine's run: throws the error that ends the session, if there was one.
  void Finish() {
    if (error_) throw sixcall::Error(*error_);
  }

 protected:
  /// Starts key i: true = job is filled. Otherwise the key has its status.
  virtual bool Begin(size_t i, Job& job) = 0;
  /// Ends a job and gives its key, *i, a status.
  virtual void End(Job& job, size_t* i) = 0;

  /// Whether O_DIRECT is asked for and this memory can have it.
  bool WantDirect(const void* data, uint64_t len, bool long_key) {
    if (!context_.settings.direct || len == 0) return false;
    const bool aligned = reinterpret_cast<uintptr_t>(data) % kDirectAlign == 0 && len % kDirectAlign == 0 && !long_key;
    if (!aligned) Count(context_.counters.fallback_unaligned);
    return aligned;
  }

  /// Fails key i with the exception being handled. One that ends the session is
  /// kept for later: other jobs may be in flight.
  void Fail(size_t i) noexcept {
    const sixcall::Error e = sixcall::Error::Current(SIXCALL_E_IO);
    if (e.code() == SIXCALL_E_NOSPACE) Count(context_.counters.no_space);
    tile_.Fail(i, e);
    if (e.ends_session() && !error_) error_ = e;
  }

  const Context& context_;
  sixcall::Tile& tile_;

 private:
  size_t at_ = 0;
  std::optional<sixcall::Error> error_;
};

}  // namespace fs

#endif  // SIXCALL_FS_TILE_SOURCE_H
