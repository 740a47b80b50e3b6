// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_MUTANT_OPEN_H
#define SIXCALL_MUTANT_OPEN_H

#include "sixcall/connector.h"

namespace mutant {

int32_t Open(const sixcall_host* host, const sixcall_open_args* args, sixcall_conn** out, sixcall_err* err);
int32_t EventFd(sixcall_conn* c);
int32_t Close(sixcall_conn* c, uint32_t grace_ms);

}  // namespace mutant

#endif  // SIXCALL_MUTANT_OPEN_H
