// Command isolated runs a connector library in a process of its own, kills that
// process in the middle of the work, and goes on: a crash of a vendor's library costs
// misses, and not the host.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/sixcall/sixcall/adapters/config"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/worker"
)

func main() {
	dir := flag.String("dir", "", "folder for the values (default: a new one, which is removed)")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, os.Stdout, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "isolated:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, dir string) error {
	if dir == "" {
		made, err := os.MkdirTemp("", "sixcall-isolated-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(made)
		dir = made
	}
	params, err := json.Marshal(map[string]any{"base_path": dir})
	if err != nil {
		return err
	}
	configs, err := config.ParseL2Adapters([]string{`{"type":"native_plugin","module_path":"fs","class_name":"fs",
		"isolation":"process","adapter_params":` + string(params) + `}`})
	if err != nil {
		return err
	}
	adapter, err := config.Builder{}.BuildNative(ctx, configs[0])
	if err != nil {
		return err
	}
	defer adapter.Close()
	status := func() worker.Status {
		s, _ := adapter.Status()["worker"].(worker.Status)
		return s
	}

	keys := []kv.Key{{Model: "llama", ChunkHash: "0001", KVRank: kv.ComputeKVRank(1, 0, 1, 0)}}
	value, loaded := bytes.Repeat([]byte("kv"), 32<<10), make([]byte, 64<<10)
	if _, err := adapter.Store(ctx, keys, []kv.Buffer{value}); err != nil {
		return err
	}
	first := status()
	fmt.Fprintf(out, "the library runs in process %d, %s\n", first.Pid, first.State)

	// What a bug of the library would do.
	if err := syscall.Kill(first.Pid, syscall.SIGSEGV); err != nil {
		return err
	}
	misses := 0
	for {
		if s := status(); s.Restarts > first.Restarts && s.State == worker.Ready {
			// Errors and misses of these moments are what the host sees of the crash.
			hits, err := adapter.Load(ctx, keys, []kv.Buffer{loaded})
			if err == nil && hits.Test(0) {
				break
			}
			misses++
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the worker did not come back: %+v", status())
		case <-time.After(5 * time.Millisecond):
		}
	}
	if !bytes.Equal(value, loaded) {
		return fmt.Errorf("the value came back with other bytes")
	}
	last := status()
	fmt.Fprintf(out, "it was killed by %s; process %d took over, and the value is there\n", last.LastSignal, last.Pid)
	return nil
}
