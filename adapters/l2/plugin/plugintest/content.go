package plugintest

import (
	"encoding/binary"

	"github.com/sixcall/sixcall/bridge/kv"
)

// keys returns the first n of a family of different keys.
func keys(n int) []kv.Key { return keysOf("plugintest/model", n) }

func keysOf(model string, n int) []kv.Key {
	out := make([]kv.Key, n)
	for i := range out {
		out[i] = kv.Key{ChunkHash: string(binary.BigEndian.AppendUint64(nil, uint64(i))), Model: model, KVRank: kv.ComputeKVRank(8, 5, 4, 1)}
	}
	return out
}

// contents returns one value per key, which no other key has.
func contents(keys []kv.Key, size int) []kv.Buffer {
	out := make([]kv.Buffer, len(keys))
	for i, k := range keys {
		out[i] = content(k, size)
	}
	return out
}

func content(k kv.Key, size int) kv.Buffer {
	text := k.String()
	out := make(kv.Buffer, size)
	for i := range out {
		out[i] = text[i%len(text)] + byte(i>>6)
	}
	return out
}

// empty returns n zeroed buffers.
func empty(n, size int) []kv.Buffer {
	out := make([]kv.Buffer, n)
	for i := range out {
		out[i] = make(kv.Buffer, size)
	}
	return out
}
