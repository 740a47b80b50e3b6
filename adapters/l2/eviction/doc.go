// Package eviction keeps L2 adapters below their capacity and tenants within
// their quotas.
//
// A [Controller] serves many adapters with one goroutine. Once a period it looks
// at the usage of each, asks the adapter's [Policy] for victims when a watermark
// is reached, and deletes them. It learns what is stored, loaded and deleted as a
// listener of the adapter; [Controller.MakeRoom] does the same at once, before a
// store that would not fit.
//
// The policies, the watermarks and the order of victims are LMCache 0.5.6's. What
// it does better: an adapter that fails or panics hurts no other one, a key that
// cannot be removed does not block the ones behind it, and what is reported is
// what was really removed.
//
// A million tracked keys cost about 85 MB, chunk hashes included, and twice that
// for ARC with all its ghosts, in memory that the garbage collector does not scan;
// see BenchmarkTrack. The memory of keys that went is used again, but not given
// back before [Controller.Remove].
package eviction
