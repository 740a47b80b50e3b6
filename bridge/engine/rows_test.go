package engine_test

import (
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/engine"
)

func parse(t *testing.T, text string) engine.Key {
	t.Helper()
	k, err := engine.ParseKey(text)
	require.NoError(t, err)
	require.Equal(t, text, k.String())
	return k
}

func TestRow1KeyText(t *testing.T) {
	k := engine.Key{Model: "org/m", WorldSize: 2, WorkerID: 1, Hash: engine.HashInt(0xabc), DType: engine.BFloat16}
	k, err := k.WithTags(engine.TagsOf([]engine.Tag{{"lmcache.tag.u", "b"}, {"lmcache.cache_salt", "s"}, {"other", "x"}}))
	require.NoError(t, err)
	require.Equal(t, "org/m@2@1@abc@bfloat16@u%b", k.String())
	require.Equal(t, k, parse(t, k.String()))

	// Row 8: other settings are no part of a key.
	k, err = k.WithTags(engine.TagsOf([]engine.Tag{{"lmcache.cache_salt", "s"}}))
	require.NoError(t, err)
	require.Equal(t, "org/m@2@1@abc@bfloat16", k.String())
	require.Equal(t, "00ab", string(engine.HashBytes([]byte{0, 0xab})))
	_, err = k.WithTags([]engine.Tag{{"a", "b@c"}})
	require.ErrorIs(t, err, engine.ErrKey)
}

func TestRow2NegativeHash(t *testing.T) {
	k := engine.Key{Model: "m", WorldSize: 1, Hash: engine.HashInt(-0x1a2b), DType: engine.Float16}
	require.Equal(t, "m@1@0@-1a2b@half", k.String())
	require.Equal(t, k, parse(t, k.String()))
	require.Equal(t, 0x1a2b%7, k.Hash.Mod(7))
}

func TestRow3LayerKeys(t *testing.T) {
	k := parse(t, "m@1@0@ff@half@3")
	require.True(t, k.HasLayer)
	require.Equal(t, 3, k.Layer)
	// Row 9: another worker, the same layer.
	require.Equal(t, "m@1@7@ff@half@3", k.WithWorkerID(7).String())
	split := parse(t, "m@1@0@ff@half@u%x").SplitLayers(2)
	require.Equal(t, "m@1@0@ff@half@1@u%x", split[1].String())
}

func TestRow4TagValuesMayHoldPercent(t *testing.T) {
	require.Equal(t, []engine.Tag{{"u", "1%2"}}, parse(t, "m@1@0@ff@half@u%1%2").TagList())
}

func TestRow5BadKeys(t *testing.T) {
	for _, text := range []string{"", "m@1@0@ff", "m@1@0@gg@half", "m@1@0@ff@half@abc", "m@x@0@ff@half", "m@1@0@@half", "m@1@0@-@half", "m@1@0@ff@half@", "m@1@0@ff@half@99999999999999999999"} {
		_, err := engine.ParseKey(text)
		require.ErrorIs(t, err, engine.ErrKey, text)
		require.NotErrorIs(t, err, engine.ErrUnknownDType)
	}
	// Row 6.
	_, err := engine.ParseKey("m@1@0@ff@fp16")
	require.ErrorIs(t, err, engine.ErrUnknownDType)
	require.ErrorContains(t, err, "fp16")
}

func TestRow7TagOrderCounts(t *testing.T) {
	k := parse(t, "m@1@0@ff@half")
	ab, err := k.WithTags([]engine.Tag{{"a", "1"}, {"b", "2"}})
	require.NoError(t, err)
	ba, err := k.WithTags([]engine.Tag{{"b", "2"}, {"a", "1"}})
	require.NoError(t, err)
	require.NotEqual(t, ab, ba)
}

func TestRow16ModelsWithAtSigns(t *testing.T) {
	for _, text := range []string{"a@b@1@0@ff@half", "a@1@2@3@4@ff@int8@5@u%v", "a@1@0@ff@half@1@0@ff@half"} {
		k := parse(t, text)
		require.Equal(t, text, k.String())
	}
	require.Equal(t, "a@b", parse(t, "a@b@1@0@ff@half").Model)
	require.Equal(t, "a@1@0@ff@half", parse(t, "a@1@0@ff@half@1@0@ff@half").Model)
}

func FuzzParseKey(f *testing.F) {
	for _, s := range []string{"m@1@0@ff@half", "a@b@1@0@-ff@half@3@u%v", "@@@@@", "m@01@0@ff@half"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		k, err := engine.ParseKey(text)
		if err != nil {
			return
		}
		again, err := engine.ParseKey(k.String())
		require.NoError(t, err)
		require.Equal(t, k, again)
	})
}

func TestRow10HeaderBytes(t *testing.T) {
	for _, c := range []struct {
		h    engine.Header
		want string
	}{
		{engine.Header{Length: 1048576, Format: engine.KV2LTD, DTypes: []engine.DType{engine.BFloat16}, Shapes: []engine.Shape{{2, 32, 256, 16}}},
			"00001000010000000300000002000000200000000001000010000000"},
		{engine.Header{Length: 2048, Format: engine.KV2LTD, DTypes: []engine.DType{engine.BFloat16}, Shapes: []engine.Shape{{2, 2, 16, 16}}},
			"00080000010000000300000002000000020000001000000010000000"},
	} {
		b, err := c.h.Append(nil)
		require.NoError(t, err)
		require.Equal(t, c.want, hex.EncodeToString(b))
		got, err := engine.ParseHeader(append(b, "rest"...), 1)
		require.NoError(t, err)
		require.Equal(t, c.h, got)
	}
}

