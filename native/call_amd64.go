//go:build linux

package native

// callFourABI0 is the address of callFour.
var callFourABI0 uintptr

// ownTrampoline calls frame.fn; 0 = purego's does.
func ownTrampoline() uintptr { return callFourABI0 }
