/* A connector that keeps values in memory and completes inside submit. It is
 * the good one of the tests; every macro that is tested below breaks one rule. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "sixcall/connector.h"

#ifndef NAME
#define NAME "minimal"
#endif
#ifndef VERSION
#define VERSION "1.0.0"
#endif
#ifndef CAPS
#define CAPS                                                                                        \
  (SIXCALL_CAP_DELETE | SIXCALL_CAP_LIMITS | SIXCALL_CAP_PING | SIXCALL_CAP_CANCEL | SIXCALL_CAP_REGISTER_MEMORY | \
   SIXCALL_CAP_USAGE | SIXCALL_CAP_LIST | SIXCALL_CAP_STATS_TEXT | SIXCALL_CAP_READ_YOUR_WRITES | SIXCALL_CAP_VALUE_LENS)
#endif
#ifndef THREADS
#define THREADS SIXCALL_THREADS_PARALLEL
#endif
#ifndef SCHEMA
#define SCHEMA "{\"type\":\"object\",\"properties\":{\"path\":{\"type\":\"string\"},\"password\":{\"type\":\"string\"},"  \
  "\"workers\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":64},\"mode\":{\"enum\":[\"fast\",\"safe\"]}}}"
#endif

enum { ENTRIES = 1024, QUEUE = 1024 };

typedef struct {
  uint8_t *key;
  void *value;
  uint32_t key_len;
  uint64_t len;
} entry;

struct sixcall_conn {
  pthread_mutex_t mu;
  const sixcall_host *host;
  int fd, calls;
  uint32_t head, count;
  sixcall_completion queue[QUEUE];
  entry entries[ENTRIES];
};

static entry *lookup(sixcall_conn *c, const uint8_t *key, uint32_t len) {
  uint64_t h = 1469598103934665603u;
  for (uint32_t i = 0; i < len; i++) h = (h ^ key[i]) * 1099511628211u;
  for (uint32_t i = 0; i < ENTRIES; i++) {
    entry *e = &c->entries[(h + i) % ENTRIES];
    if (e->key == NULL || (e->key_len == len && memcmp(e->key, key, len) == 0)) return e;
  }
  return NULL;
}

/* SERIAL and PER_HANDLE connectors look for calls that overlap. */
static int inside;
static int overlaps;
static void enter(void) {
  if (THREADS == SIXCALL_THREADS_PARALLEL) return;
  if (__atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST) > 1) __atomic_add_fetch(&overlaps, 1, __ATOMIC_SEQ_CST);
  sched_yield();
}
static void leave(void) {
  if (THREADS != SIXCALL_THREADS_PARALLEL) __atomic_sub_fetch(&inside, 1, __ATOMIC_SEQ_CST);
}

static int32_t publish(sixcall_conn *c, uint64_t ticket, uint32_t op, uint32_t n_ok, int32_t rc) {
  if (c->count == QUEUE) return SIXCALL_E_AGAIN;
  sixcall_completion *d = &c->queue[(c->head + c->count++) % QUEUE];
  *d = (sixcall_completion){.ticket = ticket, .rc = rc, .op = op, .n_ok = n_ok};
  if (c->count == 1) {
    uint64_t one = 1;
    if (write(c->fd, &one, 8) != 8) return SIXCALL_E_IO;
  }
  return 0;
}

static uint8_t one(sixcall_conn *c, const sixcall_item *item, uint32_t op, uint64_t *value_len) {
  entry *e = lookup(c, item->key, item->key_len);
  if (op == SIXCALL_OP_SET) {
    if (e == NULL) return SIXCALL_STATUS_REFUSED;
    if (e->key == NULL) {
      e->key = malloc(item->key_len);
      memcpy(e->key, item->key, item->key_len);
      e->key_len = item->key_len;
    }
    free(e->value);
    e->value = malloc(item->len + 1);
    memcpy(e->value, item->buf, item->len);
    e->len = item->len;
    return SIXCALL_STATUS_HIT;
  }
  if (e == NULL || e->value == NULL) return SIXCALL_STATUS_MISS;
  if (value_len) *value_len = e->len;
  if (op == SIXCALL_OP_GET) {
    if (e->len != item->len) return SIXCALL_STATUS_SIZE;
    memcpy(item->buf, e->value, e->len);
  }
  if (op == SIXCALL_OP_DELETE) {
    free(e->value);
    e->value = NULL;
  }
  return SIXCALL_STATUS_HIT;
}

