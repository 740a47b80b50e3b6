/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connector in C, in one file, with no other header than the ABI's. It has one
 * worker thread, because its client blocks: batches wait in a ring, are carried out
 * one after the other, and wait in a second ring until the host drains them.
 *
 * Three places are yours; they are marked. The rest is what every connector needs.
 */
#define _GNU_SOURCE /* for pthread_setname_np */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "sixcall/connector.h"

/* ====================================================================== */
/* YOUR PLACE 1 of 3: who you are, and what can be configured.             */
/* ====================================================================== */

#define NAME "shelf"
#define VERSION "0.1.0"
#define VENDOR "Shelf"
#define CAPS (SIXCALL_CAP_DELETE | SIXCALL_CAP_LIMITS | SIXCALL_CAP_READ_YOUR_WRITES | SIXCALL_CAP_VALUE_LENS)

static const char kSchema[] =
    "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
    "\"max_keys\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000000000,\"default\":10000000,"
    "\"description\":\"keys that are kept; more are refused\"},"
    "\"lazy\":{\"type\":\"boolean\",\"default\":false,\"description\":\"open without proving that the backend is reachable\"}}}";

typedef struct config {
  uint64_t max_keys;
  int lazy; /* with a server: do not connect in open */
} config;

enum { kMaxBatch = 65536, kMaxKeyLen = 4096, kMaxInflight = 256 };

/* ====================================================================== */
/* YOUR PLACE 2 of 3: the client. This one keeps values in memory: put      */
/* yours here, and connect in client_open.                                 */
/* ====================================================================== */

typedef struct entry {
  struct entry *next;
  uint64_t hash;
  uint64_t len;
  uint32_t key_len;
  uint8_t bytes[]; /* key, then value */
} entry;

typedef struct client {
  entry **buckets;
  uint64_t n_buckets; /* a power of two */
  uint64_t keys;
  uint64_t max_keys;
} client;

/* Connects. Returns 0, or a SIXCALL_E_ code with text filled. */
static int32_t client_open(client *c, const config *cfg, char *text, size_t cap) {
  c->n_buckets = 1024;
  c->max_keys = cfg->max_keys;
  c->buckets = calloc(c->n_buckets, sizeof(*c->buckets));
  if (c->buckets == NULL) {
    snprintf(text, cap, "out of memory");
    return SIXCALL_E_NOMEM;
  }
  return SIXCALL_OK;
}

static void client_close(client *c) {
  for (uint64_t i = 0; c->buckets != NULL && i < c->n_buckets; i++) {
    for (entry *e = c->buckets[i], *next; e != NULL; e = next) {
      next = e->next;
      free(e);
    }
  }
  free(c->buckets);
}

/* The place in its chain where the key is, or where it would be added. */
static entry **client_find(client *c, const uint8_t *key, uint32_t key_len, uint64_t *hash) {
  uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */
  for (uint32_t i = 0; i < key_len; i++) h = (h ^ key[i]) * UINT64_C(1099511628211);
  *hash = h;
  entry **at = &c->buckets[h & (c->n_buckets - 1)];
  while (*at != NULL && !((*at)->hash == h && (*at)->key_len == key_len && memcmp((*at)->bytes, key, key_len) == 0)) at = &(*at)->next;
  return at;
}

static void client_grow(client *c) {
  const uint64_t n = 2 * c->n_buckets;
  entry **buckets = calloc(n, sizeof(*buckets));
  if (buckets == NULL) return; /* slower, not wrong */
  for (uint64_t i = 0; i < c->n_buckets; i++) {
    for (entry *e = c->buckets[i], *next; e != NULL; e = next) {
      next = e->next;
      e->next = buckets[e->hash & (n - 1)];
      buckets[e->hash & (n - 1)] = e;
    }
  }
  free(c->buckets);
  c->buckets = buckets;
  c->n_buckets = n;
}

/* ====================================================================== */
/* YOUR PLACE 3 of 3: one key. Called on the worker thread only, may block.  */
/* Returns a status byte; *stored_len may be set to the value's length.      */
/* A GET writes at most len bytes, and nothing unless it returns HIT.        */
/* ====================================================================== */

