// SPDX-License-Identifier: Apache-2.0
#include "round.h"

#include <sys/resource.h>

#include <cinttypes>
#include <cstdio>

#include "histogram.h"

namespace driver {
namespace {

uint32_t AbiOp(Op op) {
  if (op == Op::kLookup) return SIXCALL_OP_EXISTS;
  return op == Op::kLoad ? SIXCALL_OP_GET : SIXCALL_OP_SET;
}

// CPU time of the whole process, so the connector's threads count.
double CpuMicroseconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto us = [](const timeval &t) { return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_usec); };
  return us(usage.ru_utime) + us(usage.ru_stime);
}

}  // namespace

RoundResult RunRound(const Options &options, Workload &workload, double seconds) {
  const uint32_t op = AbiOp(options.op);
  Histogram latency;
  uint64_t ops = 0;
  uint64_t next_key = 0;
  const double cpu_begin = CpuMicroseconds();
  const uint64_t begin = NowNs();
  const uint64_t end = begin + static_cast<uint64_t>(seconds * 1e9);
  uint64_t now = begin;
  while (now < end) {
    while (!workload.full() && workload.Submit(op, next_key, options.batch, now)) {
      next_key = (next_key + options.batch) % workload.keys();
      if (!workload.full()) now = NowNs();
    }
    uint64_t drained = 0;
    workload.WaitAndDrain([&](const Slot &slot) {
      if (drained == 0) drained = NowNs();
      latency.Add(drained - slot.submitted_ns);
      ++ops;
    });
    now = NowNs();
  }
  const double elapsed_s = static_cast<double>(now - begin) / 1e9;
  const double cpu_us = CpuMicroseconds() - cpu_begin;
  while (workload.in_flight() > 0) workload.WaitAndDrain([](const Slot &) {});

  RoundResult result;
  result.ops_per_s = static_cast<double>(ops) / elapsed_s;
  result.p50_us = latency.Percentile(0.50) / 1e3;
  result.p99_us = latency.Percentile(0.99) / 1e3;
  result.p999_us = latency.Percentile(0.999) / 1e3;
  result.cpu_us_per_op = ops > 0 ? cpu_us / static_cast<double>(ops) : 0;
  return result;
}

std::string FormatResult(const Options &options, const RoundResult &result) {
  const double keys_per_s = result.ops_per_s * options.batch;
  const double gb_per_s =
      options.op == Op::kLookup ? 0 : keys_per_s * static_cast<double>(options.value_bytes) / 1e9;
  char line[512];
  std::snprintf(line, sizeof(line),
                "{\"op\":\"%s\",\"batch\":%" PRIu32 ",\"value_bytes\":%" PRIu64 ",\"depth\":%" PRIu32
                ",\"ops_per_s\":%.1f,\"keys_per_s\":%.1f,\"p50_us\":%.3f,\"p99_us\":%.3f,\"p999_us\":%.3f,\"gb_per_s\":%.3f"
                ",\"cpu_us_per_op\":%.3f}",
                OpName(options.op), options.batch, options.value_bytes, options.depth, result.ops_per_s, keys_per_s,
                result.p50_us, result.p99_us, result.p999_us, gb_per_s, result.cpu_us_per_op);
  return line;
}

}  // namespace driver
