//go:build linux && (amd64 || arm64)

package native

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// peeker reads memory whose address a library gave, without faulting when the
// address is wrong: the kernel copies it through a pipe and says EFAULT.
type peeker struct{ r, w int }

func newPeeker() (*peeker, error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, fmt.Errorf("pipe: %w", err)
	}
	return &peeker{p[0], p[1]}, nil
}

func (p *peeker) close() {
	_ = unix.Close(p.r)
	_ = unix.Close(p.w)
}

const peekStep = 4096 // bytes; fits an empty pipe, and no step crosses a page

// read copies n bytes from addr.
func (p *peeker) read(addr uintptr, n int) ([]byte, error) {
	out := make([]byte, n)
	for done := 0; done < n; {
		from := addr + uintptr(done)
		step := min(n-done, peekStep-int(from%peekStep))
		wrote, _, errno := unix.Syscall(unix.SYS_WRITE, uintptr(p.w), from, uintptr(step))
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return nil, fmt.Errorf("%#x is not readable memory (%v)", from, errno)
		}
		got, err := unix.Read(p.r, out[done:done+int(wrote)])
		if err != nil {
			return nil, fmt.Errorf("pipe: %w", err)
		}
		done += got
	}
	return out, nil
}

// text copies the NUL-terminated string at addr, at most limit bytes.
func (p *peeker) text(addr uintptr, limit int) (string, error) {
	var out []byte
	for len(out) < limit {
		from := addr + uintptr(len(out))
		step := min(limit-len(out), peekStep-int(from%peekStep))
		part, err := p.read(from, step)
		if err != nil {
			return "", err
		}
		if end := bytes.IndexByte(part, 0); end >= 0 {
			return string(append(out, part[:end]...)), nil
		}
		out = append(out, part...)
	}
	return "", errors.New("no terminating NUL")
}