static uint8_t client_get(client *c, const sixcall_item *item, uint64_t *stored_len) {
  uint64_t hash;
  const entry *e = *client_find(c, item->key, item->key_len, &hash);
  if (e == NULL) return SIXCALL_STATUS_MISS;
  *stored_len = e->len;
  if (e->len != item->len) return SIXCALL_STATUS_SIZE;
  if (e->len != 0) memcpy(item->buf, e->bytes + e->key_len, e->len);
  return SIXCALL_STATUS_HIT;
}

static uint8_t client_set(client *c, const sixcall_item *item) {
  uint64_t hash;
  entry **at = client_find(c, item->key, item->key_len, &hash);
  if (*at == NULL && c->keys >= c->max_keys) return SIXCALL_STATUS_REFUSED;
  if (item->len > SIZE_MAX / 2) return SIXCALL_STATUS_REFUSED;
  entry *e = malloc(sizeof(*e) + item->key_len + (size_t)item->len);
  if (e == NULL) return SIXCALL_STATUS_REFUSED;
  e->hash = hash;
  e->len = item->len;
  e->key_len = item->key_len;
  memcpy(e->bytes, item->key, item->key_len);
  if (item->len != 0) memcpy(e->bytes + item->key_len, item->buf, item->len);
  entry *old = *at;
  e->next = old != NULL ? old->next : NULL;
  *at = e;
  free(old);
  if (old == NULL && ++c->keys > c->n_buckets) client_grow(c);
  return SIXCALL_STATUS_HIT;
}

static uint8_t client_exists(client *c, const sixcall_item *item, uint64_t *stored_len) {
  uint64_t hash;
  const entry *e = *client_find(c, item->key, item->key_len, &hash);
  if (e == NULL) return SIXCALL_STATUS_MISS;
  *stored_len = e->len;
  return SIXCALL_STATUS_HIT;
}

static uint8_t client_delete(client *c, const sixcall_item *item) {
  uint64_t hash;
  entry **at = client_find(c, item->key, item->key_len, &hash);
  entry *e = *at;
  if (e == NULL) return SIXCALL_STATUS_MISS;
  *at = e->next;
  free(e);
  c->keys--;
  return SIXCALL_STATUS_HIT;
}

/* ====================================================================== */
/* From here on nothing has to change.                                     */
/* ====================================================================== */

/* ---------------------------------------------------------------- errors */

__attribute__((format(printf, 3, 4)))
static int32_t set_err(sixcall_err *err, int32_t code, const char *format, ...) {
  if (err == NULL || err->struct_size < sizeof(*err)) return code;
  va_list args;
  va_start(args, format);
  const int n = vsnprintf(err->msg, sizeof(err->msg), format, args);
  va_end(args);
  err->code = code;
  err->vendor_code = 0;
  err->len = n < 0 ? 0 : n < (int)sizeof(err->msg) ? (uint32_t)n : (uint32_t)sizeof(err->msg) - 1;
  return code;
}

/* --------------------------------------------------------- configuration */

/* A strict reader of one JSON object. It fails by setting what. */
typedef struct reader {
  const unsigned char *at, *end;
  const char *what; /* what is wrong, NULL = nothing */
} reader;

static void skip_blanks(reader *r) {
  while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')) r->at++;
}

static int take(reader *r, char c) {
  skip_blanks(r);
  if (r->at < r->end && *r->at == (unsigned char)c) {
    r->at++;
    return 1;
  }
  return 0;
}

static int take_word(reader *r, const char *word) {
  const size_t n = strlen(word);
  if ((size_t)(r->end - r->at) < n || memcmp(r->at, word, n) != 0) return 0;
  r->at += n;
  return 1;
}

/* Length of the UTF-8 sequence at p, 0 if it is none. */
static size_t utf8_length(const unsigned char *p, size_t n) {
  if (p[0] < 0x80) return 1;
  const size_t len = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
  if (p[0] < 0xC2 || p[0] > 0xF4 || len > n) return 0;
  for (size_t i = 1; i < len; i++) {
    if ((p[i] & 0xC0) != 0x80) return 0;
  }
  if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) || (p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F)) return 0;
  return len;
}

