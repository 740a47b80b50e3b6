// Package host builds the storage of an engine that runs in one process from
// LMCache's configuration: backends, remote connectors, storage plugins and the
// plugin scripts beside it.
package host
