// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_WORKER_BYHAND_H
#define SIXCALL_WORKER_BYHAND_H

#include <cstdint>
#include <string>

namespace sixcall::worker {

struct HandOptions {
  std::string library;
  std::string params = "{}";  // one JSON object, passed on as it is
  bool exercise = false;
  uint32_t timeout_ms = 60000;  // for open, close and each batch
};

/// Loads and opens a library without a host, prints what it is and, if asked, uses
/// it. Returns the exit code. Nothing is hardened and no handler installed, so that
/// debuggers and sanitizers see everything.
int RunByHand(const HandOptions& options);

}  // namespace sixcall::worker

#endif
