// SPDX-License-Identifier: Apache-2.0
//
// N: loads for tools: sanitizers in the probe, valgrind around it.
#include "load.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PROBE_HAS_ASAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define PROBE_HAS_ASAN 1
#endif

#ifdef PROBE_HAS_ASAN
#include <sanitizer/lsan_interface.h>
#endif

namespace probe {

PROBE_CHECK(N05) {
#ifdef PROBE_HAS_ASAN
  const sixcall_api* api = Load();
  for (int i = 0; i < 5; i++) {
    Session s(api);
    Exercise(s, "leak", 2);
    if (s.Close(5000) != 0) Fail("close returned BUSY with nothing in flight");
    OpenOptions wrong;
    wrong.config = In("params_unknown_key");
    OpenError error;
    Session::TryOpen(api, wrong, &error);
  }
  At("the leak check at the end");
  if (__lsan_do_recoverable_leak_check() != 0) Leak("heap that was allocated in 5 cycles of open, work and close is lost");
#else
  ToolError("this probe has no LeakSanitizer");
#endif
}

}  // namespace probe
