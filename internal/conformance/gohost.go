//go:build linux

package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/native"
)

func init() { commandRunners["L14"] = checkGoHost }

// checkGoHost is L14: this program again, as a host.
func checkGoHost(ctx context.Context, r *run, _ Check) Result {
	if len(r.Self) == 0 {
		return skip("this program cannot start itself as a host")
	}
	if len(r.file.GoRuntime) > 0 {
		return skip("%s embeds a Go runtime: Go hosts isolate it", r.file.GoRuntime[0].Path)
	}
	params := filepath.Join(r.tmp, "go-params")
	if err := os.WriteFile(params, []byte(r.params.text()), 0o600); err != nil {
		return verdict(ToolError, "%v", err)
	}
	defer os.Remove(params)
	args := append(append([]string(nil), r.Self...), r.Library, params)
	out := child{args: args, env: r.Env, dir: r.tmp, limit: r.Limit}.run(ctx)
	result := out.verdict(r.Limit)
	if out.err == nil && out.status.Exited() {
		if out.status.ExitStatus() == 0 {
			return pass("")
		}
		return fail("a Go host: %s", strings.TrimSpace(out.output))
	}
	return result
}

// GoHost opens a library in this process, without cgo, and stores and reads values
// from goroutines, with garbage collections in between. It is what the command runs
// for check L14, in a process of its own.
func GoHost(library, paramsFile string) error {
	params, err := os.ReadFile(paramsFile)
	if err != nil {
		return err
	}
	c, err := native.Open(native.Options{Connector: library, Params: json.RawMessage(params), Instance: "check", OpenTimeout: 10 * time.Second})
	if err != nil {
		return err
	}
	if changed := c.Report().Changed; len(changed) > 0 {
		return fmt.Errorf("the library changed %s", strings.Join(changed, ", "))
	}
	// The batches are ours and outside of the Go heap; they die with the process.
	memory, err := unix.Mmap(-1, 0, 4<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	take := func(n int) []byte {
		n8 := (n + 4095) / 4096 * 4096
		part := memory[:n:n]
		memory = memory[n8:]
		return part
	}
	const keys, size = 8, 3000
	batch := func(op kv.Op, ticket uint64) *kv.Batch {
		b := &kv.Batch{Ticket: ticket, Op: op, Scratch: take(kv.ScratchBase + keys*kv.ScratchPerKey), Err: kv.ErrBlock(take(kv.ErrBlockSize)), Status: take(keys)}
		b.Err.Reset()
		b.Keys = take(keys * 64)[:0]
		for i := range keys {
			b.Keys = append(b.Keys, fmt.Sprintf("go/%d/%d", os.Getpid(), i)...)
			b.Ends = append(b.Ends, uint32(len(b.Keys)))
			b.Status[i] = kv.StatusUnset
			if op != kv.OpExists {
				b.Bufs = append(b.Bufs, take(size))
			}
		}
		return b
	}
	run := func(b *kv.Batch) error {
		if err := c.Submit(b); err != nil {
			return err
		}
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
			fds := []unix.PollFd{{Fd: int32(c.EventFD()), Events: unix.POLLIN}}
			if _, err := unix.Poll(fds, 100); err != nil && err != unix.EINTR {
				return err
			}
			var done [4]kv.Completion
			n, err := c.Drain(done[:])
			if err != nil {
				return err
			}
			for _, d := range done[:n] {
				if d.Ticket == b.Ticket {
					if int(d.NOK) != keys || d.RC != kv.OK {
						return fmt.Errorf("%v of %d keys: %d hits, %v %s", b.Op, keys, d.NOK, d.RC, b.Err.Message())
					}
					return nil
				}
			}
		}
		return fmt.Errorf("%v never completed", b.Op)
	}
	set := batch(kv.OpSet, 1)
	for i, buf := range set.Bufs {
		for k := range buf {
			buf[k] = byte(i*7 + k)
		}
	}
	if err := run(set); err != nil {
		return err
	}
	for i := range 5 {
		get := batch(kv.OpGet, uint64(2+i))
		failed := make(chan error)
		go func() { failed <- run(get) }() // another goroutine, likely another thread
		if err := <-failed; err != nil {
			return err
		}
		for k := range get.Bufs {
			if !bytes.Equal(get.Bufs[k], set.Bufs[k]) {
				return fmt.Errorf("key %d came back with other bytes", k)
			}
		}
	}
	if err := run(batch(kv.OpExists, 100)); err != nil {
		return err
	}
	return c.Close(5 * time.Second)
}