static int32_t submit(sixcall_conn *c, const sixcall_batch *b, uint32_t op) {
  enter();
#ifdef CRASH_IN_SUBMIT
  *(volatile int *)16 = 1;
#endif
#ifdef LOG_IN_SUBMIT
  c->host->log(c->host->log_ctx, SIXCALL_LOG_INFO, "submit", 6);
#endif
  int32_t rc = SIXCALL_E_INVAL;
#ifdef REFUSE_WITH
  if (b->err) {
    b->err->code = REFUSE_WITH;
    b->err->len = (uint32_t)snprintf(b->err->msg, sizeof b->err->msg, "the queue of the backend is gone");
  }
  rc = REFUSE_WITH;
#else
  if (b->n > 0 && b->struct_size >= sizeof *b && b->item_stride >= sizeof(sixcall_item)) {
    pthread_mutex_lock(&c->mu);
    if (c->count < QUEUE) {
      uint32_t n_ok = 0;
      for (uint32_t i = 0; i < b->n; i++) {
        const sixcall_item *item = (const void *)((const char *)b->items + (size_t)i * b->item_stride);
        b->status[i] = one(c, item, op, b->value_lens ? &b->value_lens[i] : NULL);
        n_ok += b->status[i] == SIXCALL_STATUS_HIT;
      }
      rc = publish(c, b->ticket, op, n_ok, 0);
    } else {
      rc = SIXCALL_E_AGAIN;
    }
    pthread_mutex_unlock(&c->mu);
  }
#endif
  leave();
  return rc;
}

static int32_t submit_get(sixcall_conn *c, const sixcall_batch *b) { return submit(c, b, SIXCALL_OP_GET); }
static int32_t submit_set(sixcall_conn *c, const sixcall_batch *b) { return submit(c, b, SIXCALL_OP_SET); }
static int32_t submit_exists(sixcall_conn *c, const sixcall_batch *b) { return submit(c, b, SIXCALL_OP_EXISTS); }
static int32_t submit_delete(sixcall_conn *c, const sixcall_batch *b) { return submit(c, b, SIXCALL_OP_DELETE); }

static int32_t submit_ping(sixcall_conn *c, const sixcall_batch *b) {
  pthread_mutex_lock(&c->mu);
  int32_t rc = b->n == 0 && b->items == NULL ? publish(c, b->ticket, SIXCALL_OP_PING, 0, 0) : SIXCALL_E_INVAL;
  pthread_mutex_unlock(&c->mu);
  return rc;
}

static int32_t drain(sixcall_conn *c, sixcall_completion *out, uint32_t cap, uint32_t stride) {
#if defined(DRAIN_RETURNS)
  return DRAIN_RETURNS;
#elif defined(DRAIN_OVERRUNS)
  memset(out, 7, (size_t)(cap + 1) * stride);
  return (int32_t)cap;
#endif
  enter();
  uint64_t drop;
  uint32_t n = 0;
  pthread_mutex_lock(&c->mu);
  while (read(c->fd, &drop, 8) < 0 && errno == EINTR) {}
  for (; n < cap && c->count > 0; n++, c->count--, c->head++)
    *(sixcall_completion *)((char *)out + (size_t)n * stride) = c->queue[c->head % QUEUE];
  if (c->count > 0) {
    drop = 1;
    if (write(c->fd, &drop, 8) != 8) n = 0;
  }
  pthread_mutex_unlock(&c->mu);
  leave();
  return (int32_t)n;
}

#ifdef FOREIGN_LOG
static void *foreign(void *arg) {
  const sixcall_host *h = arg;
  for (int i = 0; i < FOREIGN_LOG; i++) {
    static const char bad[] = "line from a \xff thread\nwith hunter2";
    h->log(h->log_ctx, SIXCALL_LOG_INFO, bad, sizeof bad - 1);
  }
  h->log(h->log_ctx, SIXCALL_LOG_DEBUG, "debug", 5);
  char *big = malloc(100000);
  memset(big, 'x', 100000);
  h->log(h->log_ctx, SIXCALL_LOG_ERROR, big, 100000);
  free(big);
  return NULL;
}
#endif

