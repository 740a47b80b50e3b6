/* SPDX-License-Identifier: Apache-2.0
 *
 * A libibverbs.so.1 with one device that cannot do anything. InfiniStore's server
 * refuses to start without a device, but its TCP mode never uses it: the device is
 * opened, its port is asked for, and the memory pool is registered. Everything
 * that would move data fails.
 *
 *   cc -shared -fPIC -Wl,-soname,libibverbs.so.1 -Wl,--version-script=ibverbs_stub.map \
 *      -o libibverbs.so.1 ibverbs_stub.c
 *
 * The structs have the layout of libibverbs' stable ABI, as far as a caller reads them.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define API __attribute__((visibility("default")))

struct device {
  void *ops[2];
  int node_type;      /* 1: channel adapter */
  int transport_type; /* 0: InfiniBand */
  char name[64];
  char dev_name[64];
  char dev_path[256];
  char ibdev_path[256];
};

struct context {
  struct device *device;
  void *ops[32]; /* 11: poll_cq, 12: req_notify_cq */
  int cmd_fd;
  int async_fd;
  int num_comp_vectors;
  char mutex[40];
  void *abi_compat; /* NULL: no extended functions */
};

struct pd {
  struct context *context;
  uint32_t handle;
};

struct mr {
  struct context *context;
  struct pd *pd;
  void *addr;
  size_t length;
  uint32_t handle, lkey, rkey;
};

struct channel {
  struct context *context;
  int fd;
  int refcnt;
};

struct cq {
  struct context *context;
  struct channel *channel;
  void *cq_context;
  uint32_t handle;
  int cqe;
  char rest[128];
};

struct port_attr {
  int state, max_mtu, active_mtu, gid_tbl_len;
  uint32_t port_cap_flags, max_msg_sz, bad_pkey_cntr, qkey_viol_cntr;
  uint16_t pkey_tbl_len, lid, sm_lid;
  uint8_t lmc, max_vl_num, sm_sl, subnet_timeout, init_type_reply, active_width, active_speed, phys_state, link_layer;
};

static struct device the_device = {.node_type = 1, .name = "stub0", .dev_name = "uverbs0"};
static uint32_t last_key;

static int no_completions(void *cq, int n, void *wc) {
  (void)cq, (void)n, (void)wc;
  return 0;
}
static int no_notification(void *cq, int solicited_only) {
  (void)cq, (void)solicited_only;
  return 0;
}
static void *fail_null(void) {
  errno = ENOSYS;
  return NULL;
}

API void **ibv_get_device_list(int *num) {
  void **list = calloc(2, sizeof(*list));
  if (list != NULL) list[0] = &the_device;
  if (num != NULL) *num = list != NULL;
  return list;
}
API void ibv_free_device_list(void **list) { free(list); }
API const char *ibv_get_device_name(struct device *d) { return d->name; }

API struct context *ibv_open_device(struct device *d) {
  struct context *c = calloc(1, sizeof(*c) + 4096);
  if (c == NULL) return NULL;
  c->device = d;
  c->ops[11] = (void *)(uintptr_t)&no_completions;
  c->ops[12] = (void *)(uintptr_t)&no_notification;
  c->cmd_fd = c->async_fd = -1;
  c->num_comp_vectors = 1;
  return c;
}
API int ibv_close_device(struct context *c) {
  free(c);
  return 0;
}

API int ibv_query_port(struct context *c, uint8_t port, struct port_attr *a) {
  (void)c, (void)port;
  memset(a, 0, offsetof(struct port_attr, link_layer) + 1);
  a->state = 4; /* active */
  a->max_mtu = a->active_mtu = 3;
  a->gid_tbl_len = 1;
  a->lid = 1;
  a->link_layer = 1; /* InfiniBand */
  return 0;
}
API int ibv_query_gid(struct context *c, uint8_t port, int index, uint8_t *gid) {
  (void)c, (void)port, (void)index;
  memset(gid, 0, 16);
  gid[15] = 1;
  return 0;
}

API struct pd *ibv_alloc_pd(struct context *c) {
  struct pd *p = calloc(1, sizeof(*p));
  if (p != NULL) p->context = c;
  return p;
}
API int ibv_dealloc_pd(struct pd *p) {
  free(p);
  return 0;
}

API struct mr *ibv_reg_mr(struct pd *p, void *addr, size_t length, int access) {
  struct mr *m = calloc(1, sizeof(*m));
  (void)access;
  if (m == NULL) return NULL;
  m->context = p->context;
  m->pd = p;
  m->addr = addr;
  m->length = length;
  m->handle = m->lkey = m->rkey = __atomic_add_fetch(&last_key, 1, __ATOMIC_RELAXED);
  return m;
}
API int ibv_dereg_mr(struct mr *m) {
  free(m);
  return 0;
}

API struct channel *ibv_create_comp_channel(struct context *c) {
  struct channel *ch = calloc(1, sizeof(*ch));
  if (ch == NULL) return NULL;
  ch->context = c;
  ch->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); /* pollable, never readable */
  return ch;
}
API int ibv_destroy_comp_channel(struct channel *ch) {
  close(ch->fd);
  free(ch);
  return 0;
}

API struct cq *ibv_create_cq(struct context *c, int cqe, void *cq_context, struct channel *ch, int vector) {
  struct cq *q = calloc(1, sizeof(*q));
  (void)vector;
  if (q == NULL) return NULL;
  q->context = c;
  q->channel = ch;
  q->cq_context = cq_context;
  q->cqe = cqe;
  return q;
}
API int ibv_destroy_cq(struct cq *q) {
  free(q);
  return 0;
}
API int ibv_get_cq_event(struct channel *ch, void **cq, void **cq_context) {
  (void)ch, (void)cq, (void)cq_context;
  errno = EAGAIN;
  return -1;
}
API void ibv_ack_cq_events(struct cq *q, unsigned int n) { (void)q, (void)n; }

API void *ibv_create_qp(struct pd *p, void *attr) {
  (void)p, (void)attr;
  return fail_null();
}
API int ibv_modify_qp(void *qp, void *attr, int mask) {
  (void)qp, (void)attr, (void)mask;
  return ENOSYS;
}
API int ibv_destroy_qp(void *qp) {
  (void)qp;
  return ENOSYS;
}
API const char *ibv_wc_status_str(int status) {
  (void)status;
  return "no such device";
}
