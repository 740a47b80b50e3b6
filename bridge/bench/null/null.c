/* SPDX-License-Identifier: Apache-2.0
 *
 * The connector "null" of the benchmarks: it has every key and moves no bytes, so
 * what is measured over it is the host. Without configuration a batch completes
 * inside submit. With latency_us or gb_per_s it is a storage system on paper: a link
 * of that bandwidth, which serves batches in order, and a constant latency behind it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "sixcall/connector.h"

enum { QUEUE = 1 << 16 }; /* batches in flight */

typedef struct {
  sixcall_completion record;
  uint64_t due_ns;
  uint8_t *status;
} pending;

struct sixcall_conn {
  pthread_mutex_t mu; /* guards what follows but fd and the model */
  int fd;
  uint64_t latency_ns;
  double ns_per_byte;
  int modelled;
  uint32_t head, ready, tail; /* head to ready: completed; ready to tail: on the link */
  uint64_t link_free_ns;
  int stop;
  pthread_cond_t work;
  pthread_t clock;
  pending queue[QUEUE];
};

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void signal_fd(sixcall_conn *c) {
  const uint64_t one = 1;
  while (write(c->fd, &one, sizeof(one)) < 0 && errno == EINTR) {
  }
}

/* The host has checked the configuration against the schema: a number follows. */
static double number(const char *json, uint64_t len, const char *name) {
  char text[256];
  if (len >= sizeof(text)) return 0;
  memcpy(text, json, len);
  text[len] = 0;
  const char *at = strstr(text, name);
  if (at == NULL || (at = strchr(at, ':')) == NULL) return 0;
  return strtod(at + 1, NULL);
}

/* Moves what is due to the completed ones; wakes the host once for all of them. */
static void *run(void *arg) {
  sixcall_conn *c = arg;
  pthread_mutex_lock(&c->mu);
  while (!c->stop) {
    if (c->ready == c->tail) {
      pthread_cond_wait(&c->work, &c->mu);
      continue;
    }
    const uint64_t due = c->queue[c->ready % QUEUE].due_ns, now = now_ns();
    if (now < due) {
      const struct timespec until = {(time_t)(due / 1000000000u), (long)(due % 1000000000u)};
      pthread_cond_timedwait(&c->work, &c->mu, &until);
      continue;
    }
    const int silent = c->head == c->ready;
    while (c->ready != c->tail && c->queue[c->ready % QUEUE].due_ns <= now) {
      pending *p = &c->queue[c->ready++ % QUEUE];
      memset(p->status, SIXCALL_STATUS_HIT, p->record.n_ok);
    }
    if (silent) signal_fd(c);
  }
  pthread_mutex_unlock(&c->mu);
  return NULL;
}

static int32_t null_open(const sixcall_host *host, const sixcall_open_args *args, sixcall_conn **out, sixcall_err *err) {
  (void)host;
  (void)err;
  sixcall_conn *c = calloc(1, sizeof(*c));
  if (c == NULL) return SIXCALL_E_NOMEM;
  c->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (c->fd < 0) {
    free(c);
    return SIXCALL_E_NOMEM;
  }
  c->latency_ns = (uint64_t)(number(args->config_json, args->config_len, "\"latency_us\"") * 1e3);
  const double rate = number(args->config_json, args->config_len, "\"gb_per_s\"");
  c->ns_per_byte = rate > 0 ? 1 / rate : 0;
  c->modelled = c->latency_ns > 0 || rate > 0;
  pthread_mutex_init(&c->mu, NULL);
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&c->work, &monotonic);
  pthread_condattr_destroy(&monotonic);
  if (c->modelled) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&c->clock, NULL, run, c);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
      close(c->fd);
      free(c);
      return SIXCALL_E_NOMEM;
    }
    pthread_setname_np(c->clock, "sixcall:null");
  }
  *out = c;
  return SIXCALL_OK;
}

static int32_t null_event_fd(sixcall_conn *c) { return c->fd; }

