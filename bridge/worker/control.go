//go:build linux && (amd64 || arm64)

package worker

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// control is our end of the socket. run belongs to one goroutine; everything else
// is safe for concurrent use.
type control struct {
	conn *net.UnixConn
	over chan struct{} // closed when nothing more comes

	mu      sync.Mutex // guards what follows
	nextID  uint64
	pending map[uint64]*question
	ended   error // why nothing comes any more

	writing sync.Mutex // one message at a time
}

// request is a message to the worker and the descriptors that go with it.
type request struct {
	kind any
	fds  []int
}

// question is a request whose answer is out. One that nobody waits for any more
// stays until its answer has come.
type question struct {
	kind    any
	overdue time.Time // when the worker counts as hung
	answer  chan any
}

var errNoAnswer = errors.New("no answer in time")

// newControl returns our end and the worker's, which goes to the process.
func newControl() (*control, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "worker's control socket")
	ours := os.NewFile(uintptr(fds[0]), "control socket")
	conn, err := net.FileConn(ours)
	_ = ours.Close()
	if err != nil {
		_ = theirs.Close()
		return nil, nil, err
	}
	return &control{conn: conn.(*net.UnixConn), over: make(chan struct{}), nextID: 1, pending: map[uint64]*question{}}, theirs, nil
}

// ask sends a request and waits for its answer, at most for limit. A failure that
// the worker reports is returned as a failed.
func (c *control) ask(limit time.Duration, r request) (any, error) {
	q, err := c.send(limit, r)
	if err != nil {
		return nil, err
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case answer := <-q.answer:
		return unpack(answer)
	case <-timer.C:
	}
	select {
	case <-c.over: // the worker ends now, and how it does is the better answer
		timer.Reset(2*time.Second + buryLimit)
		select {
		case answer := <-q.answer:
			return unpack(answer)
		case <-timer.C:
		}
	default:
	}
	return nil, errNoAnswer
}

func unpack(answer any) (any, error) {
	switch a := answer.(type) {
	case failed:
		return nil, a
	case error:
		return nil, a
	}
	return answer, nil
}

// Error implements the error interface.
func (f failed) Error() string { return f.text }

// send sends a request. Its answer comes on the question's channel.
func (c *control) send(limit time.Duration, r request) (*question, error) {
	q := &question{kind: r.kind, overdue: time.Now().Add(limit), answer: make(chan any, 1)}
	c.mu.Lock()
	if c.ended != nil {
		c.mu.Unlock()
		return nil, c.ended
	}
	id := c.nextID
	c.nextID++
	c.pending[id] = q
	c.mu.Unlock()

	c.writing.Lock()
	defer c.writing.Unlock()
	var rights []byte
	if len(r.fds) > 0 {
		rights = unix.UnixRights(r.fds...)
	}
	_ = c.conn.SetWriteDeadline(time.Now().Add(limit)) // it may not read
	if _, _, err := c.conn.WriteMsgUnix(encode(id, r.kind), rights, nil); err != nil {
		c.mu.Lock()
		delete(c.pending, id)
		c.mu.Unlock()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, errNoAnswer
		}
		return nil, fmt.Errorf("its control socket: %w", err)
	}
	return q, nil
}

// run reads messages until the socket ends, and hands those that answer nothing to
// take. It returns nil at the end of the socket, else what the worker did wrong.
func (c *control) run(take func(body any) error) error {
	buf := make([]byte, maxMessage+1)
	resets := 0
	for {
		// No room for descriptors: the kernel closes any that come.
		n, _, flags, _, err := c.conn.ReadMsgUnix(buf, nil)
		switch {
		case errors.Is(err, unix.ECONNRESET) && resets == 0:
			// The worker ended with unread messages of ours; its own are still there.
			resets++
			continue
		case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.Is(err, unix.ECONNRESET):
			return nil
		case err != nil:
			return fmt.Errorf("read from its control socket: %w", err)
		case n > maxMessage || flags&unix.MSG_TRUNC != 0:
			return fmt.Errorf("it sent a message of more than %d bytes", maxMessage)
		}
		id, body, err := decode(buf[:n])
		if err != nil {
			return fmt.Errorf("it sent %w", err)
		}
		if id == 0 {
			if err := take(body); err != nil {
				return err
			}
			continue
		}
		if err := c.answer(id, body); err != nil {
			return err
		}
	}
}

func (c *control) answer(id uint64, body any) error {
	c.mu.Lock()
	q := c.pending[id]
	delete(c.pending, id)
	c.mu.Unlock()
	if q == nil {
		return fmt.Errorf("it answered request %d, which is not out", id)
	}
	if _, refused := body.(failed); !refused && !answers(q.kind, body) {
		err := fmt.Errorf("it answered a %T with a %T", q.kind, body)
		q.answer <- err
		return err
	}
	q.answer <- body
	return nil
}

// end fails what is out and what will be asked.
func (c *control) end(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == nil {
		c.ended = why
	}
	for id, q := range c.pending {
		delete(c.pending, id)
		q.answer <- c.ended
	}
}

// out returns a request whose answer is out, pings aside.
func (c *control) out() (kind any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, q := range c.pending {
		if _, ping := q.kind.(pingRequest); !ping {
			return q.kind
		}
	}
	return nil
}

// late returns a request whose answer is overdue by more than limit.
func (c *control) late(now time.Time, limit time.Duration) (kind any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, q := range c.pending {
		if now.Sub(q.overdue) > limit {
			return q.kind
		}
	}
	return nil
}

func (c *control) close() { _ = c.conn.Close() }
