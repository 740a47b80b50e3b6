/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A libnixl_capi.so for tests: scripted failures, requests that never end, and a
 * watch on the rules of NIXL's C interface. One mutex guards everything.
 */
#include "fake_nixl.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define API __attribute__((visibility("default")))

enum { DRAM = 0, OBJECT = 3, FILES = 4 };
enum { DONE = 0, IN_PROGRESS = 1, BAD_PARAMETER = -1, BACKEND = -2, NOT_FOUND = -6 };

struct desc {
  uintptr_t addr;
  size_t len;
  uint64_t dev;
  char meta[1100];
};
struct list {
  int type;
  bool registers;
  size_t n;
  struct desc *descs;
};
struct reg { /* one registered descriptor */
  struct reg *next;
  int type;
  struct desc desc;
};
struct backend {
  struct agent *agent;
  bool dead;
  char name[32];
};
struct agent {
  struct agent *next;
  char name[64];
  struct backend *backend;
  struct reg *regs;
  long in_progress;
};
struct args {
  struct backend *backend;
};
struct request {
  struct agent *agent;
  int direction;
  size_t n;
  struct desc *local, *remote;
  int status;
  int polls_left;
  int result;
  bool posted, hanging;
};
struct object {
  struct object *next;
  char name[1100];
  char *data;
  size_t len;
};
struct config { /* as in NIXL's header */
  bool progress_thread, listen_thread;
  int listen_port, sync;
  unsigned workers;
  uint64_t progress_delay_us, listen_delay_us;
  bool telemetry;
};

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct fake_script script;
static struct fake_counts counts;
static struct agent *agents;
static struct object *objects;
static long let_go; /* 1 until nothing hangs any more */

static void broken(const char *rule) {
  if (counts.violation[0] == 0) snprintf(counts.violation, sizeof(counts.violation), "%s", rule);
}
static bool take(int *n) {
  if (*n <= 0) return false;
  --*n;
  return true;
}

/* ------------------------------------------------------------- controls */

API void fake_reset(void);
API void fake_set(const struct fake_script *s);
API void fake_get(struct fake_counts *c);
API void fake_let_go(void);
API void fake_kill(void);
API void fake_put(const char *name, const void *data, size_t len);
API long fake_size(const char *name);

void fake_reset(void) {
  pthread_mutex_lock(&mu);
  memset(&script, 0, sizeof(script));
  const struct fake_counts old = counts;
  memset(&counts, 0, sizeof(counts));
  counts.agents = old.agents, counts.backends = old.backends, counts.requests = old.requests, counts.lists = old.lists;
  counts.registrations = old.registrations, counts.hanging = old.hanging;
  while (objects != NULL) {
    struct object *next = objects->next;
    free(objects->data);
    free(objects);
    objects = next;
  }
  pthread_mutex_unlock(&mu);
}
void fake_set(const struct fake_script *s) {
  pthread_mutex_lock(&mu);
  script = *s;
  pthread_mutex_unlock(&mu);
}
void fake_get(struct fake_counts *c) {
  pthread_mutex_lock(&mu);
  *c = counts;
  pthread_mutex_unlock(&mu);
}
void fake_let_go(void) {
  pthread_mutex_lock(&mu);
  if (counts.hanging > 0) let_go = 1;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mu);
}
void fake_kill(void) {
  pthread_mutex_lock(&mu);
  for (struct agent *a = agents; a != NULL; a = a->next) {
    if (a->backend != NULL) a->backend->dead = true;
  }
  pthread_mutex_unlock(&mu);
}
static struct object *find(const char *name) {
  struct object *o = objects;
  while (o != NULL && strcmp(o->name, name) != 0) o = o->next;
  return o;
}
static void put(const char *name, const void *data, size_t len) {
  struct object *o = find(name);
  if (o == NULL) {
    o = calloc(1, sizeof(*o));
    snprintf(o->name, sizeof(o->name), "%s", name);
    o->next = objects;
    objects = o;
  }
  free(o->data);
  o->data = malloc(len + 1);
  memcpy(o->data, data, len);
  o->len = len;
}
void fake_put(const char *name, const void *data, size_t len) {
  pthread_mutex_lock(&mu);
  put(name, data, len);
  pthread_mutex_unlock(&mu);
}
long fake_size(const char *name) {
  pthread_mutex_lock(&mu);
  const struct object *o = find(name);
  const long size = o == NULL ? -1 : (long)o->len;
  pthread_mutex_unlock(&mu);
  return size;
}

