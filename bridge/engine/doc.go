// Package engine is the vocabulary of a KV-cache engine that runs in one process:
// its keys, memory objects, headers, metadata and configuration, in the words and
// bytes of LMCache. Remote connectors and storage backends share it.
package engine
