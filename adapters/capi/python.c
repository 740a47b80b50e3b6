/* SPDX-License-Identifier: Apache-2.0 */
/* The functions that the Python package calls while it holds the interpreter's lock
 * (ctypes.PyDLL): lists of keys and objects in, results out, without a line of Python
 * per key. Only calls of the stable ABI are used, found in the running process. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "_cgo_export.h"
#include "capi.h"

typedef struct _object PyObject;
typedef ptrdiff_t Py_ssize_t;

static struct {
  Py_ssize_t (*sequence_size)(PyObject *);
  PyObject *(*sequence_item)(PyObject *, Py_ssize_t);
  PyObject *(*get_attr)(PyObject *, PyObject *);
  int (*bytes_content)(PyObject *, char **, Py_ssize_t *);
  const char *(*text_content)(PyObject *, Py_ssize_t *);
  long long (*as_int64)(PyObject *);
  unsigned long long (*as_uint64)(PyObject *);
  PyObject *(*from_int64)(long long);
  PyObject *(*from_bool)(long);
  PyObject *(*call)(PyObject *, ...);
  PyObject *(*call_method)(PyObject *, PyObject *, ...);
  PyObject *(*new_list)(Py_ssize_t);
  int (*list_set)(PyObject *, Py_ssize_t, PyObject *);
  PyObject *(*new_dict)(void);
  int (*dict_set)(PyObject *, PyObject *, PyObject *);
  PyObject *(*intern)(const char *);
  PyObject *(*error)(void);
  void (*clear_error)(void);
  PyObject *(*no_memory)(void);
  void (*keep)(PyObject *);
  void (*drop)(PyObject *);
  void *(*unlock)(void);
  void (*lock)(void *);
  PyObject *none;
  PyObject *chunk_hash, *model_name, *kv_rank, *object_group_id, *cache_salt;
  PyObject *data_ptr, *get_size, *batched_set;
} py;

/* Changes with every change of these functions; the Python side compares it. */
#define INTERFACE 2

static __thread sixcall_error last;
static int forked;

static void after_fork(void) { forked = 1; }

static int here(void) {
  if (!forked) return 1;
  last.code = -3;
  strcpy(last.text,
         "this process was forked from the one that loaded libsixcall.so, and Go's runtime does not survive that; use the "
         "class NativeConnector here, or start processes with the method spawn");
  return 0;
}

/* Looks Python's functions up; the interpreter's lock is held. Returns the interface, or
 * 0 when one is missing. */
int sixcall_py_start(void) {
  static const struct {
    const char *name;
    void *at;
  } wanted[] = {
      {"PySequence_Size", &py.sequence_size}, {"PySequence_GetItem", &py.sequence_item},
      {"PyObject_GetAttr", &py.get_attr}, {"PyBytes_AsStringAndSize", &py.bytes_content},
      {"PyUnicode_AsUTF8AndSize", &py.text_content}, {"PyLong_AsLongLong", &py.as_int64},
      {"PyLong_AsUnsignedLongLong", &py.as_uint64}, {"PyLong_FromLongLong", &py.from_int64},
      {"PyBool_FromLong", &py.from_bool}, {"PyObject_CallFunctionObjArgs", &py.call},
      {"PyObject_CallMethodObjArgs", &py.call_method}, {"PyList_New", &py.new_list},
      {"PyList_SetItem", &py.list_set}, {"PyDict_New", &py.new_dict}, {"PyDict_SetItem", &py.dict_set},
      {"PyUnicode_InternFromString", &py.intern}, {"PyErr_Occurred", &py.error}, {"PyErr_Clear", &py.clear_error},
      {"PyErr_NoMemory", &py.no_memory}, {"Py_IncRef", &py.keep}, {"Py_DecRef", &py.drop},
      {"PyEval_SaveThread", &py.unlock}, {"PyEval_RestoreThread", &py.lock}, {"_Py_NoneStruct", &py.none},
  };
  for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
    void *found = dlsym(RTLD_DEFAULT, wanted[i].name);
    if (!found) return 0;
    memcpy(wanted[i].at, &found, sizeof(found));
  }
  if (!py.batched_set) {
    py.chunk_hash = py.intern("chunk_hash");
    py.model_name = py.intern("model_name");
    py.kv_rank = py.intern("kv_rank");
    py.object_group_id = py.intern("object_group_id");
    py.cache_salt = py.intern("cache_salt");
    py.data_ptr = py.intern("data_ptr");
    py.get_size = py.intern("get_size");
    py.batched_set = py.intern("batched_set");
    pthread_atfork(NULL, NULL, after_fork);
  }
  return INTERFACE;
}