#if defined(HANDLER_IN_OPEN) || defined(HANDLER_IN_CONSTRUCTOR)
static void handler(int sig) { (void)sig; }
static void disturb(void) {
  struct sigaction sa = {.sa_handler = handler};
  sigaction(SIGURG, &sa, NULL);
  signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
}
#endif
#ifdef HANDLER_IN_CONSTRUCTOR
__attribute__((constructor)) static void constructed(void) { disturb(); }
#endif

static int32_t fail_with(sixcall_err *err, int32_t code, const char *text) {
  if (err && text) {
    err->code = code;
    err->vendor_code = 111;
    err->len = (uint32_t)snprintf(err->msg, sizeof err->msg, "%s", text);
  }
  return code;
}

static int32_t open_conn(const sixcall_host *host, const sixcall_open_args *args, sixcall_conn **out, sixcall_err *err) {
#ifdef HANDLER_IN_OPEN
  disturb();
#endif
#ifdef OPEN_FAILS
  return fail_with(err, OPEN_FAILS, OPEN_TEXT);
#endif
#ifdef OPEN_ECHOES
  char text[200];
  snprintf(text, sizeof text, "cannot use %.*s", (int)args->config_len, args->config_json);
  return fail_with(err, SIXCALL_E_AUTH, text);
#endif
#ifdef OPEN_NULL
  return 0;
#endif
  if (args->struct_size < sizeof *args || host->struct_size < sizeof *host) return fail_with(err, SIXCALL_E_INVAL, "old host");
  sixcall_conn *c = calloc(1, sizeof *c);
  pthread_mutex_init(&c->mu, NULL);
  c->host = host;
#ifdef FD_FLAGS
  c->fd = eventfd(0, FD_FLAGS);
#elif defined(FD_FILE)
  c->fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
#else
  c->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
#endif
#ifdef FOREIGN_LOG
  pthread_t t;
  pthread_create(&t, NULL, foreign, (void *)host);
  pthread_join(t, NULL);
#endif
  *out = c;
  return 0;
}

static int32_t event_fd(sixcall_conn *c) {
#ifdef FD_RETURNS
  return FD_RETURNS;
#endif
#ifdef FD_CHANGES
  return c->fd + c->calls++;
#endif
  return c->fd;
}

static int32_t close_conn(sixcall_conn *c, uint32_t grace_ms) {
#ifdef CLOSE_RETURNS
  return CLOSE_RETURNS;
#endif
  (void)grace_ms;
  close(c->fd);
  for (uint32_t i = 0; i < ENTRIES; i++) {
    free(c->entries[i].key);
    free(c->entries[i].value);
  }
  free(c);
  return 0;
}

static int32_t limits(sixcall_conn *c, sixcall_limits *out) {
  (void)c;
  out->max_batch = 4096;
  out->max_key_len = 1024;
  out->buf_align = 1;
  out->best_batch = 64;
  out->max_inflight = QUEUE;
  out->max_value_len = UINT64_C(1) << 32;
  return 0;
}

static int32_t cancel(sixcall_conn *c, uint64_t ticket) {
  (void)c, (void)ticket;
  return SIXCALL_E_INVAL; /* nothing is in flight after submit */
}

static int32_t register_memory(sixcall_conn *c, const sixcall_memory *m, uint64_t *out, sixcall_err *err) {
  (void)c;
  if (m->len % 4096 != 0) return fail_with(err, SIXCALL_E_INVAL, "the length is no multiple of 4096");
  *out = 7;
  return 0;
}

static int32_t unregister_memory(sixcall_conn *c, uint64_t handle) {
  (void)c;
  return handle == 7 ? 0 : SIXCALL_E_INVAL;
}

static int32_t usage(sixcall_conn *c, sixcall_usage *out) {
  (void)c;
  out->bytes_used = 42;
  out->keys = (uint64_t)__atomic_load_n(&overlaps, __ATOMIC_SEQ_CST); /* for the tests of thread models */
  return 0;
}

