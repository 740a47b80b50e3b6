// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_WORKER_CONTROL_H
#define SIXCALL_WORKER_CONTROL_H

namespace sixcall::worker {

/// Serves the host at the other end of the socket until it says Close or is gone.
/// Runs on the main thread, which never runs the library's code: Ping and Map are
/// answered whatever the library does.
[[noreturn]] void ServeHost(int control_fd);

}  // namespace sixcall::worker

#endif
