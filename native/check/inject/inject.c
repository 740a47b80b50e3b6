/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "inject.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define VISIBLE __attribute__((visibility("default")))

/* --------------------------------------------------------- who is calling */

/* The text of the main program, and of the loader: not to be disturbed. */
static uintptr_t program_from, program_to, loader_from, loader_to;

static int find_program(struct dl_phdr_info *info, size_t size, void *arg) {
  (void)size;
  int *first = arg;
  const int is_program = *first;
  const int is_loader = info->dlpi_name != NULL && strstr(info->dlpi_name, "ld-linux") != NULL;
  *first = 0;
  if (!is_program && !is_loader) return 0;
  uintptr_t from = UINTPTR_MAX, to = 0;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    if (info->dlpi_phdr[i].p_type != PT_LOAD) continue;
    const uintptr_t at = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
    if (at < from) from = at;
    if (at + info->dlpi_phdr[i].p_memsz > to) to = at + info->dlpi_phdr[i].p_memsz;
  }
  if (is_loader) loader_from = from, loader_to = to;
  else program_from = from, program_to = to; /* the first one is the program */
  return 0;
}

/* ---------------------------------------------------------------- the plan */

static _Atomic(const char *) armed_name;
static atomic_int armed_error;
static atomic_ullong armed_nth, armed_count, seen, hits;
static _Atomic(int64_t) clock_offset;
static atomic_ullong sched_seed;
static char armed_text[32];

VISIBLE uint64_t sixcall_inject_control(int command, const char *name, int error, uint64_t nth, uint64_t count);
uint64_t sixcall_inject_control(int command, const char *name, int error, uint64_t nth, uint64_t count) {
  switch (command) {
    case SIXCALL_INJECT_ARM: {
      int first = 1;
      if (program_to == 0) dl_iterate_phdr(find_program, &first);
    }
      atomic_store(&armed_name, NULL);
      strncpy(armed_text, name, sizeof(armed_text) - 1);
      atomic_store(&armed_error, error);
      atomic_store(&armed_nth, nth);
      atomic_store(&armed_count, count);
      atomic_store(&seen, 0);
      atomic_store(&hits, 0);
      atomic_store(&armed_name, armed_text);
      return 0;
    case SIXCALL_INJECT_DISARM:
      atomic_store(&armed_name, NULL);
      return atomic_load(&seen);
    case SIXCALL_INJECT_HITS: return atomic_load(&hits);
    case SIXCALL_INJECT_CLOCK: atomic_store(&clock_offset, (int64_t)nth); return 0;
    case SIXCALL_INJECT_SCHED: atomic_store(&sched_seed, nth); return 0;
    default: return 0;
  }
}

/* Whether this call has to fail; *error says how. */
static int fails(const char *name, const void *caller, int *error) {
  const char *armed = atomic_load_explicit(&armed_name, memory_order_relaxed);
  if (armed == NULL || strcmp(armed, name) != 0) return 0;
  const uintptr_t at = (uintptr_t)caller;
  if (at >= program_from && at < program_to) return 0;
  if (at >= loader_from && at < loader_to) return 0; /* it aborts when it has no memory */
  const unsigned long long n = atomic_fetch_add(&seen, 1) + 1, first = atomic_load(&armed_nth), count = atomic_load(&armed_count);
  if (n < first || (count != 0 && n >= first + count)) return 0;
  atomic_fetch_add(&hits, 1);
  *error = atomic_load(&armed_error);
  return 1;
}

/* The next definition of a function. dlsym may allocate: what it needs before we
 * know malloc comes from a small pool. */
