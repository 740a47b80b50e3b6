/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A complete connector in C11 that knows only the frozen header: values in
 * memory, every batch done inside its submit, one call at a time per handle.
 */
#include "sixcall/connector_v1.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { MAX_QUEUE = 64 };

typedef struct entry {
  struct entry *next;
  uint8_t *key;
  uint8_t *value;
  uint64_t len;
  uint32_t key_len;
  uint32_t reserved;
} entry;

struct sixcall_conn {
  entry *entries;
  sixcall_completion queue[MAX_QUEUE];
  uint32_t head;
  uint32_t count;
  int fd;
  int reserved;
};

static void fail(sixcall_err *err, int32_t code, const char *text) {
  if (err == NULL) return;
  err->code = code;
  err->vendor_code = 0;
  err->len = (uint32_t)strlen(text);
  memcpy(err->msg, text, err->len + 1u);
}

static int32_t v1_open(const sixcall_host *host, const sixcall_open_args *args, sixcall_conn **out, sixcall_err *err) {
  sixcall_conn *self;
  if (host->abi_major != SIXCALL_ABI_MAJOR || args->struct_size < sizeof(*args)) {
    fail(err, SIXCALL_E_VERSION, "the host is older than ABI 1.0");
    return SIXCALL_E_VERSION;
  }
  self = (sixcall_conn *)calloc(1, sizeof(*self));
  if (self == NULL) {
    fail(err, SIXCALL_E_NOMEM, "out of memory");
    return SIXCALL_E_NOMEM;
  }
  self->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (self->fd < 0) {
    free(self);
    fail(err, SIXCALL_E_IO, "eventfd failed");
    return SIXCALL_E_IO;
  }
  *out = self;
  return SIXCALL_OK;
}

static int32_t v1_event_fd(sixcall_conn *self) { return self->fd; }

static entry **find(sixcall_conn *self, const sixcall_item *item) {
  entry **at = &self->entries;
  while (*at != NULL && ((*at)->key_len != item->key_len || memcmp((*at)->key, item->key, item->key_len) != 0)) {
    at = &(*at)->next;
  }
  return at;
}

static uint8_t get(sixcall_conn *self, const sixcall_item *item) {
  const entry *found = *find(self, item);
  if (found == NULL) return SIXCALL_STATUS_MISS;
  if (found->len != item->len) return SIXCALL_STATUS_SIZE;
  if (item->len > 0) memcpy(item->buf, found->value, item->len);
  return SIXCALL_STATUS_HIT;
}

static uint8_t set(sixcall_conn *self, const sixcall_item *item) {
  entry **at = find(self, item);
  uint8_t *value = (uint8_t *)malloc(item->len + 1);
  if (value == NULL) return SIXCALL_STATUS_ERROR;
  if (item->len > 0) memcpy(value, item->buf, item->len);
  if (*at == NULL) {
    entry *made = (entry *)calloc(1, sizeof(*made));
    uint8_t *key = (uint8_t *)malloc(item->key_len);
    if (made == NULL || key == NULL) {
      free(made);
      free(key);
      free(value);
      return SIXCALL_STATUS_ERROR;
    }
    memcpy(key, item->key, item->key_len);
    made->key = key;
    made->key_len = item->key_len;
    *at = made;
  }
  free((*at)->value);
  (*at)->value = value;
  (*at)->len = item->len;
  return SIXCALL_STATUS_HIT;
}

static uint8_t exists(sixcall_conn *self, const sixcall_item *item) {
  return *find(self, item) != NULL ? SIXCALL_STATUS_HIT : SIXCALL_STATUS_MISS;
}

static int32_t submit(sixcall_conn *self, const sixcall_batch *batch, uint32_t op,
                      uint8_t (*one)(sixcall_conn *, const sixcall_item *)) {
  sixcall_completion *done;
  const uint64_t signal = 1;
  uint32_t i;
  if (batch->n == 0 || batch->items == NULL || batch->status == NULL || batch->flags != 0 ||
      batch->item_stride < sizeof(sixcall_item)) {
    return SIXCALL_E_INVAL;
  }
  if (self->count == MAX_QUEUE) return SIXCALL_E_AGAIN;
  done = &self->queue[(self->head + self->count) % MAX_QUEUE];
  memset(done, 0, sizeof(*done));
  for (i = 0; i < batch->n; i++) {
    const uint8_t *at = (const uint8_t *)batch->items + (size_t)i * batch->item_stride;
    batch->status[i] = one(self, (const sixcall_item *)(const void *)at);
    done->n_ok += batch->status[i] == SIXCALL_STATUS_HIT;
  }
  done->ticket = batch->ticket;
  done->op = op;
  self->count++;
  if (write(self->fd, &signal, sizeof(signal)) < 0) return SIXCALL_OK; /* the counter is far from full */
  return SIXCALL_OK;
}

static int32_t v1_get(sixcall_conn *self, const sixcall_batch *batch) {
  return submit(self, batch, SIXCALL_OP_GET, get);
}

static int32_t v1_set(sixcall_conn *self, const sixcall_batch *batch) {
  return submit(self, batch, SIXCALL_OP_SET, set);
}

static int32_t v1_exists(sixcall_conn *self, const sixcall_batch *batch) {
  return submit(self, batch, SIXCALL_OP_EXISTS, exists);
}

static int32_t v1_drain(sixcall_conn *self, sixcall_completion *out, uint32_t cap, uint32_t stride) {
  uint64_t signal;
  uint32_t n = 0;
  if (out == NULL || stride < sizeof(*out)) return SIXCALL_E_INVAL;
  if (read(self->fd, &signal, sizeof(signal)) < 0 && self->count == 0) return 0;
  for (; n < cap && self->count > 0; n++) {
    memcpy((uint8_t *)out + (size_t)n * stride, &self->queue[self->head], sizeof(*out));
    self->head = (self->head + 1) % MAX_QUEUE;
    self->count--;
  }
  signal = 1;
  if (self->count > 0 && write(self->fd, &signal, sizeof(signal)) < 0) return SIXCALL_E_IO;
  return (int32_t)n;
}

static int32_t v1_close(sixcall_conn *self, uint32_t grace_ms) {
  (void)grace_ms;
  while (self->entries != NULL) {
    entry *gone = self->entries;
    self->entries = gone->next;
    free(gone->key);
    free(gone->value);
    free(gone);
  }
  close(self->fd);
  free(self);
  return SIXCALL_OK;
}

static const sixcall_api api = {
    .struct_size = sizeof(sixcall_api),
    .abi_major = SIXCALL_ABI_MAJOR,
    .abi_minor = SIXCALL_ABI_MINOR,
    .caps = SIXCALL_CAP_READ_YOUR_WRITES,
    .thread_model = SIXCALL_THREADS_PER_HANDLE,
    .name = "frozen_c",
    .version = "1.0.0",
    .vendor = "Sixcall",
    .open = v1_open,
    .event_fd = v1_event_fd,
    .submit_batch_get = v1_get,
    .submit_batch_set = v1_set,
    .submit_batch_exists = v1_exists,
    .drain_completions = v1_drain,
    .close = v1_close,
};

SIXCALL_NOTE(SIXCALL_CAP_READ_YOUR_WRITES, "Sixcall", "frozen_c", "1.0.0");

SIXCALL_EXPORT const sixcall_api *sixcall_connector_entry_v1(const sixcall_host *host) {
  return host->abi_major == SIXCALL_ABI_MAJOR ? &api : NULL;
}
