// Command go-embed is a small host: it opens a connector in its own process, stores
// blocks of KV cache, finds and loads them again, and shows what the adapter counted.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/native"
)

func main() {
	connector := flag.String("connector", "mem", "a library's path, or a name to look up")
	params := flag.String("params", "{}", "the connector's configuration, one JSON object")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, os.Stdout, *connector, *params); err != nil {
		fmt.Fprintln(os.Stderr, "go-embed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, connector, params string) error {
	conn, err := native.Open(native.Options{Connector: connector, Params: []byte(params)})
	if err != nil {
		return err
	}
	info := conn.Info()
	adapter, err := l2.New(conn, l2.Options{Name: info.Name}) // owns conn
	if err != nil {
		return err
	}
	defer adapter.Close()
	fmt.Fprintf(out, "opened %s %s by %s\n", info.Name, info.Version, info.Vendor)

	// Memory of the adapter's arena moves without a copy. Any other memory may be used
	// too: it is copied, and is yours again when the call returns.
	const blocks, size = 16, 256 << 10
	memory, err := adapter.Arena().Alloc(2 * blocks * size)
	if err != nil {
		return err
	}
	defer memory.Release()
	part := func(i int) kv.Buffer { return memory.Bytes()[i*size : (i+1)*size : (i+1)*size] }
	var keys []kv.Key
	var stored, loaded []kv.Buffer
	for i := range blocks {
		keys = append(keys, kv.Key{Model: "llama", ChunkHash: fmt.Sprintf("%016x", i), KVRank: kv.ComputeKVRank(1, 0, 1, 0)})
		value := part(i)
		for k := range value {
			value[k] = byte(i + k)
		}
		stored, loaded = append(stored, value), append(loaded, part(blocks+i))
	}

	if _, err := adapter.Store(ctx, keys[:12], stored[:12]); err != nil {
		return err
	}
	hits, err := adapter.Lookup(ctx, keys) // pins what it finds, until Unlock
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "lookup of %d keys: %s\n", len(keys), hits.String())

	got, err := adapter.Load(ctx, keys, loaded) // an absent key is a 0 bit, not an error
	if err != nil {
		return err
	}
	for i := range keys {
		if got.Test(i) && !bytes.Equal(stored[i], loaded[i]) {
			return fmt.Errorf("key %d came back with other bytes", i)
		}
	}
	fmt.Fprintf(out, "load: %s, every byte as it was stored\n", got.String())

	adapter.Unlock(keys) // what is pinned is not deleted
	removed, err := adapter.Delete(ctx, keys[:4])
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "delete of 4 keys: %d removed, %d kept\n", removed.Deleted, 4-removed.Deleted)
	return nil
}
