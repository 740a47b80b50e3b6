// Package bridgetest has connectors in Go for tests that need no C: an in-memory
// one that can be told to hold, fail, lie and break, and helpers for keys and
// buffers.
package bridgetest
