// Package remote is the remote side of an engine that runs in one process: LMCache's
// RemoteConnector, ConnectorAdapter and RemoteBackend. A URL's scheme chooses the
// adapter, the adapter makes the connector, and [Backend] drives it.
//
// The built-in schemes keep the keys and bytes of LMCache 0.5.6, so that engines of
// both kinds share one store.
package remote
