// SPDX-License-Identifier: Apache-2.0
// What faulty_connector.cpp can do to the process it runs in.
#ifndef SIXCALL_WORKER_TEST_FAULTY_ACTIONS_H
#define SIXCALL_WORKER_TEST_FAULTY_ACTIONS_H

#include <cstdint>
#include <string>

#include "sixcall/connector.h"

namespace faulty {

struct Settings {
  std::string action, call;     // of x-fault, "crash_in_get"
  std::string behaviour;        // x-behaviour
  uint64_t after = 0;           // x-after: calls that work before the fault
  uint64_t hold = 0;            // x-hold: batches that are accepted and kept
  uint64_t queue = 1024;        // x-queue: batches in flight before AGAIN
  uint64_t mib = 1024;          // x-mib: for leak and flood
  uint64_t lines = 0;           // x-lines: log lines written in open
  uint64_t log_batches = 0;     // x-log-batches: not 0: a log line for each batch
};

/// Reads the parameters; wrong JSON is not its business.
Settings Parse(const char* json, uint64_t len);

/// Does what action says. Returns when the action is one that lets the caller go
/// on; what came of it is then a log line "fault <action>: <outcome>".
void Act(const Settings& settings, const sixcall_host* host);

void Log(const sixcall_host* host, int32_t level, const std::string& text);

}  // namespace faulty

#endif