/* The failure of the last call of this thread. */
int32_t sixcall_last_error(char *text, uint64_t cap) {
  if (cap) {
    strncpy(text, last.text, cap - 1);
    text[cap - 1] = 0;
  }
  return last.code;
}

/* ------------------------------------------------------------------- keys */

typedef struct packing {
  sixcall_key *keys;
  char *text;
  size_t used, room;
  PyObject *model, *salt; /* of the key before: mostly the same objects */
  uint32_t model_at, model_len, salt_at, salt_len;
} packing;

static int put(packing *p, const char *from, size_t n, uint32_t *at) {
  if (p->used + n > UINT32_MAX) return py.no_memory(), -1;
  if (p->used + n > p->room) {
    size_t room = (p->room + n) * 2;
    char *text = realloc(p->text, room);
    if (!text) return py.no_memory(), -1;
    p->text = text, p->room = room;
  }
  memcpy(p->text + p->used, from, n);
  *at = (uint32_t)p->used;
  p->used += n;
  return 0;
}

/* Packs a string attribute, once for keys in a row that share the object. */
static int pack_text(packing *p, PyObject *key, PyObject *name, PyObject **seen, uint32_t *seen_at, uint32_t *seen_len) {
  PyObject *value = py.get_attr(key, name);
  if (!value) return -1;
  if (value == *seen) {
    py.drop(value);
    return 0;
  }
  Py_ssize_t n = 0;
  const char *text = py.text_content(value, &n);
  if (!text || put(p, text, (size_t)n, seen_at)) {
    py.drop(value);
    return -1;
  }
  if (*seen) py.drop(*seen);
  *seen = value;
  *seen_len = (uint32_t)n;
  return 0;
}

static int pack_int(PyObject *key, PyObject *name, int optional, int64_t *out) {
  PyObject *value = py.get_attr(key, name);
  if (!value) {
    if (!optional) return -1;
    py.clear_error(); /* a version of LMCache that has no such field */
    *out = 0;
    return 0;
  }
  *out = py.as_int64(value);
  py.drop(value);
  return *out == -1 && py.error() ? -1 : 0;
}

static int pack_key(packing *p, PyObject *key, sixcall_key *out) {
  PyObject *hash = py.get_attr(key, py.chunk_hash);
  char *bytes;
  Py_ssize_t n = 0;
  if (!hash) return -1;
  int failed = py.bytes_content(hash, &bytes, &n) || put(p, bytes, (size_t)n, &out->hash);
  py.drop(hash);
  if (failed) return -1;
  out->hash_len = (uint32_t)n;
  if (pack_text(p, key, py.model_name, &p->model, &p->model_at, &p->model_len)) return -1;
  if (pack_text(p, key, py.cache_salt, &p->salt, &p->salt_at, &p->salt_len)) return -1;
  out->model = p->model_at, out->model_len = p->model_len;
  out->salt = p->salt_at, out->salt_len = p->salt_len;
  return pack_int(key, py.kv_rank, 0, &out->rank) || pack_int(key, py.object_group_id, 1, &out->group) ? -1 : 0;
}