/* --------------------------------------------------------------- agents */

/* Nobody reads the memory of another process here. */
API int nixl_capi_get_local_md(void *agent, void **data, size_t *len) {
  (void)agent, (void)data, (void)len;
  return -2;
}
API int nixl_capi_load_remote_md(void *agent, const void *data, size_t len, char **name) {
  (void)agent, (void)data, (void)len, (void)name;
  return -2;
}
API int nixl_capi_invalidate_remote_md(void *agent, const char *name) {
  (void)agent, (void)name;
  return -2;
}

API bool nixl_capi_is_stub(void) {
#ifdef FAKE_STUB
  return true;
#else
  return false;
#endif
}
#ifndef FAKE_OLD
API int nixl_capi_opt_args_set_custom_param(void *args, const void *data, size_t len) {
  (void)args, (void)data, (void)len;
  return DONE;
}
#endif

API int nixl_capi_create_configured_agent(const char *name, const struct config *config, void **out) {
  pthread_mutex_lock(&mu);
  if (config->sync != 1) broken("an agent without strict locking");
  struct agent *a = calloc(1, sizeof(*a));
  snprintf(a->name, sizeof(a->name), "%s", name);
  a->next = agents;
  agents = a;
  counts.agents++;
  counts.agents_made++;
  pthread_mutex_unlock(&mu);
  *out = a;
  return DONE;
}
API int nixl_capi_destroy_agent(void *agent) {
  pthread_mutex_lock(&mu);
  struct agent *a = agent;
  if (a->in_progress != 0) broken("an agent was destroyed with requests in progress");
  for (struct agent **at = &agents; *at != NULL; at = &(*at)->next) {
    if (*at != a) continue;
    *at = a->next;
    break;
  }
  while (a->regs != NULL) {
    struct reg *next = a->regs->next;
    if (a->regs->type == DRAM) counts.registrations--;
    if (a->regs->type != DRAM) broken("an agent was destroyed with files or objects registered");
    free(a->regs);
    a->regs = next;
  }
  free(a);
  counts.agents--;
  pthread_mutex_unlock(&mu);
  return DONE;
}
API int nixl_capi_get_plugin_params(void *agent, const char *plugin, void **memories, void **params) {
  (void)agent;
  int *mems = calloc(4, sizeof(int)); /* count, then types */
  const bool file = strcmp(plugin, "POSIX") == 0 || strcmp(plugin, "DIRECT") == 0 || strcmp(plugin, "BOTH") == 0;
  const bool object = strcmp(plugin, "OBJ") == 0 || strcmp(plugin, "BOTH") == 0;
  if (!file && !object && strcmp(plugin, "UCX") != 0) {
    free(mems);
    return BACKEND;
  }
  mems[++mems[0]] = DRAM;
  if (file) mems[++mems[0]] = FILES;
  if (object) mems[++mems[0]] = OBJECT;
  *memories = mems;
  *params = calloc(1, 1);
  return DONE;
}
API int nixl_capi_mem_list_size(void *list, size_t *n) {
  *n = (size_t)((int *)list)[0];
  return DONE;
}
API int nixl_capi_mem_list_get(void *list, size_t i, int *memory) {
  *memory = ((int *)list)[i + 1];
  return DONE;
}
API int nixl_capi_destroy_mem_list(void *list) {
  free(list);
  return DONE;
}
API int nixl_capi_params_add(void *params, const char *key, const char *value) {
  (void)params;
  return key[0] == 0 || value == NULL ? BAD_PARAMETER : DONE;
}
API int nixl_capi_destroy_params(void *params) {
  free(params);
  return DONE;
}
API int nixl_capi_create_backend(void *agent, const char *plugin, void *params, void **out) {
  (void)params;
  pthread_mutex_lock(&mu);
  const bool refuse = take(&script.refuse_backend);
  if (!refuse) {
    struct backend *b = calloc(1, sizeof(*b));
    b->agent = agent;
    snprintf(b->name, sizeof(b->name), "%s", plugin);
    ((struct agent *)agent)->backend = b;
    *out = b;
    counts.backends++;
  }
  pthread_mutex_unlock(&mu);
  return refuse ? BACKEND : DONE;
}
API int nixl_capi_destroy_backend(void *backend) {
  pthread_mutex_lock(&mu);
  struct backend *b = backend;
  if (b->agent->in_progress != 0) broken("a backend was destroyed with requests in progress");
  b->agent->backend = NULL;
  free(b);
  counts.backends--;
  pthread_mutex_unlock(&mu);
  return DONE;
}
API int nixl_capi_create_opt_args(void **args) {
  *args = calloc(1, sizeof(struct args));
  return DONE;
}
API int nixl_capi_destroy_opt_args(void *args) {
  free(args);
  return DONE;
}
API int nixl_capi_opt_args_add_backend(void *args, void *backend) {
  ((struct args *)args)->backend = backend;
  return DONE;
}

