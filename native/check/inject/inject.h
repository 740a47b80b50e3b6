/* SPDX-License-Identifier: Apache-2.0
 *
 * libsixcall-inject.so is preloaded into the probe and lets calls of the library
 * under test fail. Calls of the probe itself are left alone. */
#ifndef SIXCALL_INJECT_H
#define SIXCALL_INJECT_H

#include <stdint.h>

/* What to do; the name of the one function that the probe looks up. */
#define SIXCALL_INJECT_SYMBOL "sixcall_inject_control"

enum sixcall_inject_command {
  SIXCALL_INJECT_ARM = 1,    /* let the calls nth .. nth+count-1 of `name` fail with `error` */
  SIXCALL_INJECT_DISARM = 2, /* no more; returns how many calls of `name` were seen since */
  SIXCALL_INJECT_HITS = 3,   /* how many were made to fail since the last arming */
  SIXCALL_INJECT_CLOCK = 4,  /* move the realtime clock by `nth` seconds (as int64_t) */
  SIXCALL_INJECT_SCHED = 5,  /* random pauses at locks and waits, seeded with nth; 0 = off */
};

/* name: "alloc", "thread", or a function such as "open". error 0 with a name of an
 * I/O call: a short result of one byte. count 0: all from nth on. */
typedef uint64_t (*sixcall_inject_fn)(int command, const char *name, int error, uint64_t nth, uint64_t count);

#endif /* SIXCALL_INJECT_H */