/* Reads a string; the first bytes of it go to out (NUL-terminated, cut at cap). */
static void read_string(reader *r, char *out, size_t cap) {
  size_t used = 0;
  if (!take(r, '"')) {
    r->what = "a string is missing";
    return;
  }
  for (; r->at < r->end && *r->at != '"';) {
    size_t len = utf8_length(r->at, (size_t)(r->end - r->at));
    const unsigned char *from = r->at;
    if (len == 0 || *r->at < 0x20) {
      r->what = "a string holds bytes that are no UTF-8 text";
      return;
    }
    if (*r->at == '\\') {
      if (r->end - r->at < 2 || strchr("\"\\/bfnrtu", r->at[1]) == NULL || r->at[1] == 0) {
        r->what = "a bad escape";
        return;
      }
      len = r->at[1] == 'u' ? 6 : 2;
      for (size_t i = 2; i < len; i++) {
        if ((size_t)(r->end - r->at) <= i || r->at[i] == 0 || strchr("0123456789abcdefABCDEF", r->at[i]) == NULL) {
          r->what = "a bad escape";
          return;
        }
      }
    }
    r->at += len;
    for (size_t i = 0; i < len && used + len - i < cap; i++) out[used++] = (char)from[i];
  }
  if (cap > 0) out[used] = 0;
  if (r->at == r->end) {
    r->what = "a string has no end";
    return;
  }
  r->at++;
}

static uint64_t read_uint(reader *r) {
  uint64_t value = 0;
  skip_blanks(r);
  if (r->at == r->end || *r->at < '0' || *r->at > '9') r->what = "want an integer, 0 or more";
  for (; r->what == NULL && r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++) {
    if (value > (UINT64_MAX - 9) / 10) r->what = "the number is too large";
    value = value * 10 + (uint64_t)(*r->at - '0');
  }
  if (r->what == NULL && r->at < r->end && strchr(".eE", *r->at) != NULL && *r->at != 0) r->what = "want an integer, 0 or more";
  return value;
}

static int read_bool(reader *r) {
  skip_blanks(r);
  if (take_word(r, "true")) return 1;
  if (!take_word(r, "false")) r->what = "want true or false";
  return 0;
}

/* Skips any value: what stands under a key that begins with "x-". */
static void skip_value(reader *r) {
  char open[32]; /* the brackets around the place where we are */
  size_t depth = 0;
  do {
    skip_blanks(r);
    if (r->at == r->end) {
      r->what = "the text ends too early";
    } else if (*r->at == '{' || *r->at == '[') {
      if (depth == sizeof(open)) {
        r->what = "more than 32 levels";
        return;
      }
      const char c = (char)*r->at++;
      if (take(r, c == '{' ? '}' : ']')) goto value_ended;
      open[depth++] = c;
      if (c == '{') goto name;
      continue;
    } else if (*r->at == '"') {
      read_string(r, NULL, 0);
    } else if (!take_word(r, "true") && !take_word(r, "false") && !take_word(r, "null")) {
      char *end = NULL;
      char number[64] = {0};
      const size_t n = (size_t)(r->end - r->at);
      memcpy(number, r->at, n < sizeof(number) - 1 ? n : sizeof(number) - 1);
      number[strspn(number, "+-.0123456789eE")] = 0;
      (void)strtod(number, &end);
      if (end == number || *end != 0) r->what = "no JSON value";
      r->at += end - number;
    }
  value_ended:
    if (r->what != NULL) return;
    while (depth > 0 && take(r, open[depth - 1] == '{' ? '}' : ']')) depth--;
    if (depth == 0) return;
    if (!take(r, ',')) {
      r->what = "a comma is missing";
      return;
    }
    if (open[depth - 1] == '{') {
    name:
      read_string(r, NULL, 0);
      if (r->what == NULL && !take(r, ':')) r->what = "a colon is missing";
    }
  } while (r->what == NULL);
}

