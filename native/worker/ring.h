/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The memory that a host and its worker share for submissions and completions.
 *
 *   host                          worker
 *   ----                          ------
 *   writes sq[tail], tail++  -->  the pump reads it, calls submit_batch_*
 *                                 the library writes status bytes and values
 *   reads cq[head], head++   <--  the pump drains the library, writes cq[tail]
 *
 * One memfd per life of a worker, made by the host, sealed against resizing. The
 * host trusts nothing in it: it reads the completion tail and copies a record before
 * it checks it, and keeps what it must know (heads, which tickets are out) in its
 * own memory. The worker does trust the host.
 *
 * Indexes run freely and wrap at 2^32; a position is index % entries, and entries
 * are powers of two. There is one producer and one consumer per ring.
 *
 * Waking. Each consumer has a flag that says "I am about to sleep". The consumer sets
 * it, then looks at the ring once more; the producer publishes, then exchanges the
 * flag with 0 and writes the eventfd when it was 1. Both sides use sequentially
 * consistent operations there, so that no wake-up is lost.
 */
#ifndef SIXCALL_WORKER_RING_H
#define SIXCALL_WORKER_RING_H

#include <stddef.h>
#include <stdint.h>

#define SIXCALL_RING_MAGIC UINT64_C(0x31474E4952584953) /* "SIXRING1" */
#define SIXCALL_RING_VERSION 1u

/** Operations of a submission: SIXCALL_OP_ (get, set, exists, delete, ping), and: */
#define SIXCALL_RING_CANCEL 0x100u /* cancel the ticket; has no completion of its own */

/** A value of sq_need_wake that the host leaves alone: it writes the eventfd with every
 *  submission. For a worker without atomic operations; protocol 1.1. */
#define SIXCALL_RING_WAKE_ALWAYS 2u

/** What the pump does at the moment: 0, or 0x1000 + an operation for a submit, or: */
#define SIXCALL_CALL_NONE 0u
#define SIXCALL_CALL_SUBMIT 0x1000u
#define SIXCALL_CALL_DRAIN 0x2000u
#define SIXCALL_CALL_EVENT_FD 0x2001u

/**
 * One batch. The addresses are the worker's own: the host knows where the worker
 * has mapped its memory. items is an array of sixcall_item (connector.h), with the
 * worker's addresses as well.
 */
typedef struct sixcall_submission {
  uint64_t ticket; /* the host's slot and its generation, below 2^63 */
  uint32_t op;
  uint32_t n; /* keys; 0 for ping and cancel */
  uint64_t items;
  uint64_t status;
  uint64_t value_lens; /* 0 = none */
  uint64_t err;        /* 0 = none */
  uint64_t deadline_ns;
  uint64_t mem_handle;
} sixcall_submission;

/** One completion: a sixcall_completion (connector.h) with its padding-free layout. */
typedef struct sixcall_ring_completion {
  uint64_t ticket;
  int32_t rc;
  uint32_t op;
  uint32_t n_ok;
  uint32_t flags;
  uint64_t done_ns;
} sixcall_ring_completion;

/** The first page. Fields of different writers lie on different cache lines. */
typedef struct sixcall_ring {
  /* constant, written by the host before the worker starts */
  uint64_t magic;
  uint32_t version;
  uint32_t sq_entries;
  uint32_t cq_entries; /* at least 2 x sq_entries */
  uint32_t sq_offset;  /* bytes from the start of the memory */
  uint32_t cq_offset;
  uint32_t reserved0[9];
  /* host */
  uint32_t sq_tail;
  uint32_t reserved1[15];
  /* worker */
  uint32_t sq_head;
  uint32_t sq_need_wake; /* set by the worker, cleared by the host; or SIXCALL_RING_WAKE_ALWAYS */
  uint32_t reserved2[14];
  /* worker */
  uint32_t cq_tail;
  uint32_t reserved3[15];
  /* host */
  uint32_t cq_head;
  uint32_t cq_need_wake; /* set by the host, cleared by the worker */
  uint32_t reserved4[14];
  /* worker: for reports after a crash or a hang */
  uint32_t call; /* SIXCALL_CALL_ */
  uint32_t reserved5;
  uint64_t call_ticket;
  uint64_t call_since_ns; /* CLOCK_MONOTONIC */
  uint64_t calls;
  uint64_t completions;
  uint32_t reserved6[6];
} sixcall_ring;

#ifdef __cplusplus
#define SIXCALL_RING_ASSERT(cond) static_assert(cond, #cond)
#else
#define SIXCALL_RING_ASSERT(cond) _Static_assert(cond, #cond)
#endif
SIXCALL_RING_ASSERT(sizeof(sixcall_submission) == 64);
SIXCALL_RING_ASSERT(sizeof(sixcall_ring_completion) == 32);
SIXCALL_RING_ASSERT(offsetof(sixcall_ring, sq_tail) == 64);
SIXCALL_RING_ASSERT(offsetof(sixcall_ring, sq_head) == 128);
SIXCALL_RING_ASSERT(offsetof(sixcall_ring, sq_need_wake) == 132);
SIXCALL_RING_ASSERT(offsetof(sixcall_ring, cq_tail) == 192);
SIXCALL_RING_ASSERT(offsetof(sixcall_ring, cq_head) == 256);
SIXCALL_RING_ASSERT(offsetof(sixcall_ring, cq_need_wake) == 260);
SIXCALL_RING_ASSERT(offsetof(sixcall_ring, call) == 320);
SIXCALL_RING_ASSERT(offsetof(sixcall_ring, call_ticket) == 328);
SIXCALL_RING_ASSERT(offsetof(sixcall_ring, completions) == 352);
SIXCALL_RING_ASSERT(sizeof(sixcall_ring) == 384);

#endif
