// Package goconnector makes a [kv.Connector] of a storage client that is written
// in Go. The client brings calls that handle one key and block; the package
// brings the queue, the workers, the event fd, deadlines, cancellation and status
// bytes. There is no C and no shared library.
//
// It is the Go counterpart of connector.hpp.
package goconnector