/* ---------------------------------------------------------------- lists */

static int new_list(int type, bool registers, void **out) {
  struct list *l = calloc(1, sizeof(*l));
  l->type = type;
  l->registers = registers;
  pthread_mutex_lock(&mu);
  counts.lists++;
  pthread_mutex_unlock(&mu);
  *out = l;
  return DONE;
}
static int free_list(void *list) {
  free(((struct list *)list)->descs);
  free(list);
  pthread_mutex_lock(&mu);
  counts.lists--;
  pthread_mutex_unlock(&mu);
  return DONE;
}
static int add(struct list *l, uintptr_t addr, size_t len, uint64_t dev, const void *meta, size_t meta_len) {
  l->descs = realloc(l->descs, (l->n + 1) * sizeof(*l->descs));
  struct desc *d = &l->descs[l->n++];
  memset(d, 0, sizeof(*d));
  d->addr = addr, d->len = len, d->dev = dev;
  if (meta_len >= sizeof(d->meta)) return BAD_PARAMETER;
  if (meta != NULL) memcpy(d->meta, meta, meta_len);
  return DONE;
}
API int nixl_capi_create_reg_dlist(int type, void **list) { return new_list(type, true, list); }
API int nixl_capi_destroy_reg_dlist(void *list) { return free_list(list); }
API int nixl_capi_reg_dlist_add_desc(void *list, uintptr_t addr, size_t len, uint64_t dev, const void *meta, size_t meta_len) {
  return add(list, addr, len, dev, meta, meta_len);
}
API int nixl_capi_create_xfer_dlist(int type, void **list) { return new_list(type, false, list); }
API int nixl_capi_destroy_xfer_dlist(void *list) { return free_list(list); }
API int nixl_capi_xfer_dlist_add_desc(void *list, uintptr_t addr, size_t len, uint64_t dev) { return add(list, addr, len, dev, NULL, 0); }