func TestRow11PaddingIsStripped(t *testing.T) {
	h := engine.Header{Length: 12, Format: engine.KVT2D, DTypes: []engine.DType{engine.Float16}, Shapes: []engine.Shape{{256, 2, 16}}}
	b, err := h.Append(nil)
	require.NoError(t, err)
	got, err := engine.ParseHeader(b, 1)
	require.NoError(t, err)
	require.Equal(t, h, got)

	// Row 12.
	h = engine.Header{Length: 3, Format: engine.FormatBinaryBuffer, DTypes: []engine.DType{engine.NoDType}, Shapes: []engine.Shape{{3, 0, 0, 0}}}
	b, err = h.Append(nil)
	require.NoError(t, err)
	got, err = engine.ParseHeader(b, 1)
	require.NoError(t, err)
	require.Equal(t, engine.Shape{3, 0, 0, 0}, got.Shapes[0])
}

func TestRow13Groups(t *testing.T) {
	h := engine.Header{Length: 9, Format: engine.KV2LTD, DTypes: []engine.DType{engine.Float16, engine.Uint8}, Shapes: []engine.Shape{{2, 1, 4, 8}, {1, 2, 4, 8}}}
	b, err := h.Append(nil)
	require.NoError(t, err)
	require.Len(t, b, 48)
	got, err := engine.ParseHeader(b, 2)
	require.NoError(t, err)
	require.Equal(t, h, got)
}

func TestRow14TypesWithoutACode(t *testing.T) {
	h := engine.Header{Length: 1, Format: engine.KV2LTD, DTypes: []engine.DType{engine.Int8}, Shapes: []engine.Shape{{1}}}
	b, err := h.Append([]byte("before"))
	require.ErrorIs(t, err, engine.ErrUnsupportedDType)
	require.Equal(t, "before", string(b))
	for name, p := range map[string]string{
		"short":  "0008000001000000030000000200000002000000100000",
		"format": "00080000630000000300000002000000020000001000000010000000",
		"dtype":  "00080000010000006300000002000000020000001000000010000000",
		"length": "ffffffff010000000300000002000000020000001000000010000000",
		"shape":  "00080000010000000300000002000000ffffffff1000000010000000",
	} {
		raw, err := hex.DecodeString(p)
		require.NoError(t, err)
		_, err = engine.ParseHeader(raw, 1)
		require.ErrorIs(t, err, engine.ErrHeader, name)
	}
	alias, err := hex.DecodeString("00080000010000000100000002000000020000001000000010000000")
	require.NoError(t, err)
	got, err := engine.ParseHeader(alias, 1)
	require.NoError(t, err)
	require.Equal(t, engine.Float16, got.DTypes[0], "code 1 is read as float16")
}

func pool(t *testing.T, capacity int64) *engine.Pool {
	t.Helper()
	a, err := arena.New(arena.Options{Poison: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	return engine.NewPool(a, capacity)
}

// 2048 bytes, 16 tokens of 128 bytes.
var chunk = engine.Layout{Format: engine.KV2LTD, Shapes: []engine.Shape{{2, 2, 16, 16}}, DTypes: []engine.DType{engine.BFloat16}}

func TestRow44PartialChunksAreWholeTokens(t *testing.T) {
	p := pool(t, 1<<20)
	o, err := p.Allocate(chunk)
	require.NoError(t, err)
	defer o.Release()
	for _, n := range []int{0, 1, 2049, -128, 2176} {
		require.ErrorIs(t, o.Truncate(n), engine.ErrPartial, n)
	}
	require.NoError(t, o.Truncate(2048))
	require.Equal(t, chunk, o.Layout())
}

func TestRow45APartialChunkHasItsShape(t *testing.T) {
	p := pool(t, 1<<20)
	o, err := p.Allocate(chunk)
	require.NoError(t, err)
	defer o.Release()
	require.NoError(t, o.Truncate(256))
	require.Equal(t, 2, o.Tokens())
	require.Equal(t, 256, o.Len())
	require.Equal(t, []engine.Shape{{2, 2, 2, 16}}, o.Layout().Shapes)
	require.Equal(t, []engine.Shape{{2, 2, 16, 16}}, chunk.Shapes, "the template stays")
	require.Equal(t, engine.Header{Length: 256, Format: engine.KV2LTD, DTypes: chunk.DTypes, Shapes: []engine.Shape{{2, 2, 2, 16}}}, o.Header())
}

func TestObjectsGoBackAfterTheLastHolder(t *testing.T) {
	p := pool(t, 2*4096)
	a, err := p.Allocate(chunk)
	require.NoError(t, err)
	b, err := p.Allocate(chunk)
	require.NoError(t, err)
	_, err = p.Allocate(chunk)
	require.ErrorIs(t, err, engine.ErrNoMemory)
	freed := p.Freed()
	require.True(t, a.Evictable())
	a.Retain()
	a.Pin()
	require.False(t, a.Evictable())
	a.Release()
	a.Release()
	require.EqualValues(t, 2*4096, p.InUse(), "a pin holds it")
	a.Unpin()
	<-freed
	require.EqualValues(t, 4096, p.InUse())
	b.Release()
	require.Zero(t, p.InUse())
	require.Panics(t, func() { b.Release() })
}
