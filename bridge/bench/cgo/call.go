// Package cgo is the yardstick for the calls of package native: the same call
// through cgo. It is in the module of the benchmarks because cgo has no place in
// the main one.
//
//	cd bridge/bench/cgo && CGO_ENABLED=1 go test -bench Call
//	cd native && CGO_ENABLED=0 go test -run - -bench Call
package cgo

/*
#include <stdint.h>

static uint64_t numbers(uint64_t a, uint64_t b, uint64_t c, uint64_t d) { return a + 2 * b + 3 * c + 4 * d; }

typedef uint64_t (*function)(uint64_t, uint64_t, uint64_t, uint64_t);

// Through a pointer, as the user of a loaded library has to.
static volatile function target = numbers;
static uint64_t call(uint64_t a, uint64_t b, uint64_t c, uint64_t d) { return target(a, b, c, d); }
*/
import "C"

func call(a, b, c, d uint64) uint64 {
	return uint64(C.call(C.uint64_t(a), C.uint64_t(b), C.uint64_t(c), C.uint64_t(d)))
}
