/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least that a connector must have, in the common part of C11 and C++11.
 * header_matrix.sh compiles it with every header, compiler and standard.
 */
#include SIXCALL_TEST_HEADER
#include SIXCALL_TEST_HEADER

static int32_t minimal_open(const sixcall_host *host, const sixcall_open_args *args, sixcall_conn **out,
                            sixcall_err *err) {
  (void)host;
  (void)args;
  (void)out;
  if (err != NULL) err->code = SIXCALL_E_UNSUPPORTED;
  return SIXCALL_E_UNSUPPORTED;
}

static int32_t minimal_event_fd(sixcall_conn *self) {
  (void)self;
  return SIXCALL_E_CLOSED;
}

static int32_t minimal_submit(sixcall_conn *self, const sixcall_batch *batch) {
  (void)self;
  (void)batch;
  return SIXCALL_E_CLOSED;
}

static int32_t minimal_drain(sixcall_conn *self, sixcall_completion *out, uint32_t cap, uint32_t stride) {
  (void)self;
  (void)out;
  (void)cap;
  (void)stride;
  return SIXCALL_E_CLOSED;
}

static int32_t minimal_close(sixcall_conn *self, uint32_t grace_ms) {
  (void)self;
  (void)grace_ms;
  return SIXCALL_OK;
}

static const sixcall_api minimal_api = {
    (uint32_t)sizeof(sixcall_api),
    SIXCALL_ABI_MAJOR,
    SIXCALL_ABI_MINOR,
    SIXCALL_CAP_READ_YOUR_WRITES | SIXCALL_CAP_DELETE,
    0,
    SIXCALL_THREADS_PARALLEL,
    0,
    "minimal",
    "0.0.1",
    "Sixcall",
    NULL,
    minimal_open,
    minimal_event_fd,
    minimal_submit,
    minimal_submit,
    minimal_submit,
    minimal_drain,
    minimal_close,
    minimal_submit,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
};

SIXCALL_NOTE(SIXCALL_CAP_READ_YOUR_WRITES | SIXCALL_CAP_DELETE, "Sixcall", "minimal", "0.0.1");

SIXCALL_EXPORT const sixcall_api *sixcall_connector_entry_v1(const sixcall_host *host) {
  (void)host;
  return &minimal_api;
}

/* A helper with default visibility, as a careless dependency brings it along:
 * only the version script keeps it out of the exports. */
#ifdef __cplusplus
extern "C"
#endif
SIXCALL_EXPORT void minimal_leak(void);
void minimal_leak(void) {}
