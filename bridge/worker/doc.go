// Package worker runs a connector library in a process of its own, so that a crash
// of the library never takes this program down.
//
// [Open] starts the program sixcall-worker (native/worker), has it load and open
// the library, and returns a [Connector], which implements kv.Connector with the
// behaviour of package native. Batches travel through rings in shared memory,
// values stay where they are: both sides map the connector's arena. Everything
// else goes over a Unix socket; native/worker/PROTOCOL.md has the details.
//
// # What happens when the worker ends
//
// A crash, an exit, a hang and a memory limit are told apart. The worker's whole
// process group is killed and gone before anything else happens, because its memory
// is ours too. Completions that it had published count; every other batch in flight
// completes with kv.IO and all its keys failed, since status bytes of a batch that
// never completed prove nothing. A new worker is started with a growing, jittered
// delay; it gets the same configuration, memory and registrations. Meanwhile Submit
// fails at once with kv.Unavailable and the reason.
//
// A vendor's process that leaves the worker's process group (setsid in a child) is
// not found and not killed.
//
// # Trust
//
// The worker can write anything into the memory that it shares with this process:
// the rings and the arena. Nothing that it writes there, or sends, is believed: heads,
// tickets and lengths are kept on this side, records are copied before they are
// checked, messages are decoded with bounds. It can make keys fail, and it can serve
// wrong bytes for a key that it says it has; it cannot crash or stop this program.
//
// # Memory
//
// Memory of batches has to be mapped by the worker: the connector's own
// [Connector.Arena], or memory with a descriptor given to Register or Share. Any
// other memory, the Go heap included, goes through a buffer with one copy each way,
// which [Status] counts.
//
//go:generate ../../native/worker/generate.sh
package worker
