// Package bridge turns a [kv.Connector], which answers batches out of order on
// one event fd, into tasks that are each answered exactly once: done, failed,
// past the deadline, cancelled or closed. It keeps what a cache manager has to
// know beside the data: which keys are stored and how large they are, which are
// pinned, and which must not be served.
//
// It knows no host contract and no C: adapters sit above it, connectors below.
// ARCHITECTURE.md in this folder draws the data path, threads and locks.
package bridge
