// Package tier puts several L2 adapters, in order, behind one Go API. It does
// what LMCache's store and prefetch controllers do: a store goes to every
// member, a prefetch asks all members at once and loads each value from the
// first one that has it.
//
// # Memory
//
// Values move without a copy when all members transfer from and to the arena of
// the tier: build them with [l2.Options].Arena set to [Tier.Arena], or give the
// tier the arena they share. A member with another arena works; its adapter
// then copies every value once, and [Status] says so.
//
// A prefetch allocates its own buffers and hands out those that were filled, as
// [Loaded] cells. A buffer that a member may still write into is never handed
// out and never reused before the member is done with it, however long that
// takes.
//
// # Pins
//
// A lookup pins what it finds at the member. The tier returns each pin exactly
// once: after planning, when the load that it was for has ended, or when the
// request failed or was given up. The goroutine that runs a member's call also
// returns its pins if nobody waits for the answer any more. So a member that
// ignores its context keeps its own pins until it returns from the call, and
// nobody else's.
//
// # Failures
//
// A member that fails, answers late or breaks its contract costs misses, never
// an answer of another member and never a wrong byte. What is not guaranteed:
// that a value found by a lookup can be loaded, and that all members hold the
// same keys. A member that is added gets no values that were stored before.
package tier
