// Package kv is the vocabulary that all parts of Sixcall share: object keys,
// result bitmaps, batches, completions, error codes and the [Connector]
// interface. It imports the standard library only and holds no behaviour beyond
// formatting, parsing and validation.
//
// A [Connector] stands for one storage backend. Three kinds exist: a shared
// library in this process (package native), the same library in a worker
// process, and connectors written in Go.
package kv
