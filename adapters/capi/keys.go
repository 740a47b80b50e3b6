package main

import (
	"fmt"
	"strings"
	"unsafe"

	"github.com/sixcall/sixcall/bridge/kv"
)

// packedKey is sixcall_key of capi.h.
type packedKey struct {
	Model, ModelLen uint32
	Salt, SaltLen   uint32
	Hash, HashLen   uint32
	Rank            int64
	Group           int64
	Buf             uint64
	Len             uint64
}

// unpackKeys returns the keys of a task. text is copied, once: the keys are parts of
// the copy.
func unpackKeys(packed []packedKey, text []byte) ([]kv.Key, error) {
	all := strings.Clone(unsafe.String(unsafe.SliceData(text), len(text)))
	part := func(at, n uint32) (string, bool) {
		end := uint64(at) + uint64(n)
		if end > uint64(len(all)) {
			return "", false
		}
		return all[at:end], true
	}
	keys := make([]kv.Key, len(packed))
	for i := range packed {
		p, k := &packed[i], &keys[i]
		var model, salt, hash bool
		k.Model, model = part(p.Model, p.ModelLen)
		k.Salt, salt = part(p.Salt, p.SaltLen)
		k.ChunkHash, hash = part(p.Hash, p.HashLen)
		if !model || !salt || !hash {
			return nil, &kv.Error{Op: "submit", Code: kv.Invalid, Err: fmt.Errorf("key %d lies outside the %d bytes of text", i, len(all))}
		}
		k.KVRank, k.ObjectGroup = p.Rank, p.Group
	}
	return keys, nil
}

// buffersOf returns the memory of the host's objects.
func buffersOf(packed []packedKey) []kv.Buffer {
	bufs := make([]kv.Buffer, len(packed))
	for i := range packed {
		bufs[i] = hostMemory(packed[i].Buf, packed[i].Len)
	}
	return bufs
}

// hostMemory returns n bytes of the host at an address.
func hostMemory(at, n uint64) []byte {
	if at == 0 || n == 0 {
		return nil
	}
	// The address is a number because it is Python's; it is no memory of Go.
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&at)), n)
}
