/* SPDX-License-Identifier: Apache-2.0
 *
 * A connector that does nothing, for what is wrong with files: built several times,
 * each with another macro or linker flag. */
#include "sixcall/connector.h"

static int32_t no_open(const sixcall_host *host, const sixcall_open_args *args, sixcall_conn **out, sixcall_err *err) {
  (void)host, (void)args, (void)out;
  if (err != NULL) err->code = SIXCALL_E_UNSUPPORTED;
  return SIXCALL_E_UNSUPPORTED;
}
static int32_t no_fd(sixcall_conn *c) { return (void)c, SIXCALL_E_UNSUPPORTED; }
static int32_t no_submit(sixcall_conn *c, const sixcall_batch *b) { return (void)c, (void)b, SIXCALL_E_UNSUPPORTED; }
static int32_t no_drain(sixcall_conn *c, sixcall_completion *out, uint32_t cap, uint32_t stride) { return (void)c, (void)out, (void)cap, (void)stride, 0; }
static int32_t no_close(sixcall_conn *c, uint32_t grace_ms) { return (void)c, (void)grace_ms, 0; }

static const sixcall_api table = {
    .struct_size = sizeof(sixcall_api),
    .abi_major = SIXCALL_ABI_MAJOR,
    .abi_minor = SIXCALL_ABI_MINOR,
    .name = "elf",
    .version = "1.0.0",
    .vendor = "Sixcall",
    .open = no_open,
    .event_fd = no_fd,
    .submit_batch_get = no_submit,
    .submit_batch_set = no_submit,
    .submit_batch_exists = no_submit,
    .drain_completions = no_drain,
    .close = no_close,
};

#ifndef NO_NOTE
SIXCALL_NOTE(0, "Sixcall", "elf", "1.0.0");
#endif

#ifdef EXTRA_EXPORT
SIXCALL_EXPORT int json_parse(void);
SIXCALL_EXPORT int json_parse(void) { return 0; }
#endif

#ifdef UNDEFINED
extern int nobody_defines_this(void);
#endif

#ifdef NEEDS_GONE
extern int from_gone(void);
#endif

#ifdef STATIC_TLS
extern __thread int initial_exec_value __attribute__((tls_model("initial-exec")));
__thread int initial_exec_value __attribute__((tls_model("initial-exec"), visibility("hidden")));
#endif

#ifdef MANY_CTORS
#define ONE(n) __attribute__((constructor)) static void ctor##n(void) { __asm__ volatile("" ::: "memory"); }
#define FIVE(a) ONE(a##1) ONE(a##2) ONE(a##3) ONE(a##4) ONE(a##5)
FIVE(1) FIVE(2) FIVE(3) FIVE(4) FIVE(5) FIVE(6)
#endif


#ifndef NO_ENTRY
SIXCALL_EXPORT const sixcall_api *sixcall_connector_entry_v1(const sixcall_host *host) {
  (void)host;
#ifdef UNDEFINED
  if (host != NULL && host->abi_minor == 12345) nobody_defines_this();
#endif
#ifdef NEEDS_GONE
  if (host != NULL && host->abi_minor == 12345) from_gone();
#endif
#ifdef STATIC_TLS
  if (host != NULL && host->abi_minor == 12345) initial_exec_value++;
#endif
  return &table;
}
#endif
