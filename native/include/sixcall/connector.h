/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The Sixcall connector ABI, version 1.
 *
 * A storage vendor implements the functions of `sixcall_api` in a shared
 * library and exports one symbol, `sixcall_connector_entry_v1`, that returns
 * the table. A host (an LLM server's KV-cache manager) loads the library and
 * drives it: it submits batches of keys, polls one event fd, and drains
 * completions. This header is all that a connector needs; it links nothing.
 *
 *   host                                   connector
 *   ----                                   ---------
 *   sixcall_connector_entry_v1()     --->  the table (no side effects)
 *   open(config)                     --->  connect, start threads
 *   event_fd()                       --->  one pollable fd
 *   submit_batch_set(ticket 7, ...)  --->  accepted: 0, or refused: < 0
 *                                          ... I/O on the connector's threads,
 *                                          status bytes written, fd signalled
 *   poll(fd), drain_completions()    <---  {ticket 7, rc 0, n_ok 16}
 *   close(grace)                     --->  threads joined, nothing touched again
 *
 * Conventions, stated once:
 *   - Linux, 64-bit, little-endian. Strings are UTF-8. Sizes and lengths are
 *     bytes. Times named _ms are milliseconds; times named _ns are nanoseconds
 *     of CLOCK_MONOTONIC.
 *   - int32_t results: >= 0 is success, < 0 is a SIXCALL_E_ code.
 *   - Every struct but sixcall_item and sixcall_completion begins with
 *     struct_size, set by whoever fills the struct to sizeof of the version it
 *     was compiled with. A field past struct_size reads as zero; zero always
 *     means the older behaviour. Reserved fields are zero when written and
 *     ignored when read. Arrays carry their stride.
 *   - Unknown flag and capability bits are ignored, except unknown bits in
 *     `needs`, for which a host refuses the connector.
 *   - Thread tags: [any-thread] may be called from any thread; [non-blocking]
 *     does no I/O and takes no lock that is held across I/O; [once] is called
 *     one time per handle.
 *   - No C++ exception may leave any of these functions.
 *
 * What changes the version:
 *   minor  a new optional slot, a field at the end of a struct, a new bit,
 *          status, error code or extension id.
 *   major  an offset, a size, a meaning, an ownership or thread rule, or a new
 *          required slot; it comes with a new entry symbol (_v2).
 * A library built at 1.x loads on every host 1.y.
 */
#ifndef SIXCALL_CONNECTOR_H
#define SIXCALL_CONNECTOR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SIXCALL_ABI_MAJOR 1
#define SIXCALL_ABI_MINOR 0

#define SIXCALL_ENTRY_SYMBOL "sixcall_connector_entry_v1"

/** Marks the one exported symbol of a library built with hidden visibility. */
#define SIXCALL_EXPORT __attribute__((visibility("default")))

/* ------------------------------------------------------------------ codes */

/** Error codes: results of calls and `rc` of completions. An unknown negative
 *  value is read as SIXCALL_E_INTERNAL. */
#define SIXCALL_OK 0
#define SIXCALL_E_INVAL -1       /* the call breaks this contract */
#define SIXCALL_E_AGAIN -2       /* queue full; submit again after a completion */
#define SIXCALL_E_CLOSED -3      /* close() has begun */
#define SIXCALL_E_UNSUPPORTED -4 /* not implemented by this connector */
#define SIXCALL_E_IO -5          /* the backend or the transport failed */
#define SIXCALL_E_NOMEM -6       /* out of memory */
#define SIXCALL_E_TIMEOUT -7     /* not answered in time */
#define SIXCALL_E_CANCELLED -8   /* cancelled by the host or by close() */
#define SIXCALL_E_AUTH -9        /* credentials refused */
#define SIXCALL_E_CONNECT -10    /* the backend cannot be reached */
#define SIXCALL_E_CONFIG -11     /* a configuration key or value is wrong */
#define SIXCALL_E_INTERNAL -12   /* a bug in the connector */
#define SIXCALL_E_VERSION -13    /* versions do not fit */
#define SIXCALL_E_BUSY -14       /* close() could not stop everything */
#define SIXCALL_E_NOSPACE -15    /* the backend is full */
#define SIXCALL_E_CORRUPT -16    /* stored bytes failed a check */

/** Operations, echoed in completions. */
#define SIXCALL_OP_GET 1u
#define SIXCALL_OP_SET 2u
#define SIXCALL_OP_EXISTS 3u
#define SIXCALL_OP_DELETE 4u
#define SIXCALL_OP_PING 5u
#define SIXCALL_OP_LIST 6u

/** Status bytes, one per key. 0 and 1 are results, 2..255 are failures. The
 *  host fills the array with SIXCALL_STATUS_UNSET before it submits; a byte
 *  that still has that value at completion is a bug of the connector and the
 *  key counts as a miss. */
#define SIXCALL_STATUS_MISS 0u      /* absent; for SET never, for DELETE nothing to remove */
#define SIXCALL_STATUS_HIT 1u       /* GET filled, SET stored, EXISTS yes, DELETE removed */
#define SIXCALL_STATUS_ERROR 2u     /* the backend could not tell, or the transfer failed */
#define SIXCALL_STATUS_SIZE 3u      /* GET: the stored value has another size than len */
#define SIXCALL_STATUS_CANCELLED 4u /* cancel() or close() ended it */
#define SIXCALL_STATUS_TIMEOUT 5u   /* the deadline passed */
#define SIXCALL_STATUS_REFUSED 6u   /* the backend refused this key: quota, too large */
#define SIXCALL_STATUS_CORRUPT 7u   /* the stored bytes failed the connector's check */
#define SIXCALL_STATUS_UNSET 0xFFu

/** Capabilities. Bits 0..8 announce an optional slot and are set exactly when
 *  that slot is not NULL. Bits from 16 on announce behaviour. */
#define SIXCALL_CAP_DELETE (UINT64_C(1) << 0)
#define SIXCALL_CAP_LIMITS (UINT64_C(1) << 1)
#define SIXCALL_CAP_PING (UINT64_C(1) << 2)
#define SIXCALL_CAP_CANCEL (UINT64_C(1) << 3)
#define SIXCALL_CAP_REGISTER_MEMORY (UINT64_C(1) << 4)
#define SIXCALL_CAP_USAGE (UINT64_C(1) << 5)
#define SIXCALL_CAP_LIST (UINT64_C(1) << 6)
#define SIXCALL_CAP_STATS_TEXT (UINT64_C(1) << 7)
#define SIXCALL_CAP_EXTENSIONS (UINT64_C(1) << 8)
/** A GET or EXISTS submitted after a SET's completion was drained sees it. */
#define SIXCALL_CAP_READ_YOUR_WRITES (UINT64_C(1) << 16)
/** deadline_ns is honoured: the ticket completes within 100 ms after it, and
 *  only when no later touch of the host's memory is possible. A transport that
 *  cannot revoke leaves this bit off; the host then times out on its own. */
#define SIXCALL_CAP_DEADLINE (UINT64_C(1) << 17)
/** Values outlive the process. */
#define SIXCALL_CAP_PERSISTENT (UINT64_C(1) << 18)
/** GET and EXISTS fill value_lens with stored lengths. */
#define SIXCALL_CAP_VALUE_LENS (UINT64_C(1) << 19)

/** Thread models: which calls the host may make at the same time. drain has
 *  one caller at a time, and close is alone, in every model. */
#define SIXCALL_THREADS_SERIAL 0u     /* one call at a time in the whole library */
#define SIXCALL_THREADS_PER_HANDLE 1u /* one call at a time per handle */
#define SIXCALL_THREADS_PARALLEL 2u   /* submits run in parallel with each other and with drain */

/** Log levels of sixcall_host.log. */
#define SIXCALL_LOG_ERROR 0
#define SIXCALL_LOG_WARN 1
#define SIXCALL_LOG_INFO 2
#define SIXCALL_LOG_DEBUG 3

/** Kinds of memory for register_memory. */
#define SIXCALL_MEMORY_ANONYMOUS 0u /* ordinary host memory */
#define SIXCALL_MEMORY_FD 1u        /* a shared mapping of fd at offset */

/** A length that the connector does not know, in value_lens. */
#define SIXCALL_LEN_UNKNOWN UINT64_MAX

/* ---------------------------------------------------------------- structs */

/** One connection to a backend, made by open(). Its content is the connector's. */
typedef struct sixcall_conn sixcall_conn;

/**
 * An error in words: cause, object, next step; for example
 * "connect to 10.0.0.7:6379: connection refused; is the server running?".
 * Ownership  The host owns the struct and sets struct_size; the connector fills
 *            the rest. msg is NUL-terminated and len excludes the NUL.
 * A batch that fails in several ways keeps its first error.
 */
typedef struct sixcall_err {
  uint32_t struct_size;
  int32_t code;        /* SIXCALL_E_ */
  int32_t vendor_code; /* the backend's own number, or 0 */
  uint32_t len;        /* bytes used in msg, at most 239 */
  char msg[240];
} sixcall_err;

/**
 * What the host tells a library about itself.
 * Ownership  Constant; valid until every handle opened with it is closed.
 */
typedef struct sixcall_host {
  uint32_t struct_size;
  uint16_t abi_major;
  uint16_t abi_minor;
  uint64_t features; /* host feature bits; none are defined in 1.0 */
  const char *name;  /* "sixcall" */
  const char *version;
  void *log_ctx;
  /**
   * Writes one line to the host's log; NULL when the host takes none.
   * Threads    [any-thread] From threads of the connector and from within its
   *            calls; never from a signal handler, never under a lock that
   *            submit or drain need, never after close() returned 0.
   * Ownership  text (len bytes, no newline, no secret) is borrowed for the call.
   */
  void (*log)(void *log_ctx, int32_t level, const char *text, uint64_t len);
  int32_t log_level; /* lines above this SIXCALL_LOG_ level are not wanted */
  uint32_t reserved;
} sixcall_host;

/** Arguments of open(). Ownership: borrowed for the call. */
typedef struct sixcall_open_args {
  uint32_t struct_size;
  uint32_t flags;           /* none are defined in 1.0 */
  const char *config_json;  /* one JSON object, UTF-8, not NUL-terminated */
  uint64_t config_len;      /* bytes of config_json */
  const char *instance;     /* a name for logs, or NULL */
  uint32_t max_inflight;    /* tickets the host will have in flight; 0 = unknown */
  uint32_t max_batch;       /* keys the host will put in a batch; 0 = unknown */
  uint64_t value_len_hint;  /* bytes of a usual value; 0 = unknown */
  uint32_t open_timeout_ms; /* open returns within this time; 0 = connector's default */
  uint32_t reserved;
} sixcall_open_args;

/**
 * One key of a batch.
 * key/key_len  1..max_key_len bytes of any value, read-only. Different keys
 *              never share a value; a key never becomes a path unescaped.
 * buf/len      GET: where the value goes; len is the exact size wanted.
 *              SET: the value, read-only; len is its size.
 *              EXISTS, DELETE: NULL and 0.
 */
typedef struct sixcall_item {
  const uint8_t *key;
  uint32_t key_len;
  uint32_t flags; /* none are defined in 1.0 */
  void *buf;
  uint64_t len;
} sixcall_item;

/**
 * One submission.
 * Ownership  The struct itself is valid during the submit call only: copy it.
 *            What it points to (items, keys, bufs, status, value_lens, err) is
 *            lent from the moment submit returned 0 until drain_completions
 *            returned the ticket, or close returned 0. It stays in place that
 *            long; the connector keeps no pointer past that. Keys, items and
 *            the bufs of SET may be mapped read-only.
 * Items are item_stride bytes apart (at least sizeof(sixcall_item)). Sizes may
 * differ inside a batch. A key may occur several times: which value wins is
 * unspecified, but none is ever torn.
 */
typedef struct sixcall_batch {
  uint32_t struct_size;
  uint32_t flags;   /* none are defined in 1.0 */
  uint64_t ticket;  /* chosen by the host, unique among those in flight, echoed */
  uint32_t n;       /* keys, at least 1 (0 for submit_ping and submit_list) */
  uint32_t item_stride;
  const sixcall_item *items;
  uint8_t *status;      /* n status bytes, all written before the completion is published */
  uint64_t *value_lens; /* n stored lengths (GET, EXISTS), or NULL */
  sixcall_err *err;     /* first error of the batch, or NULL */
  uint64_t deadline_ns; /* CLOCK_MONOTONIC, 0 = none; see SIXCALL_CAP_DEADLINE */
  uint64_t mem_handle;  /* from register_memory, 0 = none */
} sixcall_batch;

/** The end of one accepted batch. */
typedef struct sixcall_completion {
  uint64_t ticket;
  int32_t rc;       /* 0: the batch ran, see status. < 0: why it did not; status is filled all the same */
  uint32_t op;      /* SIXCALL_OP_ of the submit call */
  uint32_t n_ok;    /* how many status bytes are SIXCALL_STATUS_HIT */
  uint32_t flags;   /* none are defined in 1.0 */
  uint64_t done_ns; /* CLOCK_MONOTONIC when it was published; 0 = not measured */
} sixcall_completion;

/** What a handle accepts; 0 in a field means no limit (alignment: 1). */
typedef struct sixcall_limits {
  uint32_t struct_size;
  uint32_t max_batch;    /* keys in a batch */
  uint32_t max_key_len;  /* bytes */
  uint32_t buf_align;    /* required alignment of bufs, a power of two */
  uint64_t max_value_len; /* bytes */
  uint32_t best_batch;   /* keys per batch at which the connector is fastest */
  uint32_t max_inflight; /* tickets before submits return SIXCALL_E_AGAIN */
} sixcall_limits;

/** Memory that the host will use for bufs, so that a transport can register it. */
typedef struct sixcall_memory {
  uint32_t struct_size;
  uint32_t kind; /* SIXCALL_MEMORY_ */
  void *base;    /* where it is mapped in this process */
  uint64_t len;  /* bytes */
  int32_t fd;    /* for SIXCALL_MEMORY_FD, else -1; borrowed for the call */
  uint32_t flags;
  uint64_t offset; /* of base in fd, bytes */
} sixcall_memory;

/** Cached figures of a handle; UINT64_MAX = unknown. */
typedef struct sixcall_usage {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t bytes_used;
  uint64_t bytes_capacity;
  uint64_t keys;
} sixcall_usage;

/** The connector sets this flag in sixcall_page when the listing is at its end. */
#define SIXCALL_PAGE_LAST 1u

/**
 * One page of submit_list.
 * In   buf, cap: the caller's memory, 8-byte aligned; cursor, cursor_len: the
 *      position that the page before left, cursor_len 0 = from the start.
 * Out  n entries in the first `used` bytes of buf, each: u32 key_len, u32
 *      reserved 0, u64 value length (UINT64_MAX = unknown), key bytes, zeros
 *      up to a multiple of 8. cursor, cursor_len: the next position.
 *      flags has SIXCALL_PAGE_LAST at the end.
 * A buf too small for one entry completes with rc SIXCALL_E_NOSPACE.
 * Ownership  lent until the ticket is drained.
 */
typedef struct sixcall_page {
  uint32_t struct_size;
  uint32_t n;
  uint8_t *buf;
  uint64_t cap;
  uint64_t used;
  uint32_t cursor_len;
  uint32_t flags;
  uint8_t cursor[216];
} sixcall_page;

/**
 * The table. Constant: the same address and bytes at every call of the entry
 * point, for the life of the process.
 */
typedef struct sixcall_api {
  uint32_t struct_size; /* sizeof(sixcall_api) as compiled; at least SIXCALL_API_REQUIRED_SIZE */
  uint16_t abi_major;
  uint16_t abi_minor;
  uint64_t caps;         /* SIXCALL_CAP_ bits that this connector implements */
  uint64_t needs;        /* host feature bits that it cannot live without */
  uint32_t thread_model; /* SIXCALL_THREADS_ */
  uint32_t reserved;
  const char *name;    /* the connector's name, [a-z0-9_-]+, what class_name must equal */
  const char *version; /* the connector's own version */
  const char *vendor;
  /** A JSON Schema (type, properties, required, enum, minimum, maximum,
   *  default, description) of the configuration, or NULL. */
  const char *config_schema;

  /**
   * Makes a connection.
   *
   * Threads    [any-thread] May block up to args->open_timeout_ms. Connector
   *            threads are made here, named "sixcall:<name>", with asynchronous
   *            signals blocked.
   * Checks     An unknown configuration key is SIXCALL_E_CONFIG and is named in
   *            err, unless it starts with "x-". Unless the configuration says
   *            "lazy": true the backend is proved to be reachable. A backend
   *            lost later is reported by completions, and reconnected with
   *            back-off.
   * Ownership  host stays valid until close; args and what it points to are
   *            borrowed for the call. *out belongs to the connector.
   * Returns    0 and *out, or a SIXCALL_E_ code with err filled and nothing left
   *            behind (no thread, fd or memory).
   * Required. Since ABI 1.0.
   */
  int32_t (*open)(const sixcall_host *host, const sixcall_open_args *args, sixcall_conn **out, sixcall_err *err);

  /**
   * Returns the fd that is readable while at least one completion is undrained.
   *
   * Threads    [any-thread] [non-blocking]
   * The fd is non-blocking and close-on-exec, the same until close, and silent
   * when idle (one spurious wake-up per completion is allowed). An eventfd is
   * the usual choice. The host only polls it, through a dup, and never reads it.
   * Ownership  the connector's; closed in close().
   * Returns    >= 0, or a SIXCALL_E_ code.
   * Required. Since ABI 1.0.
   */
  int32_t (*event_fd)(sixcall_conn *self);

  /**
   * Starts reading the values of n keys into the bufs of the batch.
   *
   * Threads    [any-thread] [non-blocking] As thread_model allows; on a stack of
   *            at least 256 KiB.
   * Completes  exactly once if accepted, with a status byte per key:
   *            HIT      buf holds the value, len bytes
   *            MISS     absent; buf untouched
   *            SIZE     stored with another size; never a byte past len
   *            others   failed; content of buf undefined, never a byte past len
   * Returns    0 accepted; or refused, nothing read later, nothing written and
   *            no completion:
   *              SIXCALL_E_INVAL    n is 0 or over a limit, a pointer is NULL,
   *                                 a bad stride
   *              SIXCALL_E_AGAIN    queue full; submit again after a completion
   *              SIXCALL_E_CLOSED   close() has begun
   * Order      none between tickets; see SIXCALL_CAP_READ_YOUR_WRITES.
   * Required. Since ABI 1.0.
   */
  int32_t (*submit_batch_get)(sixcall_conn *self, const sixcall_batch *batch);

  /**
   * Starts storing n values. As submit_batch_get, but bufs are read, not
   * written. HIT means stored whole: a later GET sees the new value or the
   * one before, never a mixture.
   * Required. Since ABI 1.0.
   */
  int32_t (*submit_batch_set)(sixcall_conn *self, const sixcall_batch *batch);

  /**
   * Starts asking which of n keys are stored: HIT or MISS. bufs are NULL. It
   * should not move values and should not wait behind bulk transfers.
   * Required. Since ABI 1.0.
   */
  int32_t (*submit_batch_exists)(sixcall_conn *self, const sixcall_batch *batch);

  /**
   * Takes up to cap completions.
   *
   * Threads    [any-thread] [non-blocking] One caller at a time.
   * Units      out has room for cap records that are stride bytes apart (at
   *            least sizeof(sixcall_completion)); bytes between are untouched.
   * Protocol   Clear the fd before taking from the queue (or look again after),
   *            so that no completion is left behind a silent fd. When more are
   *            waiting than fit, return cap and leave the fd readable.
   * Order      everything the connector wrote for a ticket is visible to the
   *            host when drain returns it (publish = release, drain = acquire).
   * Returns    how many records were written, 0 when there are none, or a
   *            SIXCALL_E_ code.
   * Required. Since ABI 1.0.
   */
  int32_t (*drain_completions)(sixcall_conn *self, sixcall_completion *out, uint32_t cap, uint32_t stride);

  /**
   * Ends the connection.
   *
   * Threads    [once] The host has stopped all other calls on self. May block
   *            up to grace_ms and a little.
   * Returns    0: threads joined, fds closed, host memory never touched again,
   *               no log call after; self is gone.
   *            SIXCALL_E_BUSY: something could not be stopped in grace_ms. The
   *               host keeps all lent memory for ever and does not call again.
   * Batches that are still in flight end with close; they need no completion.
   * Required. Since ABI 1.0.
   */
  int32_t (*close)(sixcall_conn *self, uint32_t grace_ms);

  /* ---- optional slots: NULL, or past struct_size, means not implemented ---- */

  /** As submit_batch_exists: HIT removed, MISS was not there. Cap DELETE. Since 1.0. */
  int32_t (*submit_batch_delete)(sixcall_conn *self, const sixcall_batch *batch);
  /** Fills *out. [any-thread] [non-blocking] Constant per handle. Cap LIMITS. Since 1.0. */
  int32_t (*limits)(sixcall_conn *self, sixcall_limits *out);
  /** Asks the backend for a sign of life; batch->n is 0 and items and status are
   *  NULL. Completes like a batch, with rc 0 when the backend answered. Cap PING. Since 1.0. */
  int32_t (*submit_ping)(sixcall_conn *self, const sixcall_batch *batch);
  /** Asks to end a ticket early. [any-thread] [non-blocking] Best effort: the
   *  ticket still completes exactly once. SIXCALL_E_INVAL: not in flight. Cap CANCEL. Since 1.0. */
  int32_t (*cancel)(sixcall_conn *self, uint64_t ticket);
  /** Prepares memory for transfers and returns a handle > 0 for batches. May
   *  block. The memory stays mapped until unregister_memory. Cap REGISTER_MEMORY. Since 1.0. */
  int32_t (*register_memory)(sixcall_conn *self, const sixcall_memory *memory, uint64_t *out_handle, sixcall_err *err);
  /** SIXCALL_E_BUSY while batches with the handle are in flight. Cap REGISTER_MEMORY. Since 1.0. */
  int32_t (*unregister_memory)(sixcall_conn *self, uint64_t handle);
  /** Fills *out from cached figures. [any-thread] [non-blocking] Cap USAGE. Since 1.0. */
  int32_t (*usage)(sixcall_conn *self, sixcall_usage *out);
  /** Starts filling *page with keys and sizes; batch carries ticket, err and
   *  deadline, its n is 0. Every key that is stored during the whole listing
   *  appears at least once. Cap LIST. Since 1.0. */
  int32_t (*submit_list)(sixcall_conn *self, const sixcall_batch *batch, sixcall_page *page);
  /** Writes Prometheus text (at most cap bytes, no NUL) and returns the full
   *  length, so that a second call can bring a larger buffer. [any-thread] [non-blocking]
   *  Cap STATS_TEXT. Since 1.0. */
  int64_t (*stats_text)(sixcall_conn *self, char *out, uint64_t cap);
  /** Returns a constant table for an id such as "sixcall.example/1", or NULL.
   *  [any-thread] [non-blocking] Cap EXTENSIONS. Since 1.0. */
  const void *(*get_extension)(sixcall_conn *self, const char *id);
} sixcall_api;

/** Bytes of sixcall_api up to and including close. */
#define SIXCALL_API_REQUIRED_SIZE 120u

/**
 * The entry point: the one symbol that a connector exports.
 *
 *   SIXCALL_EXPORT const sixcall_api *sixcall_connector_entry_v1(const sixcall_host *host);
 *
 * Threads    [any-thread] Any number of times. Starts no thread, does no I/O and
 *            allocates nothing.
 * Returns    the table, or NULL to refuse this host.
 * Required. Since ABI 1.0.
 */
typedef const sixcall_api *(*sixcall_connector_entry_fn)(const sixcall_host *host);

SIXCALL_EXPORT const sixcall_api *sixcall_connector_entry_v1(const sixcall_host *host);

/* --------------------------------------------------------------- ELF note */

#define SIXCALL_NOTE_NAME "sixcall"
#define SIXCALL_NOTE_TYPE 1u

/** What the section .note.sixcall holds: an ELF note of 8 name bytes and a
 *  description of 112 bytes. A host reads it without running the library. */
typedef struct sixcall_note {
  uint32_t namesz; /* 8 */
  uint32_t descsz; /* 112 */
  uint32_t type;   /* SIXCALL_NOTE_TYPE */
  char name[8];    /* "sixcall" */
  uint16_t abi_major;
  uint16_t abi_minor;
  uint32_t table_size;
  uint32_t caps_lo; /* the table's caps, low and high half */
  uint32_t caps_hi;
  char vendor[32]; /* NUL-padded; the last byte is NUL */
  char product[32]; /* the table's name */
  char version[32];
} sixcall_note;

/**
 * Writes the note. Put it once, at file scope, in the library:
 *
 *   SIXCALL_NOTE(SIXCALL_CAP_DELETE, "Acme", "acme", "1.2.0");
 *
 * The values equal those of the table. The strings are literals of at most 31
 * bytes.
 */
#define SIXCALL_NOTE(note_caps, note_vendor, note_product, note_version)                        \
  __attribute__((used, section(".note.sixcall"), aligned(4))) static const sixcall_note         \
      sixcall_elf_note = {8u,                                                                   \
                          112u,                                                                 \
                          SIXCALL_NOTE_TYPE,                                                    \
                          SIXCALL_NOTE_NAME,                                                    \
                          SIXCALL_ABI_MAJOR,                                                    \
                          SIXCALL_ABI_MINOR,                                                    \
                          (uint32_t)sizeof(sixcall_api),                                        \
                          (uint32_t)((uint64_t)(note_caps)&UINT64_C(0xFFFFFFFF)),               \
                          (uint32_t)((uint64_t)(note_caps) >> 32),                              \
                          note_vendor,                                                          \
                          note_product,                                                         \
                          note_version}

/* ----------------------------------------------------------------- layout */

#ifdef __cplusplus
#define SIXCALL_STATIC_ASSERT(cond, text) static_assert(cond, text)
#else
#define SIXCALL_STATIC_ASSERT(cond, text) _Static_assert(cond, text)
#endif
#define SIXCALL_ASSERT_SIZE(type, bytes) SIXCALL_STATIC_ASSERT(sizeof(type) == (bytes), #type " has changed its size")
#define SIXCALL_ASSERT_FIELD(type, field, offset, bytes)                                     \
  SIXCALL_STATIC_ASSERT(offsetof(type, field) == (offset) && sizeof(((type *)0)->field) == (bytes), \
                        #type "." #field " has moved")

SIXCALL_ASSERT_SIZE(sixcall_err, 256);
SIXCALL_ASSERT_FIELD(sixcall_err, struct_size, 0, 4);
SIXCALL_ASSERT_FIELD(sixcall_err, code, 4, 4);
SIXCALL_ASSERT_FIELD(sixcall_err, vendor_code, 8, 4);
SIXCALL_ASSERT_FIELD(sixcall_err, len, 12, 4);
SIXCALL_ASSERT_FIELD(sixcall_err, msg, 16, 240);

SIXCALL_ASSERT_SIZE(sixcall_host, 56);
SIXCALL_ASSERT_FIELD(sixcall_host, struct_size, 0, 4);
SIXCALL_ASSERT_FIELD(sixcall_host, abi_major, 4, 2);
SIXCALL_ASSERT_FIELD(sixcall_host, abi_minor, 6, 2);
SIXCALL_ASSERT_FIELD(sixcall_host, features, 8, 8);
SIXCALL_ASSERT_FIELD(sixcall_host, name, 16, 8);
SIXCALL_ASSERT_FIELD(sixcall_host, version, 24, 8);
SIXCALL_ASSERT_FIELD(sixcall_host, log_ctx, 32, 8);
SIXCALL_ASSERT_FIELD(sixcall_host, log, 40, 8);
SIXCALL_ASSERT_FIELD(sixcall_host, log_level, 48, 4);
SIXCALL_ASSERT_FIELD(sixcall_host, reserved, 52, 4);

SIXCALL_ASSERT_SIZE(sixcall_open_args, 56);
SIXCALL_ASSERT_FIELD(sixcall_open_args, struct_size, 0, 4);
SIXCALL_ASSERT_FIELD(sixcall_open_args, flags, 4, 4);
SIXCALL_ASSERT_FIELD(sixcall_open_args, config_json, 8, 8);
SIXCALL_ASSERT_FIELD(sixcall_open_args, config_len, 16, 8);
SIXCALL_ASSERT_FIELD(sixcall_open_args, instance, 24, 8);
SIXCALL_ASSERT_FIELD(sixcall_open_args, max_inflight, 32, 4);
SIXCALL_ASSERT_FIELD(sixcall_open_args, max_batch, 36, 4);
SIXCALL_ASSERT_FIELD(sixcall_open_args, value_len_hint, 40, 8);
SIXCALL_ASSERT_FIELD(sixcall_open_args, open_timeout_ms, 48, 4);
SIXCALL_ASSERT_FIELD(sixcall_open_args, reserved, 52, 4);

SIXCALL_ASSERT_SIZE(sixcall_item, 32);
SIXCALL_ASSERT_FIELD(sixcall_item, key, 0, 8);
SIXCALL_ASSERT_FIELD(sixcall_item, key_len, 8, 4);
SIXCALL_ASSERT_FIELD(sixcall_item, flags, 12, 4);
SIXCALL_ASSERT_FIELD(sixcall_item, buf, 16, 8);
SIXCALL_ASSERT_FIELD(sixcall_item, len, 24, 8);

SIXCALL_ASSERT_SIZE(sixcall_batch, 72);
SIXCALL_ASSERT_FIELD(sixcall_batch, struct_size, 0, 4);
SIXCALL_ASSERT_FIELD(sixcall_batch, flags, 4, 4);
SIXCALL_ASSERT_FIELD(sixcall_batch, ticket, 8, 8);
SIXCALL_ASSERT_FIELD(sixcall_batch, n, 16, 4);
SIXCALL_ASSERT_FIELD(sixcall_batch, item_stride, 20, 4);
SIXCALL_ASSERT_FIELD(sixcall_batch, items, 24, 8);
SIXCALL_ASSERT_FIELD(sixcall_batch, status, 32, 8);
SIXCALL_ASSERT_FIELD(sixcall_batch, value_lens, 40, 8);
SIXCALL_ASSERT_FIELD(sixcall_batch, err, 48, 8);
SIXCALL_ASSERT_FIELD(sixcall_batch, deadline_ns, 56, 8);
SIXCALL_ASSERT_FIELD(sixcall_batch, mem_handle, 64, 8);

SIXCALL_ASSERT_SIZE(sixcall_completion, 32);
SIXCALL_ASSERT_FIELD(sixcall_completion, ticket, 0, 8);
SIXCALL_ASSERT_FIELD(sixcall_completion, rc, 8, 4);
SIXCALL_ASSERT_FIELD(sixcall_completion, op, 12, 4);
SIXCALL_ASSERT_FIELD(sixcall_completion, n_ok, 16, 4);
SIXCALL_ASSERT_FIELD(sixcall_completion, flags, 20, 4);
SIXCALL_ASSERT_FIELD(sixcall_completion, done_ns, 24, 8);

SIXCALL_ASSERT_SIZE(sixcall_limits, 32);
SIXCALL_ASSERT_FIELD(sixcall_limits, struct_size, 0, 4);
SIXCALL_ASSERT_FIELD(sixcall_limits, max_batch, 4, 4);
SIXCALL_ASSERT_FIELD(sixcall_limits, max_key_len, 8, 4);
SIXCALL_ASSERT_FIELD(sixcall_limits, buf_align, 12, 4);
SIXCALL_ASSERT_FIELD(sixcall_limits, max_value_len, 16, 8);
SIXCALL_ASSERT_FIELD(sixcall_limits, best_batch, 24, 4);
SIXCALL_ASSERT_FIELD(sixcall_limits, max_inflight, 28, 4);

SIXCALL_ASSERT_SIZE(sixcall_memory, 40);
SIXCALL_ASSERT_FIELD(sixcall_memory, struct_size, 0, 4);
SIXCALL_ASSERT_FIELD(sixcall_memory, kind, 4, 4);
SIXCALL_ASSERT_FIELD(sixcall_memory, base, 8, 8);
SIXCALL_ASSERT_FIELD(sixcall_memory, len, 16, 8);
SIXCALL_ASSERT_FIELD(sixcall_memory, fd, 24, 4);
SIXCALL_ASSERT_FIELD(sixcall_memory, flags, 28, 4);
SIXCALL_ASSERT_FIELD(sixcall_memory, offset, 32, 8);

SIXCALL_ASSERT_SIZE(sixcall_usage, 32);
SIXCALL_ASSERT_FIELD(sixcall_usage, struct_size, 0, 4);
SIXCALL_ASSERT_FIELD(sixcall_usage, flags, 4, 4);
SIXCALL_ASSERT_FIELD(sixcall_usage, bytes_used, 8, 8);
SIXCALL_ASSERT_FIELD(sixcall_usage, bytes_capacity, 16, 8);
SIXCALL_ASSERT_FIELD(sixcall_usage, keys, 24, 8);

SIXCALL_ASSERT_SIZE(sixcall_page, 256);
SIXCALL_ASSERT_FIELD(sixcall_page, struct_size, 0, 4);
SIXCALL_ASSERT_FIELD(sixcall_page, n, 4, 4);
SIXCALL_ASSERT_FIELD(sixcall_page, buf, 8, 8);
SIXCALL_ASSERT_FIELD(sixcall_page, cap, 16, 8);
SIXCALL_ASSERT_FIELD(sixcall_page, used, 24, 8);
SIXCALL_ASSERT_FIELD(sixcall_page, cursor_len, 32, 4);
SIXCALL_ASSERT_FIELD(sixcall_page, flags, 36, 4);
SIXCALL_ASSERT_FIELD(sixcall_page, cursor, 40, 216);

SIXCALL_ASSERT_SIZE(sixcall_api, 200);
SIXCALL_ASSERT_FIELD(sixcall_api, struct_size, 0, 4);
SIXCALL_ASSERT_FIELD(sixcall_api, abi_major, 4, 2);
SIXCALL_ASSERT_FIELD(sixcall_api, abi_minor, 6, 2);
SIXCALL_ASSERT_FIELD(sixcall_api, caps, 8, 8);
SIXCALL_ASSERT_FIELD(sixcall_api, needs, 16, 8);
SIXCALL_ASSERT_FIELD(sixcall_api, thread_model, 24, 4);
SIXCALL_ASSERT_FIELD(sixcall_api, reserved, 28, 4);
SIXCALL_ASSERT_FIELD(sixcall_api, name, 32, 8);
SIXCALL_ASSERT_FIELD(sixcall_api, version, 40, 8);
SIXCALL_ASSERT_FIELD(sixcall_api, vendor, 48, 8);
SIXCALL_ASSERT_FIELD(sixcall_api, config_schema, 56, 8);
SIXCALL_ASSERT_FIELD(sixcall_api, open, 64, 8);
SIXCALL_ASSERT_FIELD(sixcall_api, event_fd, 72, 8);
SIXCALL_ASSERT_FIELD(sixcall_api, submit_batch_get, 80, 8);
SIXCALL_ASSERT_FIELD(sixcall_api, submit_batch_set, 88, 8);
SIXCALL_ASSERT_FIELD(sixcall_api, submit_batch_exists, 96, 8);
SIXCALL_ASSERT_FIELD(sixcall_api, drain_completions, 104, 8);
SIXCALL_ASSERT_FIELD(sixcall_api, close, 112, 8);
SIXCALL_ASSERT_FIELD(sixcall_api, submit_batch_delete, 120, 8);
SIXCALL_ASSERT_FIELD(sixcall_api, limits, 128, 8);
SIXCALL_ASSERT_FIELD(sixcall_api, submit_ping, 136, 8);
SIXCALL_ASSERT_FIELD(sixcall_api, cancel, 144, 8);
SIXCALL_ASSERT_FIELD(sixcall_api, register_memory, 152, 8);
SIXCALL_ASSERT_FIELD(sixcall_api, unregister_memory, 160, 8);
SIXCALL_ASSERT_FIELD(sixcall_api, usage, 168, 8);
SIXCALL_ASSERT_FIELD(sixcall_api, submit_list, 176, 8);
SIXCALL_ASSERT_FIELD(sixcall_api, stats_text, 184, 8);
SIXCALL_ASSERT_FIELD(sixcall_api, get_extension, 192, 8);

SIXCALL_ASSERT_SIZE(sixcall_note, 132);
SIXCALL_ASSERT_FIELD(sixcall_note, namesz, 0, 4);
SIXCALL_ASSERT_FIELD(sixcall_note, descsz, 4, 4);
SIXCALL_ASSERT_FIELD(sixcall_note, type, 8, 4);
SIXCALL_ASSERT_FIELD(sixcall_note, name, 12, 8);
SIXCALL_ASSERT_FIELD(sixcall_note, abi_major, 20, 2);
SIXCALL_ASSERT_FIELD(sixcall_note, abi_minor, 22, 2);
SIXCALL_ASSERT_FIELD(sixcall_note, table_size, 24, 4);
SIXCALL_ASSERT_FIELD(sixcall_note, caps_lo, 28, 4);
SIXCALL_ASSERT_FIELD(sixcall_note, caps_hi, 32, 4);
SIXCALL_ASSERT_FIELD(sixcall_note, vendor, 36, 32);
SIXCALL_ASSERT_FIELD(sixcall_note, product, 68, 32);
SIXCALL_ASSERT_FIELD(sixcall_note, version, 100, 32);

#ifdef __cplusplus
}
#endif

#endif /* SIXCALL_CONNECTOR_H */