#define NEXT(type, name, parameters)                                       \
  static type(*next) parameters;                                           \
  if (next == NULL) {                                                      \
    void *found = dlsym(RTLD_NEXT, #name);                                 \
    memcpy(&next, &found, sizeof(next));                                   \
  }

#define CALLER __builtin_return_address(0)

/* --------------------------------------------------------------- schedule */

static void pause_a_little(void) {
  static _Thread_local uint64_t state;
  const unsigned long long seed = atomic_load_explicit(&sched_seed, memory_order_relaxed);
  if (seed == 0) return;
  if (state == 0) state = seed ^ ((uint64_t)(uintptr_t)&state * 0x9E3779B97F4A7C15u) ^ 1;
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  if (state % 64 == 0) {
    const struct timespec t = {0, (long)(state / 64 % 300000)};
    nanosleep(&t, NULL);
  } else if (state % 16 == 0) {
    sched_yield();
  }
}

VISIBLE int pthread_mutex_lock(pthread_mutex_t *m) {
  NEXT(int, pthread_mutex_lock, (pthread_mutex_t *))
  pause_a_little();
  return next(m);
}

VISIBLE int pthread_mutex_unlock(pthread_mutex_t *m) {
  NEXT(int, pthread_mutex_unlock, (pthread_mutex_t *))
  const int rc = next(m);
  pause_a_little();
  return rc;
}

/* ------------------------------------------------------------- allocation */

static char pool[64 << 10] __attribute__((aligned(16)));
static atomic_size_t pool_used;

static void *from_pool(size_t n) {
  const size_t at = atomic_fetch_add(&pool_used, (n + 31) / 16 * 16);
  if (at + n + 16 > sizeof(pool)) return NULL;
  memcpy(pool + at, &n, sizeof(n));
  return pool + at + 16;
}
static int in_pool(const void *p) { return (const char *)p >= pool && (const char *)p < pool + sizeof(pool); }

static void *(*real_malloc)(size_t);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);
static void (*real_free)(void *);
static int (*real_posix_memalign)(void **, size_t, size_t);
static void *(*real_aligned_alloc)(size_t, size_t);
static _Thread_local int resolving;

static void resolve(void) {
  if (real_free != NULL || resolving) return;
  resolving = 1;
  void *found;
#define FIND(name) found = dlsym(RTLD_NEXT, #name), memcpy(&real_##name, &found, sizeof(found))
  FIND(malloc);
  FIND(calloc);
  FIND(realloc);
  FIND(posix_memalign);
  FIND(aligned_alloc);
  FIND(free);
  resolving = 0;
}

VISIBLE void *malloc(size_t n) {
  int error;
  if (fails("alloc", CALLER, &error)) return errno = ENOMEM, NULL;
  resolve();
  return real_malloc != NULL && !resolving ? real_malloc(n) : from_pool(n);
}
VISIBLE void *calloc(size_t n, size_t size) {
  int error;
  if (fails("alloc", CALLER, &error)) return errno = ENOMEM, NULL;
  resolve();
  return real_calloc != NULL && !resolving ? real_calloc(n, size) : from_pool(n * size); /* the pool is zero */
}
VISIBLE void *realloc(void *p, size_t n) {
  int error;
  if (fails("alloc", CALLER, &error)) return errno = ENOMEM, NULL;
  resolve();
  if (p != NULL && in_pool(p)) {
    size_t old;
    memcpy(&old, (char *)p - 16, sizeof(old));
    void *to = malloc(n);
    if (to != NULL) memcpy(to, p, old < n ? old : n);
    return to;
  }
  return real_realloc != NULL ? real_realloc(p, n) : from_pool(n);
}
VISIBLE void free(void *p) {
  if (p == NULL || in_pool(p)) return;
  resolve();
  real_free(p);
}
VISIBLE int posix_memalign(void **out, size_t align, size_t n) {
  int error;
  if (fails("alloc", CALLER, &error)) return ENOMEM;
  resolve();
  return real_posix_memalign(out, align, n);
}
VISIBLE void *aligned_alloc(size_t align, size_t n) {
  int error;
  if (fails("alloc", CALLER, &error)) return errno = ENOMEM, NULL;
  resolve();
  return real_aligned_alloc(align, n);
}

/* ------------------------------------------------------- threads and clock */

VISIBLE int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg) {
  NEXT(int, pthread_create, (pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))
  int error;
  if (fails("thread", CALLER, &error)) return error;
  return next(thread, attr, start, arg);
}

VISIBLE int clock_gettime(clockid_t id, struct timespec *t) {
  NEXT(int, clock_gettime, (clockid_t, struct timespec *))
  const int rc = next(id, t);
  if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) t->tv_sec += atomic_load(&clock_offset);
  return rc;
}
VISIBLE int gettimeofday(struct timeval *restrict t, void *restrict zone) {
  NEXT(int, gettimeofday, (struct timeval *, void *))
  const int rc = next(t, zone);
  if (rc == 0) t->tv_sec += atomic_load(&clock_offset);
  return rc;
}
VISIBLE time_t time(time_t *out) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  if (out != NULL) *out = t.tv_sec;
  return t.tv_sec;
}

/* ------------------------------------------------------------ system calls */

