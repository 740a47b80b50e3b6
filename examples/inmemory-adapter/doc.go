// Package inmemory is an example of a plugin: a whole L2 adapter, in one package
// that a third party could keep in a module of its own. It is LMCache's reference
// plugin, InMemoryL2Adapter: values in memory, first in first out when it is
// full, and the delay that a transfer of a given bandwidth would take.
//
// Copy it, and replace memory.go by your storage. adapter.go shows what every
// adapter needs: a task table, accounting, a goroutine for the work, and a close
// that leaves nothing behind. See the README.
package inmemory
