// Package native runs connector libraries in this process, without cgo.
//
// [Find] turns a name into a file, [Inspect] says what the file is without
// running it, and [Open] loads it and returns a [Connector], which implements
// kv.Connector over the C ABI of include/sixcall/connector.h. Linux on amd64 and
// arm64; elsewhere everything returns an error that matches kv.Unsupported.
// Programs that import this package are dynamically linked against glibc.
//
// # Trust
//
// A library in this process can do whatever this process can: crash it, write to
// any memory, stop the collector. The checks before loading catch mistakes, not
// malice: another machine, another ABI, a file that anyone may replace, an
// embedded Go runtime. Package bridge/worker runs the same library in a process
// of its own.
//
// Signal handlers, the calling thread's signal mask and its signal stack are
// compared before and after loading and opening; what changed is put back and
// named in [Report].Changed. Handlers that a library changes later are not seen.
// While a library is loaded or opened the program must not call Ignore, Reset or
// Stop of os/signal, which look the same.
//
// A crash inside a call ends the process with the runtime's report, in which
// Submit, Drain or Open of this package stands; a crash of a thread of the
// library ends it without a word. Nothing here can catch either.
//
// A library that has run is never unloaded.
//
// # Memory
//
// Every address that goes to a library lies outside the Go heap: structs that
// this package makes are in anonymous mappings, and kv.Batch refers to memory of
// the bridge or of the host. So the collector moves nothing, scans nothing, and a
// late write of a sick library never lands in a Go object.
//
//   - The struct of a batch and its items are written into kv.Batch.Scratch:
//     72 bytes at its start and 32 per key from kv.ScratchBase on. They stay in
//     place until the batch is drained, as its owner promises.
//   - Completions are drained into an array of this package with one record more
//     than the library is told of, so that an overrun is seen.
//   - Arguments of open live in a mapping of their own that is wiped afterwards,
//     because they hold resolved secrets.
//   - The host struct stays mapped for the life of the process.
//   - When close cannot stop everything (an error that matches kv.Stuck) nothing
//     is given back, and the owner of the batches must keep theirs as well.
//
// Strings and tables of a library are read through the kernel, so that a wrong
// address is an error and not a crash.
//
// # Threads
//
// Calls run on the thread of the calling goroutine, which may differ from call to
// call. The thread model of the library decides what is held meanwhile: a mutex
// of the library for SERIAL (then an open that takes long delays the other
// connections of that library), one of the connection for PER_HANDLE, nothing
// for PARALLEL. A call that blocks in the library keeps its thread, and nothing
// can interrupt it.
//
// Log lines may come from any thread at any time. They are copied into a bounded
// queue without blocking and given to Options.Log by one goroutine per
// connection; lines beyond 1000 a second, or while 256 wait, are dropped and
// counted.
//
// # Cost
//
// A call costs about as much as one through cgo and allocates nothing; so do
// Submit and Drain. The layout of what crosses the boundary is generated:
//
//go:generate go run ./internal/abigen
package native
