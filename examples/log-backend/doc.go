// Package logbackend is a storage plugin that logs every call and keeps nothing:
// LMCache's example ExternalLogBackend, in Go. Copy it to begin a backend of your
// own.
package logbackend
