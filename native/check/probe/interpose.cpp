// SPDX-License-Identifier: Apache-2.0
//
// A library that calls exit, abort and the like finds these here before those of
// libc: the check ends with the reason instead of ending without one.
#include <dlfcn.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>

#include "core.h"
#include "library.h"

namespace {

[[noreturn]] void Caught(const char* call, const void* caller) {
  const std::string object = probe::ObjectOf(caller);
  probe::Fail("%s called %s; a connector reports an error and never ends the process", object.c_str(), call);
}

}  // namespace

extern "C" {

#define PROBE_VISIBLE __attribute__((visibility("default")))

PROBE_VISIBLE void exit(int code) { Caught(probe::Format("exit(%d)", code).c_str(), __builtin_return_address(0)); }
PROBE_VISIBLE void quick_exit(int code) noexcept { Caught(probe::Format("quick_exit(%d)", code).c_str(), __builtin_return_address(0)); }
PROBE_VISIBLE void _exit(int code) { Caught(probe::Format("_exit(%d)", code).c_str(), __builtin_return_address(0)); }
PROBE_VISIBLE void _Exit(int code) noexcept { Caught(probe::Format("_Exit(%d)", code).c_str(), __builtin_return_address(0)); }
PROBE_VISIBLE void abort() noexcept { Caught("abort(), or let an exception escape", __builtin_return_address(0)); }
PROBE_VISIBLE int raise(int signo) noexcept { Caught(probe::Format("raise(%d)", signo).c_str(), __builtin_return_address(0)); }

}  // extern "C"
