package s3

import (
	"errors"
	"io"
	"sync"
)

// lent is a value as a request body. net/http may go on reading a body after it
// has reported an error; once end was called, it gets an error instead of bytes
// that are the host's again.
type lent struct {
	mu    sync.Mutex // held while bytes are copied
	value []byte
	at    int64
	ended bool
}

var (
	_ io.ReadSeeker = (*lent)(nil)
	_ io.ReaderAt   = (*lent)(nil)
)

var errEnded = errors.New("the request has ended")

func lend(value []byte) *lent { return &lent{value: value} }

func (l *lent) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended, l.value = true, nil
}

// Read implements [io.Reader].
func (l *lent) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.copy(p, l.at)
	l.at += int64(n)
	return n, err
}

// ReadAt implements [io.ReaderAt].
func (l *lent) ReadAt(p []byte, off int64) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.copy(p, off)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

func (l *lent) copy(p []byte, off int64) (int, error) {
	switch {
	case l.ended:
		return 0, errEnded
	case off < 0:
		return 0, errors.New("negative offset")
	case off >= int64(len(l.value)):
		return 0, io.EOF
	}
	return copy(p, l.value[off:]), nil
}

// Seek implements [io.Seeker].
func (l *lent) Seek(offset int64, whence int) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += l.at
	case io.SeekEnd:
		offset += int64(len(l.value))
	}
	if offset < 0 {
		return 0, errors.New("negative position")
	}
	l.at = offset
	return offset, nil
}
