package remote

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/sixcall/sixcall/bridge/engine"
)

// The protocol of LMCache's server: 32-bit numbers, little-endian. A request is
// command, length, format, data type, location and four dimensions, then the key in
// 150 bytes, padded with spaces. A reply is code, length, format, data type, four
// dimensions and location.
const (
	lmPut    = 1
	lmGet    = 2
	lmExist  = 3
	lmHealth = 5

	lmOK      = 200
	lmKeySize = 150
	lmRequest = 36 + lmKeySize
	lmReply   = 36

	// lmNoKey stands where a request is about no key: the server reads one anyway.
	lmNoKey = "sixcall@1@0@0@half"

	lmConnections = 4
	lmDialTimeout = 5 * time.Second
)

// lm is a client of LMCache's server. A connection does one thing at a time; after
// any error it is closed, because what it would read next is not known.
type lm struct {
	addr string
	cpu  Allocator
	idle chan net.Conn // nil elements stand for connections that are not open
	once sync.Once
	quit chan struct{}
}

// newLM serves lm://host:port.
func newLM(c *ConnectorContext) (Connector, error) {
	a, err := parseURL(c.URL)
	if err != nil {
		return nil, err
	}
	if len(c.layout().Shapes) != 1 {
		return nil, fmt.Errorf("%w: lm:// has room for one group of layers, the model has %d", ErrConfig, len(c.layout().Shapes))
	}
	l := &lm{addr: net.JoinHostPort(a.host, strconv.Itoa(a.port)), cpu: c.LocalCPU, idle: make(chan net.Conn, lmConnections), quit: make(chan struct{})}
	for range lmConnections {
		l.idle <- nil
	}
	return l, nil
}

// do runs f on a connection that is its own meanwhile.
func (l *lm) do(ctx context.Context, f func(net.Conn) error) (err error) {
	var conn net.Conn
	select {
	case conn = <-l.idle:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-l.quit:
		return errors.New("the connector is closed")
	}
	defer func() {
		if err != nil && conn != nil {
			conn.Close()
			conn = nil
		}
		l.idle <- conn
	}()
	if conn == nil {
		d := net.Dialer{Timeout: lmDialTimeout}
		if conn, err = d.DialContext(ctx, "tcp", l.addr); err != nil {
			return err
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err = f(conn)
	if !stop() && err == nil {
		// The deadline may just be set: the connection is of no more use.
		conn.Close()
		conn = nil
	}
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return err
}

// lmMessage is what requests and replies have in common.
type lmMessage struct {
	code   int32 // of a command or a reply
	header engine.Header
}

func (l *lm) request(command int32, key string, h *engine.Header) ([]byte, error) {
	if len(key) > lmKeySize {
		return nil, fmt.Errorf("the key has %d bytes, lm:// has room for %d: %s", len(key), lmKeySize, key)
	}
	if h == nil { // what LMCache sends where there is no object
		h = &engine.Header{Format: engine.KV2LTD, DTypes: []engine.DType{engine.Float16}, Shapes: []engine.Shape{{}}}
	}
	// The numbers of a request are those of a header with the location between.
	numbers, err := h.Append(nil)
	if err != nil {
		return nil, err
	}
	out := binary.LittleEndian.AppendUint32(nil, uint32(command))
	out = append(out, numbers[:12]...)
	out = binary.LittleEndian.AppendUint32(out, 0) // location: none
	out = append(out, numbers[12:28]...)
	out = append(out, key...)
	return append(out, bytes.Repeat([]byte{' '}, lmRequest-len(out))...), nil
}

// reply reads one reply; its header is valid if there is a payload.
func (l *lm) reply(conn net.Conn) (m lmMessage, err error) {
	var buf [lmReply]byte
	if _, err := io.ReadFull(conn, buf[:]); err != nil {
		return m, err
	}
	m.code = int32(binary.LittleEndian.Uint32(buf[:]))
	if m.code == lmOK && binary.LittleEndian.Uint32(buf[4:]) > 0 {
		m.header, err = engine.ParseHeader(buf[4:], 1)
	}
	return m, err
}

func (l *lm) Exists(ctx context.Context, key engine.Key) (found bool, err error) {
	request, err := l.request(lmExist, key.String(), nil)
	if err != nil {
		return false, err
	}
	err = l.do(ctx, func(conn net.Conn) error {
		if _, err := conn.Write(request); err != nil {
			return err
		}
		m, err := l.reply(conn)
		found = m.code == lmOK
		return err
	})
	return found, err
}

func (l *lm) ExistsSync(key engine.Key) (bool, error) { return l.Exists(context.Background(), key) }

func (l *lm) Get(ctx context.Context, key engine.Key) (o *engine.Object, err error) {
	request, err := l.request(lmGet, key.String(), nil)
	if err != nil {
		return nil, err
	}
	err = l.do(ctx, func(conn net.Conn) error {
		if _, err := conn.Write(request); err != nil {
			return err
		}
		m, err := l.reply(conn)
		if err != nil || m.code != lmOK {
			return err
		}
		layout, err := adopt(m.header)
		if err != nil {
			return err
		}
		if o, err = l.cpu.Allocate(ctx, layout, true); err != nil {
			return err
		}
		if o.Len() != m.header.Length {
			err = o.Truncate(m.header.Length)
		}
		if err == nil {
			_, err = io.ReadFull(conn, o.Bytes())
		}
		return err
	})
	if err != nil {
		o.Release()
		return nil, err
	}
	return o, nil
}

// Put sends the object. The server says nothing to that: a health request behind it
// makes sure that it was read.
func (l *lm) Put(ctx context.Context, key engine.Key, obj *engine.Object) error {
	h := obj.Header()
	request, err := l.request(lmPut, key.String(), &h)
	if err != nil {
		return err
	}
	health, _ := l.request(lmHealth, lmNoKey, nil)
	return l.do(ctx, func(conn net.Conn) error {
		buffers := net.Buffers{request, obj.Bytes(), health}
		if _, err := buffers.WriteTo(conn); err != nil {
			return err
		}
		m, err := l.reply(conn)
		if err == nil && m.code != lmOK {
			err = fmt.Errorf("the server answered %d", m.code)
		}
		return err
	})
}

// Ping implements [Pinger].
func (l *lm) Ping(ctx context.Context) (code int, err error) {
	request, _ := l.request(lmHealth, lmNoKey, nil)
	err = l.do(ctx, func(conn net.Conn) error {
		if _, err := conn.Write(request); err != nil {
			return err
		}
		m, err := l.reply(conn)
		if m.code != lmOK {
			code = int(m.code)
		}
		return err
	})
	return code, err
}

// List implements [Connector]: the server leaves the request unanswered, so it is
// not made.
func (l *lm) List(context.Context) ([]string, error) { return nil, nil }

func (l *lm) Close(context.Context) error {
	l.once.Do(func() {
		close(l.quit)
		for range lmConnections {
			// A call that runs ends at its deadline; its connection is closed then.
			go func() {
				if conn := <-l.idle; conn != nil {
					conn.Close()
				}
			}()
		}
	})
	return nil
}