static int32_t read_config(const sixcall_open_args *args, config *cfg, sixcall_err *err) {
  reader r = {(const unsigned char *)args->config_json, (const unsigned char *)args->config_json + args->config_len, NULL};
  char key[48] = "";
  cfg->max_keys = 10000000;
  cfg->lazy = 0;
  if (args->config_json == NULL || args->config_len > 1 << 20) return set_err(err, SIXCALL_E_CONFIG, "configuration: want one JSON object of at most 1 MiB");
  if (!take(&r, '{')) return set_err(err, SIXCALL_E_CONFIG, "configuration: want one JSON object");
  if (!take(&r, '}')) {
    do {
      read_string(&r, key, sizeof(key));
      if (r.what == NULL && !take(&r, ':')) r.what = "a colon is missing";
      if (r.what != NULL) break;
      if (strcmp(key, "max_keys") == 0) {
        cfg->max_keys = read_uint(&r);
        if (r.what == NULL && (cfg->max_keys < 1 || cfg->max_keys > 1000000000)) r.what = "want 1 to 1000000000";
      } else if (strcmp(key, "lazy") == 0) {
        cfg->lazy = read_bool(&r);
      } else if (strncmp(key, "x-", 2) == 0) {
        skip_value(&r);
      } else {
        return set_err(err, SIXCALL_E_CONFIG, "configuration: unknown key \"%s\"; known are max_keys and lazy", key);
      }
    } while (r.what == NULL && take(&r, ','));
    if (r.what == NULL && !take(&r, '}')) r.what = "a comma or the end is missing";
  }
  if (r.what == NULL) {
    skip_blanks(&r);
    if (r.at != r.end) r.what = "text after the end";
  }
  if (r.what != NULL) return set_err(err, SIXCALL_E_CONFIG, "configuration: %s%s%s", key, key[0] != 0 ? ": " : "", r.what);
  return SIXCALL_OK;
}

/* ------------------------------------------------------------ connection */

typedef struct job {
  sixcall_batch batch; /* a copy: the host's is valid during submit only */
  uint32_t op;
} job;

struct sixcall_conn {
  client client; /* the worker's only */
  int fd;
  pthread_t worker;
  pthread_mutex_t mu; /* guards what follows; never held during a transfer */
  pthread_cond_t more, end;
  int closing, ended;
  int cancel;        /* the grace of close is over */
  uint32_t inflight; /* accepted and not drained: bounds both rings */
  job jobs[kMaxInflight];
  uint32_t first_job, n_jobs;
  sixcall_completion done[kMaxInflight];
  uint32_t first_done, n_done;
};

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static const sixcall_item *item_at(const sixcall_batch *b, uint32_t i) {
  return (const sixcall_item *)((const uint8_t *)b->items + (size_t)i * b->item_stride);
}

static sixcall_completion carry_out(sixcall_conn *c, const job *j) {
  sixcall_completion done = {j->batch.ticket, SIXCALL_OK, j->op, 0, 0, 0};
  for (uint32_t i = 0; i < j->batch.n; i++) {
    const sixcall_item *item = item_at(&j->batch, i);
    uint64_t len = SIXCALL_LEN_UNKNOWN;
    uint8_t status = SIXCALL_STATUS_CANCELLED;
    if (!__atomic_load_n(&c->cancel, __ATOMIC_RELAXED)) {
      switch (j->op) {
        case SIXCALL_OP_GET: status = client_get(&c->client, item, &len); break;
        case SIXCALL_OP_SET: status = client_set(&c->client, item); break;
        case SIXCALL_OP_EXISTS: status = client_exists(&c->client, item, &len); break;
        default: status = client_delete(&c->client, item); break;
      }
    }
    j->batch.status[i] = status;
    if (j->batch.value_lens != NULL && j->op != SIXCALL_OP_SET && j->op != SIXCALL_OP_DELETE) j->batch.value_lens[i] = len;
    done.n_ok += status == SIXCALL_STATUS_HIT;
  }
  done.done_ns = now_ns();
  return done;
}