API int nixl_capi_register_mem(void *agent, void *list, void *args) {
  (void)args;
  struct agent *a = agent;
  const struct list *l = list;
  pthread_mutex_lock(&mu);
  const bool refuse = l->type != DRAM && take(&script.refuse_register);
  for (size_t i = 0; i < l->n && !refuse; i++) {
    struct reg *r = calloc(1, sizeof(*r));
    r->type = l->type;
    r->desc = l->descs[i];
    r->next = a->regs;
    a->regs = r;
    if (l->type == DRAM) counts.registrations++;
    if (l->type == FILES && fcntl((int)l->descs[i].dev, F_GETFD) < 0) broken("a closed file was registered");
  }
  pthread_mutex_unlock(&mu);
  return refuse ? BACKEND : DONE;
}
API int nixl_capi_deregister_mem(void *agent, void *list, void *args) {
  (void)args;
  struct agent *a = agent;
  const struct list *l = list;
  int rc = DONE;
  pthread_mutex_lock(&mu);
  for (size_t i = 0; i < l->n; i++) {
    struct reg **at = &a->regs;
    while (*at != NULL && !((*at)->type == l->type && (*at)->desc.addr == l->descs[i].addr && (*at)->desc.len == l->descs[i].len &&
                            (*at)->desc.dev == l->descs[i].dev)) {
      at = &(*at)->next;
    }
    if (*at == NULL) {
      broken("something was deregistered that was not registered");
      rc = NOT_FOUND;
      continue;
    }
    if (l->type == FILES && fcntl((int)l->descs[i].dev, F_GETFD) < 0) broken("a file was closed before it was deregistered");
    struct reg *gone = *at;
    *at = gone->next;
    free(gone);
    if (l->type == DRAM) counts.registrations--;
  }
  pthread_mutex_unlock(&mu);
  return rc;
}

/* ------------------------------------------------------------- requests */

static const struct reg *registered(const struct agent *a, int type, const struct desc *d) {
  for (const struct reg *r = a->regs; r != NULL; r = r->next) {
    const bool inside = d->addr >= r->desc.addr && d->addr + d->len <= r->desc.addr + r->desc.len;
    if (r->type == type && r->desc.dev == d->dev && inside) return r;
  }
  return NULL;
}

API int nixl_capi_create_xfer_req(void *agent, int direction, void *local, void *remote, const char *remote_agent, void **out, void *args) {
  (void)args;
  struct agent *a = agent;
  const struct list *l = local, *r = remote;
  pthread_mutex_lock(&mu);
  int rc = take(&script.refuse_create) ? BACKEND : DONE;
  if (strcmp(remote_agent, a->name) != 0) broken("a request for another agent");
  if (l->n != r->n || l->n == 0 || l->type != DRAM) broken("a request with lists that do not fit");
  for (size_t i = 0; i < l->n && rc == DONE; i++) {
    if (l->descs[i].len != r->descs[i].len) broken("a request with lengths that do not fit");
    if (registered(a, DRAM, &l->descs[i]) == NULL) broken("a request with memory that is not registered"), rc = BACKEND;
    if (registered(a, r->type, &r->descs[i]) == NULL) broken("a request for something that is not registered"), rc = BACKEND;
  }
  if (rc == DONE) {
    struct request *q = calloc(1, sizeof(*q));
    q->agent = a;
    q->direction = direction;
    q->n = l->n;
    q->local = calloc(l->n, sizeof(struct desc));
    q->remote = calloc(l->n, sizeof(struct desc));
    memcpy(q->local, l->descs, l->n * sizeof(struct desc));
    memcpy(q->remote, r->descs, l->n * sizeof(struct desc));
    if (r->type == OBJECT) snprintf(q->remote[0].meta, sizeof(q->remote[0].meta), "%s", registered(a, OBJECT, &r->descs[0])->desc.meta);
    counts.requests++;
    *out = q;
  }
  pthread_mutex_unlock(&mu);
  return rc;
}

/* Moves the bytes; with the mutex held. */
static int transfer(struct request *q) {
  if (q->agent->backend == NULL || q->agent->backend->dead) return BACKEND;
  if (strcmp(q->agent->backend->name, "OBJ") == 0) {
    char *memory = (char *)q->local[0].addr;
    if (q->direction == 1) {
      put(q->remote[0].meta, memory, q->local[0].len);
      return DONE;
    }
    const struct object *o = find(q->remote[0].meta);
    if (o == NULL || o->len == 0) return BACKEND;
    /* As the real one: a range, and no word about how much came. */
    memcpy(memory, o->data, o->len < q->local[0].len ? o->len : q->local[0].len);
    return DONE;
  }
  for (size_t i = 0; i < q->n; i++) {
    const struct desc *l = &q->local[i], *r = &q->remote[i];
    const ssize_t n = q->direction == 1 ? pwrite((int)r->dev, (void *)l->addr, l->len, (off_t)r->addr)
                                        : pread((int)r->dev, (void *)l->addr, l->len, (off_t)r->addr);
    if (n != (ssize_t)l->len) return BACKEND;
  }
  return DONE;
}

