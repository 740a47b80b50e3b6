// Package storage is the storage side of an engine that runs in one process:
// backends, plugins that add some, and the [Manager] that asks them in order.
// Names and behaviour follow LMCache's StorageManager, StorageBackendInterface and
// StoragePluginInterface.
package storage
