// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_MUTANT_OPTIONAL_H
#define SIXCALL_MUTANT_OPTIONAL_H

#include "sixcall/connector.h"

namespace mutant {

/// The submit of the handle; no memory is a refusal.
int32_t Submit(sixcall_conn* c, uint32_t op, const sixcall_batch* batch, sixcall_page* page);
int32_t Limits(sixcall_conn* c, sixcall_limits* out);
int32_t Ping(sixcall_conn* c, const sixcall_batch* batch);
int32_t List(sixcall_conn* c, const sixcall_batch* batch, sixcall_page* page);
int32_t Cancel(sixcall_conn* c, uint64_t ticket);
int32_t RegisterMemory(sixcall_conn* c, const sixcall_memory* memory, uint64_t* out, sixcall_err* err);
int32_t UnregisterMemory(sixcall_conn* c, uint64_t handle);
int32_t Usage(sixcall_conn* c, sixcall_usage* out);
int64_t StatsText(sixcall_conn* c, char* out, uint64_t cap);
const void* GetExtension(sixcall_conn* c, const char* id);

}  // namespace mutant

#endif  // SIXCALL_MUTANT_OPTIONAL_H
