/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nixl-plain: what a plain program gets out of NIXL's POSIX backend when it does
 * what a cache has to do: a file per key, written under a temporary name and
 * renamed, its size checked before it is read. The measure for the connector.
 *
 *   nixl-plain LIBRARY FOLDER store|load BATCH VALUE_BYTES THREADS KEYS SECONDS
 *
 * Every thread has an agent with strict locking, all memory registered, and
 * registers the files of a batch with one call. Prints one line of JSON with the
 * fields of sixcall-driver.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { DRAM = 0, FILES = 4, READ = 0, WRITE = 1 };
struct config {
  bool progress, listen;
  int port, sync;
  unsigned workers;
  uint64_t delay, listen_delay;
  bool telemetry;
};

#define FUNCTIONS(F)                                                                             \
  F(create_configured_agent, const char *, const struct config *, void **)                       \
  F(get_plugin_params, void *, const char *, void **, void **)                                   \
  F(create_backend, void *, const char *, void *, void **)                                       \
  F(create_opt_args, void **)                                                                    \
  F(opt_args_add_backend, void *, void *)                                                        \
  F(create_reg_dlist, int, void **)                                                              \
  F(destroy_reg_dlist, void *)                                                                   \
  F(reg_dlist_add_desc, void *, uintptr_t, size_t, uint64_t, const void *, size_t)               \
  F(register_mem, void *, void *, void *)                                                        \
  F(deregister_mem, void *, void *, void *)                                                      \
  F(create_xfer_dlist, int, void **)                                                             \
  F(destroy_xfer_dlist, void *)                                                                  \
  F(xfer_dlist_add_desc, void *, uintptr_t, size_t, uint64_t)                                    \
  F(create_xfer_req, void *, int, void *, void *, const char *, void **, void *)                 \
  F(post_xfer_req, void *, void *, void *)                                                       \
  F(get_xfer_status, void *, void *)                                                             \
  F(release_xfer_req, void *, void *)                                                            \
  F(destroy_xfer_req, void *)
#define DECLARE(name, ...) static int (*name)(__VA_ARGS__);
FUNCTIONS(DECLARE)

static const char *folder;
static bool storing;
static size_t batch, bytes, threads, keys;
static double seconds;
static pthread_barrier_t start;

static void must(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "nixl-plain: %s failed\n", what);
  exit(1);
}
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct worker {
  size_t index, done;
  double took;
  void *agent, *args;
  char name[32];
  char *memory;
  int *fds;
  void **requests;
};

