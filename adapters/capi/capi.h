/* SPDX-License-Identifier: Apache-2.0 */
/* What python.c and the Go side pass to each other. */
#ifndef SIXCALL_CAPI_H
#define SIXCALL_CAPI_H

#include <stdint.h>

/* One key of a task: offsets into the text of the task, and its buffer. */
typedef struct sixcall_key {
  uint32_t model, model_len;
  uint32_t salt, salt_len;
  uint32_t hash, hash_len;
  int64_t rank;
  int64_t group;
  uint64_t buf;
  uint64_t len;
} sixcall_key;

/* The keys of a task. */
typedef struct sixcall_keys {
  const sixcall_key *keys;
  const char *text;
  uint64_t text_len;
  uint64_t n;
} sixcall_keys;

typedef struct sixcall_error {
  int32_t code; /* SIXCALL_E_, 0 = none */
  char text[1020];
} sixcall_error;

typedef struct sixcall_store {
  int64_t task;
  int64_t result; /* bytes, or -1 */
} sixcall_store;

/* Classes of tasks, as bridge.Kind. */
enum { SIXCALL_LOOKUP = 0, SIXCALL_LOAD = 1, SIXCALL_STORE = 2 };

#endif
