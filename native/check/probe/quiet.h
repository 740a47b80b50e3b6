// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_PROBE_QUIET_H
#define SIXCALL_PROBE_QUIET_H

#include <string>

namespace probe {

/// From now on this process reports, instead of carrying out, what a library must not
/// do while it is loaded: start a thread or process, open a socket or an event fd,
/// open a file for writing, write to stdout or stderr. For the rest of its life.
/// False if the kernel has no seccomp.
bool WatchSystemCalls(std::string* error);
/// What was done, in words; "" = nothing.
std::string ForbiddenCalls();

}  // namespace probe

#endif  // SIXCALL_PROBE_QUIET_H
