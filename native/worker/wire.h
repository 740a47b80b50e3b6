// SPDX-License-Identifier: Apache-2.0
// The generated code, with the warnings of its headers off.
#ifndef SIXCALL_WORKER_WIRE_H
#define SIXCALL_WORKER_WIRE_H

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wpedantic"
#include "wire_generated.h"
#pragma GCC diagnostic pop

#endif
