// SPDX-License-Identifier: Apache-2.0
// What is said when the library's code ends the process.
#ifndef SIXCALL_WORKER_CRASH_H
#define SIXCALL_WORKER_CRASH_H

#include <atomic>
#include <cstdint>

#include "ring.h"

namespace sixcall::worker {

/// Exit codes of the worker. A crash ends it with the signal itself.
enum ExitCode : int {
  kExitOk = 0,
  kExitFailed = 1,       // by hand: the library could not be loaded, opened or exercised
  kExitUsage = 2,        // wrong arguments
  kExitProtocol = 3,     // the host sent what is no message
  kExitHostGone = 4,     // the host's end of the socket is closed
  kExitContract = 5,     // the library broke the contract in a way that cannot go on
  kExitLibraryExit = 6,  // the library called exit()
};

/// Where the threads are, for reports.
struct Breadcrumbs {
  std::atomic<const sixcall_ring*> ring{nullptr};        // the pump writes its calls there
  std::atomic<const char*> service{nullptr};             // the call that the service thread is in
};
extern Breadcrumbs breadcrumbs;

/// Names the library's function of a SIXCALL_CALL_ value.
const char* CallName(uint32_t call);

/// Installs handlers for SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGABRT, which write
/// a line and a backtrace to stderr and let the signal end the process, so that
/// the host sees which one it was.
void InstallCrashHandlers();

/// Gives the calling thread a stack for the handlers. It is never freed.
void UseSignalStack();

/// Makes exit() of the library end the process with kExitLibraryExit and a line
/// on stderr, before destructors run beside live threads. What was registered
/// last runs first, so this is called again after the library has run.
void CatchExit();

/// Writes a line to stderr and ends the process.
[[noreturn]] __attribute__((format(printf, 2, 3))) void Die(ExitCode code, const char* format, ...);

}  // namespace sixcall::worker

#endif
