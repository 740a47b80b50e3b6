/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The controls of the fake libnixl_capi.so. It moves real bytes: files through
 * the descriptors that it is given, objects in memory. Tests open the same file
 * as the connector and find these by name.
 */
#ifndef SIXCALL_NIXL_TEST_FAKE_NIXL_H
#define SIXCALL_NIXL_TEST_FAKE_NIXL_H

#include <stddef.h>
#include <stdint.h>

struct fake_script {
  int refuse_backend;     /* so many create_backend fail */
  int refuse_register;    /* so many register_mem of files or objects fail */
  int refuse_create;      /* so many create_xfer_req fail */
  int refuse_post;        /* so many post_xfer_req fail */
  int end_with;           /* the result of the next requests, ... */
  int end_with_n;         /* ... so many of them; nothing is moved */
  int skip;               /* requests before refuse_post, end_with and hang count */
  int hang;               /* so many requests stay in progress until fake_let_go */
  int polls;              /* a request is in progress for so many polls */
  int refuse_query;       /* so many query_mem fail */
  int hang_query;         /* so many query_mem block until fake_let_go */
  int done_at_post;       /* 1: post_xfer_req does all and returns 0 */
};

struct fake_counts {
  long agents, backends, requests, lists; /* alive */
  long agents_made, posted, polled, queried;
  long hanging;       /* requests and queries that wait for fake_let_go */
  long registrations; /* of memory, alive */
  char violation[200]; /* the first broken rule, or "" */
};

typedef void (*fake_reset_fn)(void);
typedef void (*fake_set_fn)(const struct fake_script *script);
typedef void (*fake_get_fn)(struct fake_counts *counts);
typedef void (*fake_let_go_fn)(void);
typedef void (*fake_kill_fn)(void); /* every backend that is alive fails for good */
typedef void (*fake_put_fn)(const char *name, const void *data, size_t len);
typedef long (*fake_size_fn)(const char *name); /* of an object, -1 = absent */

#endif /* SIXCALL_NIXL_TEST_FAKE_NIXL_H */
