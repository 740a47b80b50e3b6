//go:build linux

package conformance_test

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// server keeps the values of a mutant with an endpoint; store_remote.cpp has the
// protocol.
type server struct {
	listener net.Listener
	mu       sync.Mutex // guards the two below
	values   map[string][]byte
	conns    map[net.Conn]bool
}

func startServer(t testing.TB) *server {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	s := &server{listener: l, values: map[string][]byte{}, conns: map[net.Conn]bool{}}
	var all sync.WaitGroup
	all.Add(1)
	go func() {
		defer all.Done()
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[conn] = true
			s.mu.Unlock()
			all.Add(1)
			go func() {
				defer all.Done()
				s.serve(conn)
				s.mu.Lock()
				delete(s.conns, conn)
				s.mu.Unlock()
				conn.Close()
			}()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		s.mu.Lock()
		for conn := range s.conns {
			conn.Close()
		}
		s.mu.Unlock()
		all.Wait()
	})
	return s
}

func (s *server) Addr() string { return s.listener.Addr().String() }

// hash is mutant::Hash.
func hash(data []byte, seed uint64) uint64 {
	h := uint64(0xCBF29CE484222325) ^ seed
	for _, c := range data {
		h = (h ^ uint64(c)) * 0x100000001B3
	}
	h ^= h >> 32
	return h * 0x9E3779B97F4A7C15
}

func (s *server) serve(conn net.Conn) {
	if _, err := conn.Write([]byte("six\n")); err != nil {
		return
	}
	for {
		var head [13]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return
		}
		keyLen, length := binary.LittleEndian.Uint32(head[1:]), binary.LittleEndian.Uint64(head[5:])
		if keyLen > 1<<20 || length > 1<<28 {
			return
		}
		key := make([]byte, keyLen)
		if _, err := io.ReadFull(conn, key); err != nil {
			return
		}
		var value []byte
		if head[0] == 2 {
			value = make([]byte, length)
			if _, err := io.ReadFull(conn, value); err != nil {
				return
			}
		}
		status, stored, payload := s.do(head[0], string(key), value, length)
		reply := make([]byte, 17, 17+len(payload))
		reply[0] = status
		binary.LittleEndian.PutUint64(reply[1:], stored)
		sum := uint64(0)
		if payload != nil {
			sum = hash(payload, 0)
		}
		binary.LittleEndian.PutUint64(reply[9:], hash(reply[:9], sum))
		if _, err := conn.Write(append(reply, payload...)); err != nil {
			return
		}
	}
}

// do carries out a request and returns a status of the ABI.
func (s *server) do(op byte, key string, value []byte, length uint64) (status byte, stored uint64, payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, found := s.values[key]
	switch op {
	case 2:
		s.values[key] = value
		return 1, length, nil
	case 4:
		delete(s.values, key)
	case 5:
		return 1, 0, nil
	}
	switch {
	case !found:
		return 0, 0, nil
	case op == 1 && uint64(len(old)) != length:
		return 3, uint64(len(old)), nil
	case op == 1 || op == 6:
		return 1, uint64(len(old)), old
	}
	return 1, uint64(len(old)), nil
}
