// Package mock is LMCache's mock L2 adapter: values in memory, a capacity, and
// the delay that a transfer of a given bandwidth would take. Hosts are tested
// and measured with it.
//
// It stores what fits and skips the rest: it never evicts by itself and never
// overwrites. The value of a store is there for lookups as soon as it was copied,
// before the delay of its task ends.
package mock
