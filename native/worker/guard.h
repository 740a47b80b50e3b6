// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_WORKER_GUARD_H
#define SIXCALL_WORKER_GUARD_H

#include <functional>
#include <string>
#include <vector>

namespace sixcall::worker {

/// Calls f, which runs code of a library, and returns what it changed: signal
/// handlers of the process, the mask and the signal stack of this thread; one
/// short text per thing. It is put back, but for handlers with keep_handlers.
std::vector<std::string> Guard(bool keep_handlers, const std::function<void()>& f);

}  // namespace sixcall::worker

#endif
