// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_TEST_HARNESS_BASICS_H
#define SIXCALL_TEST_HARNESS_BASICS_H

#include "connection.h"

namespace sixcall_test {

// What every connector must do, in one run: store, look up, load, misses, sizes,
// mixed batches, both edges of the guarded memory, wide strides, refusals. Fails
// the running test. Expects an empty connector with room for 64 values of 1 KiB.
void RunBasics(Connection &connection);

}  // namespace sixcall_test

#endif  // SIXCALL_TEST_HARNESS_BASICS_H
