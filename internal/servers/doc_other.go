//go:build !linux

// Package servers starts real storage servers for tests, on Linux.
package servers
