package replay_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/cmd/sixcall/internal/replay"
)

func TestCheckFindsEveryWrongByte(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 7, 8, 9, 15, 16, 64, 1000, 4096, 4099} {
		t.Run(fmt.Sprintf("size=%d", size), func(t *testing.T) {
			t.Parallel()
			value := make([]byte, size)
			replay.Fill(value, 42)
			require.Equal(t, -1, replay.Check(value, 42))
			for i := range value {
				for _, flip := range []byte{1, 0x80, 0xff} {
					value[i] ^= flip
					require.Equal(t, i, replay.Check(value, 42), "a changed byte must be found where it is")
					value[i] ^= flip
				}
			}
		})
	}
}

func TestCheckFindsDisplacedBytes(t *testing.T) {
	t.Parallel()
	const size = 4096
	value := make([]byte, size)
	replay.Fill(value, 7)
	tests := map[string]func(v []byte){
		"all zeros":                  func(v []byte) { clear(v) },
		"torn: the end is missing":   func(v []byte) { clear(v[size-8:]) },
		"torn: the end of another":   func(v []byte) { o := make([]byte, size); replay.Fill(o, 8); copy(v[size/2:], o[size/2:]) },
		"shifted by one byte":        func(v []byte) { copy(v[1:], bytes.Clone(v)) },
		"shifted by one word":        func(v []byte) { copy(v[8:], bytes.Clone(v)) },
		"two words swapped":          func(v []byte) { o := bytes.Clone(v[:8]); copy(v, v[64:72]); copy(v[64:], o) },
		"two pages swapped":          func(v []byte) { o := bytes.Clone(v[:2048]); copy(v, v[2048:]); copy(v[2048:], o) },
		"the value of another block": func(v []byte) { replay.Fill(v, 8) },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := bytes.Clone(value)
			spoil(v)
			require.GreaterOrEqual(t, replay.Check(v, 7), 0)
		})
	}
}

func TestFillIsStable(t *testing.T) {
	t.Parallel()
	// A backend may hold blocks of an earlier release, so the content is fixed.
	value := make([]byte, 12)
	replay.Fill(value, 1)
	require.Equal(t, "5540edcaf13bb7f87d403b4a", fmt.Sprintf("%x", value))
}

func TestContentOfBlocksDiffers(t *testing.T) {
	t.Parallel()
	seen := map[string]uint64{}
	for id := range uint64(10_000) {
		for _, id := range []uint64{id, -id, id << 32, id << 53} {
			value := make([]byte, 16)
			replay.Fill(value, id)
			if other, ok := seen[string(value)]; ok {
				require.Equal(t, other, id, "two blocks must not have the same content")
			}
			seen[string(value)] = id
		}
	}
}

func BenchmarkFill(b *testing.B) {
	value := make([]byte, 1<<20)
	b.SetBytes(int64(len(value)))
	for b.Loop() {
		replay.Fill(value, 1)
	}
}

func BenchmarkCheck(b *testing.B) {
	value := make([]byte, 1<<20)
	replay.Fill(value, 1)
	b.SetBytes(int64(len(value)))
	for b.Loop() {
		if replay.Check(value, 1) >= 0 {
			b.Fatal("wrong byte")
		}
	}
}
