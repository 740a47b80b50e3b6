// Command go-connector has a connector of its own, written in Go: no C, no shared
// library. It uses it through a configuration, as an operator would.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/sixcall/sixcall/adapters/config"
	"github.com/sixcall/sixcall/bridge/kv"
)

const configuration = `{"type":"native_plugin","module_path":"go:shelf","class_name":"shelf","adapter_params":{"max_keys":8}}`

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, os.Stdout, configuration); err != nil {
		fmt.Fprintln(os.Stderr, "go-connector:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, text string) error {
	configs, err := config.ParseL2Adapters([]string{text})
	if err != nil {
		return err
	}
	builder := config.Builder{GoConnectors: map[string]config.GoConnector{"shelf": connector}}
	adapter, err := builder.BuildNative(ctx, configs[0])
	if err != nil {
		return err
	}
	defer adapter.Close()

	var keys []kv.Key
	var values, loaded []kv.Buffer
	for i := range 10 {
		keys = append(keys, kv.Key{Model: "llama", ChunkHash: fmt.Sprintf("%016x", i), KVRank: kv.ComputeKVRank(1, 0, 1, 0)})
		values = append(values, bytes.Repeat([]byte{byte(i)}, 4096))
		loaded = append(loaded, make([]byte, 4096))
	}
	if _, err := adapter.Store(ctx, keys, values); err != nil {
		fmt.Fprintf(out, "store of 10 keys where 8 fit: %v\n", err)
	}
	hits, err := adapter.Load(ctx, keys, loaded)
	if err != nil {
		return err
	}
	for i := range keys {
		if hits.Test(i) && !bytes.Equal(values[i], loaded[i]) {
			return fmt.Errorf("key %d came back with other bytes", i)
		}
	}
	fmt.Fprintf(out, "load: %d of 10 keys, every byte as it was stored\n", hits.Count())
	return nil
}
