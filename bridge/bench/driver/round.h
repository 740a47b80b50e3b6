// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_DRIVER_ROUND_H
#define SIXCALL_DRIVER_ROUND_H

#include <string>

#include "options.h"
#include "workload.h"

namespace driver {

// What one round measured.
struct RoundResult {
  double ops_per_s = 0;
  double p50_us = 0;
  double p99_us = 0;
  double p999_us = 0;
  double cpu_us_per_op = 0;
};

// Keeps options.depth batches in flight for the given time, then waits for the
// last of them. Only batches that ended in that time count.
RoundResult RunRound(const Options &options, Workload &workload, double seconds);

// One line of JSON, without the newline.
std::string FormatResult(const Options &options, const RoundResult &result);

}  // namespace driver

#endif  // SIXCALL_DRIVER_ROUND_H
