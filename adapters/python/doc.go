// Package python has no code: its tests run those of the Python package sixcall,
// which is beside it, against LMCache's real package.
package python