static void *work(void *arg) {
  sixcall_conn *c = arg;
  pthread_mutex_lock(&c->mu);
  for (;;) {
    while (c->n_jobs == 0 && !c->closing) pthread_cond_wait(&c->more, &c->mu);
    if (c->n_jobs == 0) break;
    const job j = c->jobs[c->first_job];
    c->first_job = (c->first_job + 1) % kMaxInflight;
    c->n_jobs--;
    pthread_mutex_unlock(&c->mu);
    const sixcall_completion done = carry_out(c, &j);
    pthread_mutex_lock(&c->mu);
    c->done[(c->first_done + c->n_done++) % kMaxInflight] = done;
    const uint64_t one = 1;
    while (write(c->fd, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
  }
  c->ended = 1;
  pthread_cond_signal(&c->end);
  pthread_mutex_unlock(&c->mu);
  return NULL;
}

/* The worker takes no signal of the host's, but crashes like any other thread. */
static int start_worker(sixcall_conn *c) {
  sigset_t block, before;
  sigfillset(&block);
  const int keep[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
  for (size_t i = 0; i < sizeof(keep) / sizeof(keep[0]); i++) sigdelset(&block, keep[i]);
  pthread_sigmask(SIG_SETMASK, &block, &before);
  const int failed = pthread_create(&c->worker, NULL, work, c);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (failed == 0) {
    char name[16];
    snprintf(name, sizeof(name), "sixcall:%.7s", NAME);
    pthread_setname_np(c->worker, name);
  }
  return failed;
}

static int32_t conn_open(const sixcall_host *host, const sixcall_open_args *args, sixcall_conn **out, sixcall_err *err) {
  (void)host; /* nothing to log */
  if (args == NULL || out == NULL || args->struct_size < sizeof(*args)) return set_err(err, SIXCALL_E_INVAL, "open: a pointer is NULL, or struct_size is too small");
  config cfg;
  const int32_t rc = read_config(args, &cfg, err);
  if (rc != SIXCALL_OK) return rc;
  sixcall_conn *c = calloc(1, sizeof(*c));
  if (c == NULL) return set_err(err, SIXCALL_E_NOMEM, "out of memory");
  char text[200];
  int32_t failed = client_open(&c->client, &cfg, text, sizeof(text));
  if (failed != SIXCALL_OK) {
    set_err(err, failed, "%s", text);
    goto no_client;
  }
  c->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (c->fd < 0) {
    failed = set_err(err, SIXCALL_E_IO, "eventfd: %s; raise the limit of open files", strerror(errno));
    goto no_fd;
  }
  pthread_mutex_init(&c->mu, NULL);
  pthread_condattr_t attr;
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_cond_init(&c->more, &attr);
  pthread_cond_init(&c->end, &attr);
  pthread_condattr_destroy(&attr);
  const int no_thread = start_worker(c);
  if (no_thread == 0) {
    *out = c;
    return SIXCALL_OK;
  }
  failed = set_err(err, SIXCALL_E_NOMEM, "pthread_create: %s; raise the limit of threads", strerror(no_thread));
  pthread_cond_destroy(&c->end);
  pthread_cond_destroy(&c->more);
  pthread_mutex_destroy(&c->mu);
  close(c->fd);
no_fd:
  client_close(&c->client);
no_client:
  free(c);
  return failed;
}

static int32_t conn_event_fd(sixcall_conn *c) { return c->fd; }

/* Whether a batch keeps the contract. Nothing is kept or written before this is known. */
static int valid(const sixcall_batch *b, uint32_t op) {
  if (b == NULL || b->struct_size < sizeof(*b) || b->n == 0 || b->n > kMaxBatch || b->items == NULL || b->status == NULL) return 0;
  if (b->item_stride < sizeof(sixcall_item) || b->item_stride % 8 != 0) return 0;
  for (uint32_t i = 0; i < b->n; i++) {
    const sixcall_item *item = item_at(b, i);
    if (item->key == NULL || item->key_len == 0 || item->key_len > kMaxKeyLen) return 0;
    if ((op == SIXCALL_OP_GET || op == SIXCALL_OP_SET) && item->buf == NULL && item->len != 0) return 0;
  }
  return 1;
}

static int32_t submit(sixcall_conn *c, const sixcall_batch *b, uint32_t op) {
  if (!valid(b, op) || b->mem_handle != 0) return SIXCALL_E_INVAL;
  int32_t rc = SIXCALL_OK;
  pthread_mutex_lock(&c->mu);
  if (c->closing) {
    rc = SIXCALL_E_CLOSED;
  } else if (c->inflight == kMaxInflight) {
    rc = SIXCALL_E_AGAIN;
  } else {
    job *j = &c->jobs[(c->first_job + c->n_jobs++) % kMaxInflight];
    j->batch = *b;
    j->op = op;
    c->inflight++;
    pthread_cond_signal(&c->more);
  }
  pthread_mutex_unlock(&c->mu);
  return rc;
}

static int32_t conn_get(sixcall_conn *c, const sixcall_batch *b) { return submit(c, b, SIXCALL_OP_GET); }
static int32_t conn_set(sixcall_conn *c, const sixcall_batch *b) { return submit(c, b, SIXCALL_OP_SET); }
static int32_t conn_exists(sixcall_conn *c, const sixcall_batch *b) { return submit(c, b, SIXCALL_OP_EXISTS); }
static int32_t conn_delete(sixcall_conn *c, const sixcall_batch *b) { return submit(c, b, SIXCALL_OP_DELETE); }

static int32_t conn_drain(sixcall_conn *c, sixcall_completion *out, uint32_t cap, uint32_t stride) {
  if (cap == 0) return 0;
  if (out == NULL || stride < sizeof(*out) || stride % 8 != 0) return SIXCALL_E_INVAL;
  pthread_mutex_lock(&c->mu);
  uint32_t n = 0;
  for (; n < cap && c->n_done > 0; n++) {
    *(sixcall_completion *)((uint8_t *)out + (size_t)n * stride) = c->done[c->first_done];
    c->first_done = (c->first_done + 1) % kMaxInflight;
    c->n_done--;
    c->inflight--;
  }
  if (c->n_done == 0) { /* under the lock, so that no signal of the worker is lost */
    uint64_t count;
    while (read(c->fd, &count, sizeof(count)) < 0 && errno == EINTR) {
    }
  }
  pthread_mutex_unlock(&c->mu);
  return (int32_t)n;
}

/* Waits for the worker's end with the lock held; whether it has ended. */
static int ends_within(sixcall_conn *c, uint32_t ms) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += ms / 1000;
  until.tv_nsec += (long)(ms % 1000) * 1000000;
  if (until.tv_nsec >= 1000000000) {
    until.tv_sec++;
    until.tv_nsec -= 1000000000;
  }
  while (!c->ended && pthread_cond_timedwait(&c->end, &c->mu, &until) == 0) {
  }
  return c->ended;
}

static int32_t conn_close(sixcall_conn *c, uint32_t grace_ms) {
  pthread_mutex_lock(&c->mu);
  c->closing = 1;
  pthread_cond_signal(&c->more);
  int ended = ends_within(c, grace_ms);
  if (!ended) {
    __atomic_store_n(&c->cancel, 1, __ATOMIC_RELAXED); /* what is left is answered CANCELLED, key by key */
    ended = ends_within(c, 250);
  }
  pthread_mutex_unlock(&c->mu);
  if (!ended) return SIXCALL_E_BUSY; /* inside one call of the client: it may still use the host's memory */
  pthread_join(c->worker, NULL);
  client_close(&c->client);
  pthread_cond_destroy(&c->end);
  pthread_cond_destroy(&c->more);
  pthread_mutex_destroy(&c->mu);
  close(c->fd);
  free(c);
  return SIXCALL_OK;
}

static int32_t conn_limits(sixcall_conn *c, sixcall_limits *out) {
  (void)c;
  if (out == NULL || out->struct_size < sizeof(*out)) return SIXCALL_E_INVAL;
  const sixcall_limits limits = {(uint32_t)sizeof(limits), kMaxBatch, kMaxKeyLen, 1, 0, 0, kMaxInflight};
  *out = limits;
  return SIXCALL_OK;
}

/* ----------------------------------------------------------------- table */

static const sixcall_api kTable = {
    .struct_size = (uint32_t)sizeof(sixcall_api),
    .abi_major = SIXCALL_ABI_MAJOR,
    .abi_minor = SIXCALL_ABI_MINOR,
    .caps = CAPS,
    .thread_model = SIXCALL_THREADS_PARALLEL,
    .name = NAME,
    .version = VERSION,
    .vendor = VENDOR,
    .config_schema = kSchema,
    .open = conn_open,
    .event_fd = conn_event_fd,
    .submit_batch_get = conn_get,
    .submit_batch_set = conn_set,
    .submit_batch_exists = conn_exists,
    .drain_completions = conn_drain,
    .close = conn_close,
    .submit_batch_delete = conn_delete,
    .limits = conn_limits,
};

SIXCALL_NOTE(CAPS, VENDOR, NAME, VERSION);

SIXCALL_EXPORT const sixcall_api *sixcall_connector_entry_v1(const sixcall_host *host) {
  return host != NULL && host->abi_major != SIXCALL_ABI_MAJOR ? NULL : &kTable;
}
