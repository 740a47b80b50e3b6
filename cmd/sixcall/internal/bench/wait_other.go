//go:build !linux

package bench

import (
	"context"
	"errors"
	"time"
)

func waitFD(context.Context, int, time.Time) error {
	return errors.New("event fds are not supported on this system; Sixcall runs on Linux")
}