static int32_t submit_list(sixcall_conn *c, const sixcall_batch *b, sixcall_page *page) {
  pthread_mutex_lock(&c->mu);
  uint32_t i = 0;
  memcpy(&i, page->cursor, page->cursor_len < 4 ? 0 : 4);
  for (page->used = 0, page->n = 0; i < ENTRIES && page->n < 3; i++) {
    entry *e = &c->entries[i];
    if (e->value == NULL) continue;
    uint64_t whole = (16 + e->key_len + 7u) / 8 * 8;
    if (page->used + whole > page->cap) break;
    uint8_t *to = page->buf + page->used;
    memset(to, 0, whole);
    memcpy(to, &e->key_len, 4);
    memcpy(to + 8, &e->len, 8);
    memcpy(to + 16, e->key, e->key_len);
    page->used += whole;
    page->n++;
  }
#ifdef LIST_LIES
  page->used = UINT64_MAX;
#endif
  memcpy(page->cursor, &i, 4);
  page->cursor_len = 4;
  page->flags = i == ENTRIES ? SIXCALL_PAGE_LAST : 0;
  int32_t rc = publish(c, b->ticket, SIXCALL_OP_LIST, 0, 0);
  pthread_mutex_unlock(&c->mu);
  return rc;
}

static int64_t stats_text(sixcall_conn *c, char *out, uint64_t cap) {
  (void)c;
  const uint64_t full = 40000; /* more than a first guess has room for */
  memset(out, '#', cap < full ? cap : full);
  return (int64_t)full;
}

#ifndef ABI_MAJOR
#define ABI_MAJOR SIXCALL_ABI_MAJOR
#endif
#ifndef TABLE_SIZE
#define TABLE_SIZE sizeof(sixcall_api)
#endif
#ifndef NEEDS
#define NEEDS 0
#endif
#ifndef OPEN_SLOT
#define OPEN_SLOT open_conn
#endif
#ifndef EVENT_FD_SLOT
#define EVENT_FD_SLOT event_fd
#endif
#ifndef GET_SLOT
#define GET_SLOT submit_get
#endif
#ifndef SET_SLOT
#define SET_SLOT submit_set
#endif
#ifndef EXISTS_SLOT
#define EXISTS_SLOT submit_exists
#endif
#ifndef DRAIN_SLOT
#define DRAIN_SLOT drain
#endif
#ifndef CLOSE_SLOT
#define CLOSE_SLOT close_conn
#endif

/* A later host's table: more slots than we know. */
typedef struct {
  sixcall_api api;
  void (*future[4])(void);
} longer;

static const longer table = {.api = {
  .struct_size = TABLE_SIZE,
  .abi_major = ABI_MAJOR,
  .abi_minor = SIXCALL_ABI_MINOR,
  .caps = CAPS,
  .needs = NEEDS,
  .thread_model = THREADS,
  .name = NAME,
  .version = VERSION,
  .vendor = "Sixcall tests",
  .config_schema = SCHEMA,
  .open = OPEN_SLOT,
  .event_fd = EVENT_FD_SLOT,
  .submit_batch_get = GET_SLOT,
  .submit_batch_set = SET_SLOT,
  .submit_batch_exists = EXISTS_SLOT,
  .drain_completions = DRAIN_SLOT,
  .close = CLOSE_SLOT,
  .submit_batch_delete = submit_delete,
  .limits = limits,
  .submit_ping = submit_ping,
  .cancel = cancel,
  .register_memory = register_memory,
  .unregister_memory = unregister_memory,
  .usage = usage,
  .submit_list = submit_list,
  .stats_text = stats_text,
}};

#ifndef NO_NOTE
SIXCALL_NOTE(CAPS, "Sixcall tests", NAME, VERSION);
#endif

#ifndef NO_ENTRY
SIXCALL_EXPORT const sixcall_api *sixcall_connector_entry_v1(const sixcall_host *host) {
  (void)host;
#ifdef ENTRY_RETURNS
  return (const sixcall_api *)(ENTRY_RETURNS);
#endif
  return &table.api;
}
#endif
