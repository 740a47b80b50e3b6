package faultinject

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"math"
	"strings"

	"golang.org/x/crypto/blake2b"

	"github.com/sixcall/sixcall/bridge/kv"
)

// Options says which positions of a load are dropped. The names and meanings are
// LMCache's. The zero value drops nothing.
type Options struct {
	// Rate is the part of all keys that is dropped, 0 to 1. Which ones depends on
	// the key and Seed only.
	Rate float64 `json:"rate"`
	Seed int64   `json:"seed"`
	// GapIndices are positions that are dropped from every load. Those past its
	// end are ignored.
	GapIndices []int `json:"gap_indices"`
	// GapTailRatios drop one position each from every load: ratio 0 the last one,
	// 1 the first one.
	GapTailRatios []float64 `json:"gap_tail_ratios"`
}

// Validate reports every problem at once.
func (o Options) Validate() error {
	var errs []error
	if !(o.Rate >= 0 && o.Rate <= 1) {
		errs = append(errs, fmt.Errorf("rate is %v, want 0 to 1", o.Rate))
	}
	for i, index := range o.GapIndices {
		if index < 0 {
			errs = append(errs, fmt.Errorf("gap_indices[%d] is %d, want 0 or more", i, index))
		}
	}
	for i, ratio := range o.GapTailRatios {
		if !(ratio >= 0 && ratio <= 1) {
			errs = append(errs, fmt.Errorf("gap_tail_ratios[%d] is %v, want 0 to 1", i, ratio))
		}
	}
	if len(errs) == 0 {
		return nil
	}
	oneLine := errors.New(strings.ReplaceAll(errors.Join(errs...).Error(), "\n", "; "))
	return &kv.Error{Op: "create", Connector: typeName, Code: kv.Config, Err: oneLine}
}

// clone returns options that share nothing with o.
func (o Options) clone() Options {
	o.GapIndices = append([]int{}, o.GapIndices...) // never nil: null is no list in a status
	o.GapTailRatios = append([]float64{}, o.GapTailRatios...)
	return o
}

// Dropped returns one bit per key of a load: 1 = it is dropped.
func (o Options) Dropped(keys []kv.Key) kv.Bitmap {
	n := len(keys)
	bits := kv.NewBitmap(n)
	bits.SetAll(o.GapIndices...)
	for _, ratio := range o.GapTailRatios {
		if n > 0 {
			bits.Set(int(math.RoundToEven((1 - ratio) * float64(n-1))))
		}
	}
	if limit := uint64(o.Rate * buckets); limit > 0 {
		h := newHash()
		for i := range keys {
			if bucket(h, o.Seed, keys[i]) < limit {
				bits.Set(i)
			}
		}
	}
	return bits
}

// buckets is how finely a rate divides the keys.
const buckets = 1_000_000

func newHash() hash.Hash {
	h, err := blake2b.New(8, nil)
	if err != nil {
		panic(err) // 8 bytes is a legal size
	}
	return h
}

// bucket returns the place of a key in [0, buckets). The text that is hashed is
// LMCache's: seed:hash:model:rank:group:salt, the rank in decimal.
func bucket(h hash.Hash, seed int64, key kv.Key) uint64 {
	h.Reset()
	_, _ = fmt.Fprintf(h, "%d:%x:%s:%d:%d:%s", seed, key.ChunkHash, key.Model, key.KVRank, key.ObjectGroup, key.Salt)
	return binary.BigEndian.Uint64(h.Sum(nil)) % buckets
}