API int nixl_capi_post_xfer_req(void *agent, void *request, void *args) {
  (void)agent, (void)args;
  struct request *q = request;
  pthread_mutex_lock(&mu);
  counts.posted++;
  int rc = IN_PROGRESS;
  q->result = DONE;
  const bool skipped = take(&script.skip);
  if (!skipped && take(&script.refuse_post)) {
    rc = BACKEND;
  } else {
    if (!skipped && take(&script.end_with_n)) q->result = script.end_with;
    q->hanging = !skipped && take(&script.hang);
    if (q->hanging) counts.hanging++;
    q->polls_left = script.polls;
    if (script.done_at_post && !q->hanging) {
      rc = q->result == DONE ? transfer(q) : q->result;
    } else {
      q->posted = true;
      q->agent->in_progress++;
    }
  }
  q->status = rc;
  pthread_mutex_unlock(&mu);
  return rc;
}
API int nixl_capi_get_xfer_status(void *agent, void *request) {
  (void)agent;
  struct request *q = request;
  pthread_mutex_lock(&mu);
  counts.polled++;
  if (q->status == IN_PROGRESS && q->hanging && let_go > 0) {
    q->hanging = false;
    counts.hanging--;
    if (counts.hanging == 0) let_go = 0;
  }
  if (q->status == IN_PROGRESS && !q->hanging && q->polls_left-- <= 0) {
    q->status = q->result == DONE ? transfer(q) : q->result;
    q->agent->in_progress--;
  }
  const int rc = q->status;
  pthread_mutex_unlock(&mu);
  return rc;
}
API int nixl_capi_release_xfer_req(void *agent, void *request) {
  (void)agent;
  pthread_mutex_lock(&mu);
  if (((struct request *)request)->status == IN_PROGRESS) broken("a request was released in progress");
  pthread_mutex_unlock(&mu);
  return DONE;
}
API int nixl_capi_destroy_xfer_req(void *request) {
  struct request *q = request;
  free(q->local);
  free(q->remote);
  free(q);
  pthread_mutex_lock(&mu);
  counts.requests--;
  pthread_mutex_unlock(&mu);
  return DONE;
}

/* -------------------------------------------------------------- queries */

struct response {
  size_t n;
  bool *has;
};
API int nixl_capi_create_query_resp_list(void **list) {
  *list = calloc(1, sizeof(struct response));
  return DONE;
}
API int nixl_capi_destroy_query_resp_list(void *list) {
  free(((struct response *)list)->has);
  free(list);
  return DONE;
}
API int nixl_capi_query_resp_list_size(void *list, size_t *n) {
  *n = ((struct response *)list)->n;
  return DONE;
}
API int nixl_capi_query_resp_list_has_value(void *list, size_t i, bool *has) {
  *has = ((struct response *)list)->has[i];
  return DONE;
}
API int nixl_capi_query_mem(void *agent, void *list, void *response, void *args) {
  (void)args;
  const struct agent *a = agent;
  const struct list *l = list;
  struct response *r = response;
  pthread_mutex_lock(&mu);
  counts.queried++;
  if (take(&script.hang_query)) {
    counts.hanging++;
    while (let_go == 0) pthread_cond_wait(&changed, &mu);
    counts.hanging--;
    if (counts.hanging == 0) let_go = 0;
  }
  const bool refuse = take(&script.refuse_query) || a->backend == NULL || a->backend->dead;
  r->n = l->n;
  r->has = calloc(l->n, sizeof(bool));
  for (size_t i = 0; i < l->n; i++) r->has[i] = find(l->descs[i].meta) != NULL;
  pthread_mutex_unlock(&mu);
  return refuse ? BACKEND : DONE;
}
