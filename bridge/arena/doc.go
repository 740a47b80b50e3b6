// Package arena hands out memory outside the Go heap: shared mappings that the
// garbage collector neither scans nor moves, that a connector can be given by
// address, that a transport can register once, and that a worker process can
// map by descriptor.
//
// # Lending
//
// A [Block] that takes part in an operation is lent to the connector. Release
// gives a block back for good; if it is still lent, its memory is reused only
// when the connector is done with it. A block whose operation was answered
// early (deadline, cancellation, close) is quarantined: late bytes may still
// arrive in it, so no operation accepts it until it comes back. The way on is to
// Release it and Alloc another.
package arena
