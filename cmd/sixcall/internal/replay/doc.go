// Package replay sends the requests of a trace through L2 adapters, as a cache
// manager would, and checks every byte that comes back.
package replay
