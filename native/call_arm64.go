//go:build linux

package native

// ownTrampoline calls frame.fn; 0 = purego's does.
func ownTrampoline() uintptr { return 0 }