/* A call that fails with -1 and errno. */
#define FAILING(type, name, parameters, arguments)                                       \
  VISIBLE type name parameters {                                                         \
    NEXT(type, name, parameters)                                                         \
    int error;                                                                           \
    if (fails(#name, CALLER, &error)) return errno = error == 0 ? EINTR : error, (type)-1; \
    return next arguments;                                                               \
  }
/* The same, and with error 0 it transfers one byte only. Eight bytes and less are
 * left alone: an event fd does not fail. */
#define SHORT(name, parameters, arguments, short_arguments)                              \
  VISIBLE ssize_t name parameters {                                                      \
    NEXT(ssize_t, name, parameters)                                                      \
    int error;                                                                           \
    if (n > 8 && fails(#name, CALLER, &error)) {                                         \
      if (error != 0) return errno = error, -1;                                          \
      return next short_arguments;                                                       \
    }                                                                                    \
    return next arguments;                                                               \
  }

SHORT(read, (int fd, void *p, size_t n), (fd, p, n), (fd, p, 1))
SHORT(write, (int fd, const void *p, size_t n), (fd, p, n), (fd, p, 1))
SHORT(pread, (int fd, void *p, size_t n, off_t at), (fd, p, n, at), (fd, p, 1, at))
SHORT(pwrite, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at), (fd, p, 1, at))
SHORT(pread64, (int fd, void *p, size_t n, off64_t at), (fd, p, n, at), (fd, p, 1, at))
SHORT(pwrite64, (int fd, const void *p, size_t n, off64_t at), (fd, p, n, at), (fd, p, 1, at))
SHORT(send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags), (fd, p, 1, flags))
SHORT(recv, (int fd, void *p, size_t n, int flags), (fd, p, n, flags), (fd, p, 1, flags))
FAILING(ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n))
FAILING(ssize_t, readv, (int fd, const struct iovec *v, int n), (fd, v, n))
FAILING(ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
FAILING(ssize_t, recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags))
FAILING(int, connect, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
FAILING(int, socket, (int family, int type, int protocol), (family, type, protocol))
FAILING(int, eventfd, (unsigned initial, int flags), (initial, flags))
FAILING(int, epoll_create1, (int flags), (flags))
FAILING(int, fsync, (int fd), (fd))
FAILING(int, fdatasync, (int fd), (fd))
FAILING(int, ftruncate, (int fd, off_t n), (fd, n))
FAILING(int, fallocate, (int fd, int mode, off_t at, off_t n), (fd, mode, at, n))
FAILING(int, rename, (const char *from, const char *to), (from, to))
FAILING(int, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to))
FAILING(int, linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags))
FAILING(int, mkdir, (const char *path, mode_t mode), (path, mode))
FAILING(int, unlink, (const char *path), (path))
FAILING(int, unlinkat, (int at, const char *path, int flags), (at, path, flags))
FAILING(int, fstat, (int fd, struct stat *out), (fd, out))

static int mode_of(int flags, va_list args) { return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(args, int) : 0; }

VISIBLE int open(const char *path, int flags, ...) {
  NEXT(int, open, (const char *, int, ...))
  int error;
  if (fails("open", CALLER, &error)) return errno = error == 0 ? EINTR : error, -1;
  va_list args;
  va_start(args, flags);
  const int mode = mode_of(flags, args);
  va_end(args);
  return next(path, flags, mode);
}
VISIBLE int open64(const char *path, int flags, ...) {
  NEXT(int, open64, (const char *, int, ...))
  int error;
  if (fails("open", CALLER, &error)) return errno = error == 0 ? EINTR : error, -1;
  va_list args;
  va_start(args, flags);
  const int mode = mode_of(flags, args);
  va_end(args);
  return next(path, flags, mode);
}
VISIBLE int openat(int at, const char *path, int flags, ...) {
  NEXT(int, openat, (int, const char *, int, ...))
  int error;
  if (fails("open", CALLER, &error)) return errno = error == 0 ? EINTR : error, -1;
  va_list args;
  va_start(args, flags);
  const int mode = mode_of(flags, args);
  va_end(args);
  return next(at, path, flags, mode);
}
VISIBLE int openat64(int at, const char *path, int flags, ...) {
  NEXT(int, openat64, (int, const char *, int, ...))
  int error;
  if (fails("open", CALLER, &error)) return errno = error == 0 ? EINTR : error, -1;
  va_list args;
  va_start(args, flags);
  const int mode = mode_of(flags, args);
  va_end(args);
  return next(at, path, flags, mode);
}
