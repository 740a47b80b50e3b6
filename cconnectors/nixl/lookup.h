// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_NIXL_LOOKUP_H
#define SIXCALL_NIXL_LOOKUP_H

#include <memory>

#include "core.h"

namespace nixl {

// Bodies of threads; each returns when its queue was stopped and is empty.

/// Answers lookups and pings of files, by own system calls.
void LookUpFiles(Core& core);
/// Answers asks about objects, with an agent of its own.
void LookUpObjects(Core& core);
/// Answers asks that take too long while their thread still waits for NIXL.
void WatchAsks(Core& core);

/// Answers an ask with an error; the caller has claimed it.
void AnswerAsk(Core& core, const Ask& ask, const sixcall::Error& error);

}  // namespace nixl

#endif  // SIXCALL_NIXL_LOOKUP_H
