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

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/worker"
	"github.com/sixcall/sixcall/native"
)

func init() { commandRunners["V02"] = checkTwins }

// twinsWord is the third argument of the Go host for check V02.
const twinsWord = "twins"

// checkTwins is V02: this program again, as a host that uses the library in its own
// process and then in the worker.
func checkTwins(ctx context.Context, r *run, c Check) Result {
	if !kv.Caps(r.caps).Has(kv.CapReadYourWrites) {
		return skip("the library does not declare READ_YOUR_WRITES, so results may differ from run to run")
	}
	program, err := worker.FindProgram("")
	if err != nil {
		return skip("%v", err)
	}
	return goHost(ctx, r, c, "SIXCALL_WORKER="+program, twinsWord)
}

// goTwins does the same work in this process and in the worker, and compares.
func goTwins(library string, params []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	here, err := native.Open(native.Options{Connector: library, Params: json.RawMessage(params), Instance: "check", OpenTimeout: 10 * time.Second})
	if err != nil {
		return err
	}
	inProcess, err := twinResults(ctx, here, nil, "here")
	if err != nil {
		return fmt.Errorf("in this process: %w", err)
	}
	there, err := worker.Open(ctx, worker.Options{Library: library, Params: json.RawMessage(params), Instance: "check", OpenTimeout: 10 * time.Second})
	if err != nil {
		return err
	}
	isolated, err := twinResults(ctx, there, there.Arena(), "there")
	if err != nil {
		return fmt.Errorf("in the worker: %w", err)
	}
	for i := range inProcess {
		if inProcess[i] != isolated[i] {
			return fmt.Errorf("in this process: %s; in the worker: %s", inProcess[i], isolated[i])
		}
	}
	return nil
}

// twinResults works with a connector, which it closes, and says what came back, a line
// for each step.
func twinResults(ctx context.Context, conn kv.Connector, memory *arena.Arena, name string) (lines []string, err error) {
	info := conn.Info()
	adapter, err := l2.New(conn, l2.Options{Name: info.Name, Arena: memory})
	if err != nil {
		return nil, err
	}
	defer func() {
		if closed := adapter.Close(); err == nil {
			err = closed
		}
	}()
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	say("%s %s by %s, capabilities %x, limits %+v", info.Name, info.Version, info.Vendor, info.Caps, info.Limits)

	const n = 24
	keys, values := make([]kv.Key, n), make([]kv.Buffer, n)
	for i := range n {
		keys[i] = kv.Key{Model: fmt.Sprintf("twins-%d-%s", os.Getpid(), name), ChunkHash: fmt.Sprintf("%08x", i), KVRank: 1}
		values[i] = bytes.Repeat([]byte{byte(i + 1)}, []int{1, 100, 4096, 70000}[i%4])
	}
	stored, _, err := adapter.StoreKeys(ctx, keys[:18], values[:18])
	say("store: %s, %v", stored.String(), err)
	hits, err := adapter.Lookup(ctx, keys)
	say("lookup: %s, %v", hits.String(), err)
	adapter.Unlock(keys)
	bufs := make([]kv.Buffer, n)
	for i := range bufs {
		size := len(values[i])
		if i%5 == 3 {
			size++ // another size than what is stored
		}
		bufs[i] = make([]byte, size)
	}
	loaded, err := adapter.Load(ctx, keys, bufs)
	right := 0
	for i := range keys {
		if loaded.Test(i) && bytes.Equal(bufs[i], values[i]) {
			right++
		}
	}
	say("load: %s, %d with the bytes that were stored, %v", loaded.String(), right, err)
	if kv.Caps(info.Caps).Has(kv.CapDelete) {
		deleted, err := adapter.Delete(ctx, keys[10:])
		say("delete: %+v, %v", deleted, err)
		hits, err := adapter.Lookup(ctx, keys)
		say("lookup: %s, %v", hits.String(), err)
		adapter.Unlock(keys)
		_, _ = adapter.Delete(ctx, keys) // leave little behind
	}
	for i := range lines {
		lines[i] = strings.ReplaceAll(lines[i], "-"+name, "")
	}
	return lines, nil
}

// goHost runs this program as a host of the library, with more arguments.
func goHost(ctx context.Context, r *run, _ Check, env string, more ...string) Result {
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
	args := append(append(append([]string(nil), r.Self...), r.Library, params), more...)
	environment := r.Env
	if env != "" {
		environment = append(append([]string(nil), r.Env...), env)
	}
	limit := r.Limit + time.Minute
	out := child{args: args, env: environment, dir: r.tmp, limit: limit}.run(ctx)
	result := out.verdict(limit)
	if out.err == nil && out.status.Exited() {
		if out.status.ExitStatus() == 0 {
			return pass("")
		}
		return fail("a Go host: %s", strings.TrimSpace(out.output))
	}
	return result
}
