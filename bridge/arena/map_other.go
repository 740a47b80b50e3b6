//go:build !linux

package arena

import "errors"

func mapShared(int, bool) ([]byte, int, bool, error) {
	return nil, -1, false, errors.New("shared memory is not supported on this system; Sixcall runs on Linux")
}

func (s *segment) unmap() error { return nil }

func prefault([]byte) {}
