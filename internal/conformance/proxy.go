//go:build linux

package conformance

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// proxy stands between a connector and its backend and breaks what passes. Its zero
// settings break nothing. All settings may change while it runs.
type proxy struct {
	target   string
	listener net.Listener
	done     sync.WaitGroup

	toServer, toClient atomic.Int64 // bytes that passed
	accepted           atomic.Int64

	mu     sync.Mutex // guards the rest
	rules  rules
	random *rand.Rand
	conns  map[net.Conn]bool
}

// rules say what is broken.
type rules struct {
	refuse    bool // close new connections at once
	blackhole bool // swallow everything, both ways, and for ever in connections that lost something
	// cut ends a connection after a random number of bytes up to this many from the
	// server; 0 = never.
	cut int
	// piece passes bytes from the server in pieces of at most this many; 0 = as they come.
	piece int
	// delay is the longest random pause before a piece.
	delay time.Duration
	// flip changes a bit in one of so many bytes from the server; 0 = none.
	flip int
}

func startProxy(target string, seed uint64) (*proxy, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{target: target, listener: l, random: rand.New(rand.NewPCG(seed, 1)), conns: map[net.Conn]bool{}}
	p.done.Add(1)
	go p.accept()
	return p, nil
}

func (p *proxy) port() int { return p.listener.Addr().(*net.TCPAddr).Port }

// close ends the proxy and all connections through it.
func (p *proxy) close() {
	p.listener.Close()
	p.drop()
	p.done.Wait()
}

// drop resets every connection.
func (p *proxy) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		reset(c)
	}
}

func (p *proxy) set(r rules) {
	p.mu.Lock()
	p.rules = r
	p.mu.Unlock()
}

func (p *proxy) get() rules {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rules
}

func (p *proxy) chance(n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.random.IntN(max(n, 1))
}

// reset closes a connection so that the peer sees RST.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	c.Close()
}

func (p *proxy) keep(c net.Conn) {
	p.mu.Lock()
	p.conns[c] = true
	p.mu.Unlock()
}

func (p *proxy) forget(c net.Conn) {
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
	c.Close()
}

func (p *proxy) accept() {
	defer p.done.Done()
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.accepted.Add(1)
		if p.get().refuse {
			reset(client)
			continue
		}
		p.done.Add(1)
		go p.serve(client)
	}
}

func (p *proxy) serve(client net.Conn) {
	defer p.done.Done()
	p.keep(client)
	defer p.forget(client)
	server, err := net.DialTimeout("tcp", p.target, 5*time.Second)
	if err != nil {
		return
	}
	p.keep(server)
	defer p.forget(server)
	var swallowed atomic.Bool
	var both sync.WaitGroup
	both.Add(2)
	go func() {
		defer both.Done()
		p.pipe(server, client, &p.toServer, false, &swallowed)
		half(server)
	}()
	go func() {
		defer both.Done()
		p.pipe(client, server, &p.toClient, true, &swallowed)
		half(client)
	}()
	both.Wait()
}

// half closes the sending side, as the peer did.
func half(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.CloseWrite()
	}
}

// pipe copies from one side to the other and breaks the replies of the server.
func (p *proxy) pipe(to, from net.Conn, count *atomic.Int64, replies bool, swallowed *atomic.Bool) {
	buf := make([]byte, 64<<10)
	budget := -1
	for {
		size := len(buf)
		r := p.get()
		if replies && r.piece > 0 {
			size = min(size, 1+p.chance(r.piece))
		}
		n, err := from.Read(buf[:size])
		r = p.get() // they may have changed while we waited
		if r.blackhole && n > 0 {
			swallowed.Store(true)
		}
		if swallowed.Load() {
			// Bytes were lost in this connection: it stays silent for ever, both ways.
			if err != nil {
				return
			}
			continue
		}
		data := buf[:n]
		if replies && n > 0 {
			if r.delay > 0 {
				time.Sleep(time.Duration(p.chance(int(r.delay))))
			}
			if r.flip > 0 {
				for i := p.chance(2 * r.flip); i < n; i += 1 + p.chance(2*r.flip) {
					data[i] ^= 1 << p.chance(8)
				}
			}
			if r.cut > 0 {
				if budget < 0 {
					budget = p.chance(r.cut)
				}
				if n >= budget {
					_, _ = to.Write(data[:budget])
					count.Add(int64(budget))
					switch p.chance(3) {
					case 0:
						reset(to)
						reset(from)
					case 1:
						to.Close()
						from.Close()
					default: // half: nothing more comes, and the connection stays open
						half(to)
						time.Sleep(50 * time.Millisecond)
						reset(from)
						to.Close()
					}
					return
				}
				budget -= n
			} else {
				budget = -1
			}
		}
		if n > 0 {
			if _, werr := to.Write(data); werr != nil {
				reset(from)
				return
			}
			count.Add(int64(n))
		}
		if err != nil {
			return
		}
	}
}

// pause sleeps, or returns false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
