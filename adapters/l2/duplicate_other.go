//go:build !linux

package l2

import (
	"errors"
	"os"
)

func duplicate(int) (*os.File, error) {
	return nil, errors.New("not supported on this system; Sixcall runs on Linux")
}
