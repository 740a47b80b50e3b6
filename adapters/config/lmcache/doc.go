// Package lmcache reads the configuration of LMCache's single-process engine: its
// YAML (or JSON) file and its environment variables, with its defaults.
package lmcache
