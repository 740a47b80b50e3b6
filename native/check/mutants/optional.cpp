// SPDX-License-Identifier: Apache-2.0
//
// The optional calls.
#include "optional.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <string>

#include "conn.h"
#include "mutant.h"

namespace mutant {

int32_t Limits(sixcall_conn* c, sixcall_limits* out) {
  if (out == nullptr || out->struct_size < sizeof(*out)) return SIXCALL_E_INVAL;
  out->max_batch = kMaxBatch;
  out->max_key_len = kMaxKeyLen;
  out->buf_align = 1;
  out->max_value_len = kMaxValueLen;
  out->best_batch = 64;
  out->max_inflight = static_cast<uint32_t>(c->config.max_inflight);
  return 0;
}

int32_t Submit(sixcall_conn* c, uint32_t op, const sixcall_batch* batch, sixcall_page* page) {
  try {
    return c->Submit(op, batch, page);
  } catch (const std::bad_alloc&) {
    if (Is("throws")) throw;
    return SIXCALL_E_NOMEM;
  }
}

int32_t Ping(sixcall_conn* c, const sixcall_batch* batch) { return Submit(c, SIXCALL_OP_PING, batch, nullptr); }
int32_t List(sixcall_conn* c, const sixcall_batch* batch, sixcall_page* page) { return Submit(c, SIXCALL_OP_LIST, batch, page); }
int32_t Cancel(sixcall_conn* c, uint64_t ticket) { return c->Cancel(ticket); }

int32_t RegisterMemory(sixcall_conn* c, const sixcall_memory* memory, uint64_t* out, sixcall_err* err) {
  if (memory == nullptr || out == nullptr || memory->base == nullptr || memory->len == 0) {
    if (err != nullptr) {
      err->code = SIXCALL_E_INVAL;
      err->len = 9;
      memcpy(err->msg, "no memory", 10);
    }
    return SIXCALL_E_INVAL;
  }
  std::lock_guard<std::mutex> lock(c->mu);
  *out = c->next_memory++;
  c->memory[*out] = 0;
  return 0;
}

int32_t UnregisterMemory(sixcall_conn* c, uint64_t handle) {
  std::lock_guard<std::mutex> lock(c->mu);
  const auto it = c->memory.find(handle);
  if (it == c->memory.end()) return SIXCALL_E_INVAL;
  if (it->second != 0 && !Is("unregister_inflight")) return SIXCALL_E_BUSY;
  c->memory.erase(it);
  return 0;
}

int32_t Usage(sixcall_conn* c, sixcall_usage* out) {
  if (out == nullptr || out->struct_size < sizeof(*out)) return SIXCALL_E_INVAL;
  out->flags = 0;
  out->bytes_used = out->bytes_capacity = UINT64_MAX;
  out->keys = c->store->keys();
  return 0;
}

int64_t StatsText(sixcall_conn* c, char* out, uint64_t cap) try {
  std::string text = "# HELP mutant_batches_total Batches completed.\n# TYPE mutant_batches_total counter\n";
  {
    std::lock_guard<std::mutex> lock(c->mu);
    text += "mutant_batches_total{kind=\"all\"} " + std::to_string(c->completed) + "\n";
  }
  if (Is("stats_bad")) text += "batches completed: many\n";
  const uint64_t n = Is("stats_overruns") ? text.size() : std::min<uint64_t>(cap, text.size());
  if (out != nullptr) memcpy(out, text.data(), n);
  return static_cast<int64_t>(Is("stats_cut") ? n : text.size());
} catch (const std::bad_alloc&) {
  return SIXCALL_E_NOMEM;
}

const void* GetExtension(sixcall_conn*, const char* id) {
  static const uint64_t table[1] = {0};
  const char* const known = "sixcall.example/1";
  const bool same = Is("extension_prefix") ? strncmp(id, known, strlen(known)) == 0 : strcmp(id, known) == 0;
  return same ? table : nullptr;
}

}  // namespace mutant