static int32_t submit(sixcall_conn *c, const sixcall_batch *b, uint32_t op) {
  if (b->n == 0 || b->items == NULL || b->status == NULL) return SIXCALL_E_INVAL;
  const sixcall_completion record = {.ticket = b->ticket, .op = op, .n_ok = b->n};
  int wake = 0;
  if (!c->modelled) memset(b->status, SIXCALL_STATUS_HIT, b->n);
  uint64_t bytes = 0;
  if (c->ns_per_byte > 0 && (op == SIXCALL_OP_GET || op == SIXCALL_OP_SET)) {
    const uint8_t *item = (const uint8_t *)b->items;
    for (uint32_t i = 0; i < b->n; i++, item += b->item_stride) bytes += ((const sixcall_item *)item)->len;
  }
  pthread_mutex_lock(&c->mu);
  if (c->tail - c->head == QUEUE) {
    pthread_mutex_unlock(&c->mu);
    return SIXCALL_E_AGAIN;
  }
  pending *p = &c->queue[c->tail++ % QUEUE];
  p->record = record;
  p->status = b->status;
  if (c->modelled) {
    const uint64_t now = now_ns();
    if (c->link_free_ns < now) c->link_free_ns = now;
    c->link_free_ns += (uint64_t)((double)bytes * c->ns_per_byte);
    p->due_ns = c->link_free_ns + c->latency_ns;
    if (c->tail - c->ready == 1) pthread_cond_signal(&c->work);
  } else {
    c->ready = c->tail;
    wake = c->tail - c->head == 1;
  }
  pthread_mutex_unlock(&c->mu);
  if (wake) signal_fd(c);
  return SIXCALL_OK;
}

static int32_t null_get(sixcall_conn *c, const sixcall_batch *b) { return submit(c, b, SIXCALL_OP_GET); }
static int32_t null_set(sixcall_conn *c, const sixcall_batch *b) { return submit(c, b, SIXCALL_OP_SET); }
static int32_t null_exists(sixcall_conn *c, const sixcall_batch *b) { return submit(c, b, SIXCALL_OP_EXISTS); }
static int32_t null_delete(sixcall_conn *c, const sixcall_batch *b) { return submit(c, b, SIXCALL_OP_DELETE); }

static int32_t null_drain(sixcall_conn *c, sixcall_completion *out, uint32_t cap, uint32_t stride) {
  uint64_t count;
  while (read(c->fd, &count, sizeof(count)) < 0 && errno == EINTR) {
  }
  uint32_t n = 0;
  pthread_mutex_lock(&c->mu);
  for (; n < cap && c->head != c->ready; n++) {
    memcpy((char *)out + (size_t)n * stride, &c->queue[c->head++ % QUEUE].record, sizeof(*out));
  }
  const int more = c->head != c->ready;
  pthread_mutex_unlock(&c->mu);
  if (more) signal_fd(c);
  return (int32_t)n;
}

static int32_t null_close(sixcall_conn *c, uint32_t grace_ms) {
  (void)grace_ms;
  if (c->modelled) {
    pthread_mutex_lock(&c->mu);
    c->stop = 1;
    pthread_cond_signal(&c->work);
    pthread_mutex_unlock(&c->mu);
    pthread_join(c->clock, NULL);
  }
  close(c->fd);
  pthread_cond_destroy(&c->work);
  pthread_mutex_destroy(&c->mu);
  free(c);
  return SIXCALL_OK;
}

SIXCALL_NOTE(SIXCALL_CAP_DELETE, "Sixcall", "null", "0.1.0");

static const sixcall_api api = {
    .struct_size = sizeof(sixcall_api),
    .abi_major = SIXCALL_ABI_MAJOR,
    .abi_minor = SIXCALL_ABI_MINOR,
    .caps = SIXCALL_CAP_DELETE,
    .thread_model = SIXCALL_THREADS_PARALLEL,
    .name = "null",
    .version = "0.1.0",
    .vendor = "Sixcall",
    .config_schema = "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
                     "\"latency_us\":{\"type\":\"number\",\"minimum\":0,\"default\":0,\"description\":\"of every batch, in microseconds\"},"
                     "\"gb_per_s\":{\"type\":\"number\",\"minimum\":0,\"default\":0,\"description\":\"of the link, in 10^9 bytes per second; 0 = unlimited\"}}}",
    .open = null_open,
    .event_fd = null_event_fd,
    .submit_batch_get = null_get,
    .submit_batch_set = null_set,
    .submit_batch_exists = null_exists,
    .drain_completions = null_drain,
    .close = null_close,
    .submit_batch_delete = null_delete,
};

SIXCALL_EXPORT const sixcall_api *sixcall_connector_entry_v1(const sixcall_host *host) {
  (void)host;
  return &api;
}
