// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_FS_USAGE_H
#define SIXCALL_FS_USAGE_H

#include <cstdint>
#include <mutex>
#include <optional>

namespace fs {

/// How much is stored: a count of the folder, corrected by what this connection
/// stores and removes, and counted again now and then for what others do. Safe for
/// concurrent use.
class Usage {
 public:
  struct Totals {
    int64_t bytes = 0;
    int64_t keys = 0;
  };

  void Stored(int64_t bytes, int64_t replaced_bytes) { Change(bytes - (replaced_bytes < 0 ? 0 : replaced_bytes), replaced_bytes < 0 ? 1 : 0); }
  void Removed(int64_t bytes) { Change(-bytes, -1); }

  /// Call before a count of the folder begins.
  void BeginCount() {
    std::lock_guard<std::mutex> lock(mu_);
    moved_ = Totals();
  }
  /// Takes over a count. What changed while it ran may be in it or not, so exact
  /// figures that differ by no more than that are kept.
  void EndCount(Totals counted) {
    std::lock_guard<std::mutex> lock(mu_);
    if (known_ && exact_ && !Differs(now_.bytes, counted.bytes, moved_.bytes) && !Differs(now_.keys, counted.keys, moved_.keys)) return;
    now_ = counted;
    known_ = true;
    exact_ = moved_.keys == 0;
  }
  void Forget() {
    std::lock_guard<std::mutex> lock(mu_);
    known_ = exact_ = false;
  }

  /// Nothing before the first count has ended.
  std::optional<Totals> now() const {
    std::lock_guard<std::mutex> lock(mu_);
    if (!known_) return std::nullopt;
    return Totals{now_.bytes < 0 ? 0 : now_.bytes, now_.keys < 0 ? 0 : now_.keys};
  }

 private:
  static bool Differs(int64_t a, int64_t b, int64_t allowed) { return (a > b ? a - b : b - a) > allowed; }
  void Change(int64_t bytes, int64_t keys) {
    std::lock_guard<std::mutex> lock(mu_);
    now_.bytes += bytes;
    now_.keys += keys;
    moved_.bytes += bytes < 0 ? -bytes : bytes;
    moved_.keys++;
  }

  mutable std::mutex mu_;  // guards all below
  Totals now_;
  Totals moved_;  // changes since the count began, without signs; keys counts them
  bool known_ = false;
  bool exact_ = false;  // nothing changed while it was counted
};

}  // namespace fs

#endif  // SIXCALL_FS_USAGE_H