static int pack_buffer(PyObject *object, sixcall_key *out) {
  PyObject *value = py.get_attr(object, py.data_ptr);
  if (!value) return -1;
  out->buf = py.as_uint64(value);
  py.drop(value);
  if (py.error()) return -1;
  value = py.call_method(object, py.get_size, NULL);
  if (!value) return -1;
  out->len = py.as_uint64(value);
  py.drop(value);
  return py.error() ? -1 : 0;
}

static void unpack(packing *p) {
  if (p->model) py.drop(p->model);
  if (p->salt) py.drop(p->salt);
  free(p->keys);
  free(p->text);
}

/* Packs a list of keys and, unless NULL, the list of their objects. */
static int pack(packing *p, PyObject *keys, PyObject *objects, sixcall_keys *out) {
  memset(p, 0, sizeof(*p));
  Py_ssize_t n = py.sequence_size(keys), buffers = objects ? py.sequence_size(objects) : n;
  if (n < 0 || buffers < 0) return -1;
  p->keys = calloc((size_t)n + 1, sizeof(*p->keys));
  p->room = 64 + 40 * (size_t)n;
  p->text = malloc(p->room);
  if (!p->keys || !p->text) {
    py.no_memory();
    unpack(p);
    return -1;
  }
  int failed = 0;
  for (Py_ssize_t i = 0; i < n && !failed; i++) {
    PyObject *key = py.sequence_item(keys, i);
    failed = !key || pack_key(p, key, &p->keys[i]);
    if (key) py.drop(key);
    if (!failed && i < buffers && objects) {
      PyObject *object = py.sequence_item(objects, i);
      failed = !object || pack_buffer(object, &p->keys[i]);
      if (object) py.drop(object);
    }
  }
  if (failed) {
    unpack(p);
    return -1;
  }
  out->keys = p->keys, out->text = p->text, out->text_len = p->used, out->n = (uint64_t)n;
  if (buffers != n) {
    unpack(p);
    return -2;
  }
  return 0;
}

/* ------------------------------------------------------------------ calls */

/* Returns a task id, or -1: then an exception is set or sixcall_last_error has it. */
int64_t sixcall_py_submit(uint64_t adapter, int32_t kind, PyObject *keys, PyObject *objects) {
  packing p;
  sixcall_keys packed;
  last.code = 0;
  if (!here()) return -1;
  int bad = pack(&p, keys, kind == SIXCALL_LOOKUP ? NULL : objects, &packed);
  if (bad == -2) {
    last.code = -1;
    strcpy(last.text, "keys and objects have different lengths, want one object per key");
  }
  if (bad) return -1;
  /* Values may be copied here: other threads of Python run meanwhile. */
  void *state = kind == SIXCALL_LOOKUP ? NULL : py.unlock();
  int64_t task = sixcallSubmit(adapter, kind, &packed, &last);
  if (state) py.lock(state);
  unpack(&p);
  return task;
}

/* Takes a pin from each key. */
int32_t sixcall_py_unlock(uint64_t adapter, PyObject *keys) {
  packing p;
  sixcall_keys packed;
  if (!here()) return -1;
  if (pack(&p, keys, NULL, &packed)) return -1;
  sixcallUnlock(adapter, &packed);
  unpack(&p);
  return 0;
}

/* Deletes keys and waits for it. */
int32_t sixcall_py_delete(uint64_t adapter, PyObject *keys) {
  packing p;
  sixcall_keys packed;
  last.code = 0;
  if (!here()) return -1;
  if (pack(&p, keys, NULL, &packed)) return -1;
  void *state = py.unlock();
  int32_t rc = sixcallDelete(adapter, &packed, &last);
  py.lock(state);
  unpack(&p);
  return rc;
}

static PyObject *indices(const uint64_t *bits, int64_t n, int64_t count) {
  PyObject *list = py.new_list((Py_ssize_t)count);
  Py_ssize_t next = 0;
  for (int64_t i = 0; list && i < n; i++) {
    if (bits[i / 64] >> (i % 64) & 1) py.list_set(list, next++, py.from_int64(i));
  }
  return list;
}

