// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_MEM_SIM_H
#define SIXCALL_MEM_SIM_H

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "sixcall/connector.hpp"

namespace mem {

/// Makes the store as slow as a remote one: a round trip per tile, and a link
/// that all workers share. With everything 0 it costs nothing. Safe for
/// concurrent use after Configure.
class Simulation {
 public:
  void Configure(const sixcall::Config& config) {
    read_us_ = config.GetUint("read_latency_us", 0, 0, 60000000);
    write_us_ = config.GetUint("write_latency_us", 0, 0, 60000000);
    gbps_ = config.GetDouble("bandwidth_gbps", 0, 0, 1000000);
  }

  /// Sleeps as long as the tile would take; false = cancelled meanwhile.
  bool Wait(const sixcall::Tile& tile) {
    const bool write = tile.op() == SIXCALL_OP_SET || tile.op() == SIXCALL_OP_DELETE;
    const uint64_t latency_ns = (write ? write_us_ : read_us_) * 1000;
    if (latency_ns == 0 && gbps_ == 0) return true;
    const uint64_t now = sixcall::NowNs();
    uint64_t end = now;
    if (gbps_ > 0) {
      uint64_t bytes = 0;
      for (size_t i = 0; i < tile.size(); i++) bytes += tile.buffer(i).size();
      const auto cost_ns = static_cast<uint64_t>(static_cast<double>(bytes) * 8 / gbps_);
      uint64_t free_at = link_free_ns_.load();
      do {
        end = std::max(free_at, now) + cost_ns;
      } while (!link_free_ns_.compare_exchange_weak(free_at, end));
    }
    return tile.Sleep(std::chrono::nanoseconds(end - now + latency_ns));
  }

 private:
  uint64_t read_us_ = 0, write_us_ = 0;
  double gbps_ = 0;  // 10^9 bits per second; 0 = unlimited
  std::atomic<uint64_t> link_free_ns_{0};  // when the link has sent what was given to it
};

}  // namespace mem

#endif  // SIXCALL_MEM_SIM_H