static void run_batch(struct worker *w, size_t first, bool write) {
  char path[512], temp[512];
  void *files;
  create_reg_dlist(FILES, &files);
  for (size_t i = 0; i < batch; i++) {
    if (write) {
      snprintf(temp, sizeof(temp), "%s/tmp-%zu-%zu", folder, w->index, i);
      w->fds[i] = open(temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    } else {
      struct stat st;
      snprintf(path, sizeof(path), "%s/model@0x00000000@0@%064zx.data", folder, (first + i) % keys);
      w->fds[i] = open(path, O_RDONLY | O_CLOEXEC);
      must(w->fds[i] >= 0 && fstat(w->fds[i], &st) == 0 && (size_t)st.st_size == bytes, "open");
    }
    must(w->fds[i] >= 0, "open");
    reg_dlist_add_desc(files, 0, bytes, (uint64_t)w->fds[i], NULL, 0);
  }
  must(register_mem(w->agent, files, w->args) == 0, "register");
  for (size_t i = 0; i < batch; i++) {
    void *local, *remote;
    create_xfer_dlist(DRAM, &local);
    create_xfer_dlist(FILES, &remote);
    xfer_dlist_add_desc(local, (uintptr_t)(w->memory + i * bytes), bytes, 0);
    xfer_dlist_add_desc(remote, 0, bytes, (uint64_t)w->fds[i]);
    must(create_xfer_req(w->agent, write ? WRITE : READ, local, remote, w->name, &w->requests[i], w->args) == 0, "request");
    destroy_xfer_dlist(local);
    destroy_xfer_dlist(remote);
    must(post_xfer_req(w->agent, w->requests[i], w->args) >= 0, "post");
  }
  for (size_t i = 0; i < batch; i++) {
    int status;
    while ((status = get_xfer_status(w->agent, w->requests[i])) == 1) {
    }
    must(status == 0, "transfer");
    release_xfer_req(w->agent, w->requests[i]);
    destroy_xfer_req(w->requests[i]);
  }
  deregister_mem(w->agent, files, w->args);
  destroy_reg_dlist(files);
  for (size_t i = 0; i < batch; i++) {
    close(w->fds[i]);
    if (!write) continue;
    snprintf(temp, sizeof(temp), "%s/tmp-%zu-%zu", folder, w->index, i);
    snprintf(path, sizeof(path), "%s/model@0x00000000@0@%064zx.data", folder, (first + i) % keys);
    must(rename(temp, path) == 0, "rename");
  }
}

static void *work(void *arg) {
  struct worker *w = arg;
  struct config config = {0};
  config.sync = 1;
  snprintf(w->name, sizeof(w->name), "plain-%zu", w->index);
  must(create_configured_agent(w->name, &config, &w->agent) == 0, "agent");
  void *memories, *params, *backend, *list;
  must(get_plugin_params(w->agent, "POSIX", &memories, &params) == 0, "plugin");
  must(create_backend(w->agent, "POSIX", params, &backend) == 0, "backend");
  create_opt_args(&w->args);
  opt_args_add_backend(w->args, backend);
  w->memory = aligned_alloc(4096, (batch * bytes + 4095) / 4096 * 4096);
  memset(w->memory, 'x', batch * bytes);
  create_reg_dlist(DRAM, &list);
  reg_dlist_add_desc(list, (uintptr_t)w->memory, batch * bytes, 0, NULL, 0);
  must(register_mem(w->agent, list, w->args) == 0, "register memory");
  w->fds = calloc(batch, sizeof(int));
  w->requests = calloc(batch, sizeof(void *));
  const size_t mine = keys / threads, first = w->index * mine;
  for (size_t i = 0; i < mine; i += batch) run_batch(w, first + i, true);
  pthread_barrier_wait(&start);
  const double from = now(), until = from + seconds;
  while (now() < until) {
    run_batch(w, first + w->done % mine, storing);
    w->done += batch;
  }
  w->took = now() - from;
  return NULL;
}

int main(int argc, char **argv) {
  if (argc != 9) {
    fprintf(stderr, "usage: nixl-plain LIBRARY FOLDER store|load BATCH VALUE_BYTES THREADS KEYS SECONDS\n");
    return 2;
  }
  void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  must(library != NULL, "dlopen");
#define RESOLVE(fn, ...) must((*(void **)&fn = dlsym(library, "nixl_capi_" #fn)) != NULL, #fn);
  FUNCTIONS(RESOLVE)
  folder = argv[2];
  mkdir(folder, 0755);
  storing = strcmp(argv[3], "store") == 0;
  batch = strtoul(argv[4], NULL, 10);
  bytes = strtoul(argv[5], NULL, 10);
  threads = strtoul(argv[6], NULL, 10);
  keys = strtoul(argv[7], NULL, 10);
  seconds = strtod(argv[8], NULL);
  must(batch > 0 && bytes > 0 && threads > 0 && keys >= batch * threads, "check of the arguments");
  struct worker *workers = calloc(threads, sizeof(*workers));
  pthread_t *ids = calloc(threads, sizeof(*ids));
  pthread_barrier_init(&start, NULL, (unsigned)threads);
  for (size_t i = 0; i < threads; i++) {
    workers[i].index = i;
    must(pthread_create(&ids[i], NULL, work, &workers[i]) == 0, "thread");
  }
  double rate = 0;
  for (size_t i = 0; i < threads; i++) {
    pthread_join(ids[i], NULL);
    rate += (double)workers[i].done / workers[i].took;
  }
  printf("{\"op\":\"%s\",\"batch\":%zu,\"value_bytes\":%zu,\"threads\":%zu,\"keys_per_s\":%.1f,\"gb_per_s\":%.3f}\n", argv[3], batch, bytes, threads,
         rate, rate * (double)bytes / 1e9);
  return 0;
}
