// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_DRIVER_HISTOGRAM_H
#define SIXCALL_DRIVER_HISTOGRAM_H

#include <cstdint>
#include <vector>

namespace driver {

// Counts of nanoseconds in buckets that are at most 0.8 % wide. One thread.
class Histogram {
 public:
  Histogram() : counts_((64 - kBits + 1) << kBits) {}

  void Add(uint64_t ns) {
    ++counts_[Index(ns)];
    ++total_;
  }

  // The middle of the bucket that holds the given share (0 to 1) of the values.
  double Percentile(double share) const {
    const auto want = static_cast<uint64_t>(share * static_cast<double>(total_));
    uint64_t seen = 0;
    for (uint64_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen > want || (seen == total_ && seen > 0)) return Middle(i);
    }
    return 0;
  }

 private:
  static constexpr uint64_t kBits = 7;  // bits of a value that are kept
  static constexpr uint64_t kSub = uint64_t{1} << kBits;

  static uint64_t Index(uint64_t v) {
    if (v < kSub) return v;
    const uint64_t shift = static_cast<uint64_t>(63 - __builtin_clzll(v)) - kBits;
    return ((shift + 1) << kBits) + ((v >> shift) - kSub);
  }

  static double Middle(uint64_t index) {
    if (index < kSub) return static_cast<double>(index);
    const uint64_t shift = (index >> kBits) - 1;
    const uint64_t low = (kSub + (index & (kSub - 1))) << shift;
    return static_cast<double>(low) + static_cast<double>((uint64_t{1} << shift) - 1) / 2;
  }

  std::vector<uint64_t> counts_;
  uint64_t total_ = 0;
};

}  // namespace driver

#endif  // SIXCALL_DRIVER_HISTOGRAM_H
