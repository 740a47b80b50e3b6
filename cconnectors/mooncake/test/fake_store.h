// SPDX-License-Identifier: Apache-2.0
//
// What a test can tell the fake libmooncake_store.so to do. call is the name of a
// function without "mooncake_store_". All functions are safe for concurrent use.
#ifndef SIXCALL_MOONCAKE_TEST_FAKE_STORE_H
#define SIXCALL_MOONCAKE_TEST_FAKE_STORE_H

#include <cstdint>

extern "C" {

/// Forgets values, scripts and counters, and releases whoever is held.
void fake_reset();
/// After `skip` results of a call, the next `count` are `code` instead, whatever
/// the call would have done, and it does nothing for them.
void fake_result(const char* call, int64_t code, int count, int skip);
/// The next `count` calls return rc and write no result.
void fake_rc(const char* call, int rc, int count);
/// Calls block until fake_release. fake_held is how many do.
void fake_hold(const char* call);
void fake_release(const char* call);
int fake_held(const char* call);
/// How often a call was made; how many keys it had in all.
int64_t fake_calls(const char* call);
int64_t fake_keys(const char* call);
/// Handles that are not destroyed; buffers that are registered with any.
int fake_handles();
int fake_registered();
/// From now on the handles that there are answer RPC_FAIL to everything.
void fake_kill_handles();
/// Says whether a key is stored under exactly this name.
int fake_has(const char* key);
/// Whether reads lease keys, so that a remove without force fails. Off after a reset.
void fake_leases(int on);
/// Whether get and put want registered memory. Off after a reset.
void fake_wants_registered(int on);
/// How often two puts of one key ran at the same time.
int64_t fake_colliding_puts();
/// The arguments of the last setup, separated by '|', and the last put's config.
const char* fake_last_setup();
const char* fake_last_config();
}

#endif  // SIXCALL_MOONCAKE_TEST_FAKE_STORE_H