/* The bitmap class(n, ones at the front), with the other ones set after that. */
static PyObject *bitmap(PyObject *class, const uint64_t *bits, int64_t n) {
  int64_t count = 0, front = 0;
  for (int64_t i = 0; i < n; i++) count += bits[i / 64] >> (i % 64) & 1;
  while (front < n && bits[front / 64] >> (front % 64) & 1) front++;
  PyObject *size = py.from_int64(n), *ones = py.from_int64(front);
  PyObject *result = size && ones ? py.call(class, size, ones, NULL) : NULL;
  if (size) py.drop(size);
  if (ones) py.drop(ones);
  if (!result || front == count) return result;
  PyObject *list = indices(bits, n, count);
  PyObject *done = list ? py.call_method(result, py.batched_set, list, NULL) : NULL;
  if (list) py.drop(list);
  if (!done) {
    py.drop(result);
    return NULL;
  }
  py.drop(done);
  return result;
}

/* The bitmap of a lookup or load that has finished, None for any other. */
PyObject *sixcall_py_query(uint64_t adapter, int32_t kind, int64_t task, PyObject *class) {
  enum { WORDS = 64 };
  uint64_t some[WORDS], *bits = some;
  int64_t n = forked ? -1 : sixcallQuery(adapter, kind, task, bits, WORDS);
  if (n > WORDS * 64) { /* it was kept for a second call with room for it */
    int64_t words = (n + 63) / 64;
    bits = calloc((size_t)words, sizeof(*bits));
    if (!bits) return py.no_memory();
    n = sixcallQuery(adapter, kind, task, bits, words);
  }
  PyObject *result = py.none;
  if (n < 0) {
    py.keep(result);
  } else {
    result = bitmap(class, bits, n);
  }
  if (bits != some) free(bits);
  return result;
}

/* {task: class(ok, bytes)} of the stores that have finished. */
PyObject *sixcall_py_pop_stores(uint64_t adapter, PyObject *class) {
  enum { SOME = 64 };
  sixcall_store done[SOME];
  PyObject *dict = py.new_dict();
  for (int64_t n = SOME; dict && n == SOME;) {
    n = forked ? 0 : sixcallPopStores(adapter, done, SOME);
    for (int64_t i = 0; dict && i < n; i++) {
      PyObject *task = py.from_int64(done[i].task), *ok = py.from_bool(done[i].result >= 0);
      PyObject *bytes = py.from_int64(done[i].result < 0 ? 0 : done[i].result);
      PyObject *result = task && ok && bytes ? py.call(class, ok, bytes, NULL) : NULL;
      if (!result || py.dict_set(dict, task, result)) {
        py.drop(dict);
        dict = NULL;
      }
      if (result) py.drop(result);
      if (task) py.drop(task);
      if (ok) py.drop(ok);
      if (bytes) py.drop(bytes);
    }
  }
  return dict;
}

/* ---------------------------------------------- calls without Python's objects */

uint64_t sixcall_open(const char *config, uint64_t n, uint64_t l1, uint64_t l1_len, int32_t *fds) {
  last.code = 0;
  return here() ? sixcallOpen((char *)config, n, l1, l1_len, fds, &last) : 0;
}

/* Text about an adapter; the caller gives it to sixcall_free. NULL: sixcall_last_error. */
char *sixcall_describe(uint64_t adapter, int32_t what, const char *arguments, uint64_t n) {
  last.code = 0;
  return here() ? sixcallDescribe(adapter, what, (char *)arguments, n, &last) : NULL;
}

/* Waits for what listeners have to be told; NULL after close. */
char *sixcall_next_event(uint64_t adapter) { return forked ? NULL : sixcallNextEvent(adapter); }

int32_t sixcall_close(uint64_t adapter) {
  last.code = 0;
  return forked ? 0 : sixcallClose(adapter, &last);
}

void sixcall_forget(uint64_t adapter) {
  if (!forked) sixcallForget(adapter);
}

void sixcall_free(void *p) { free(p); }
