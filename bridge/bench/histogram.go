package main

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// histogram counts nanoseconds in buckets that are at most 0.8 % wide, those of
// sixcall-driver. Its memory does not grow, so that taking a latency costs the same
// at every moment of a round. Safe for concurrent use.
type histogram struct {
	shards []*[histogramBuckets]atomic.Uint32
}

const (
	histogramBits    = 7 // of a value that are kept
	histogramBuckets = (64 - histogramBits + 1) << histogramBits
	histogramShards  = 8
)

func newHistogram() *histogram {
	h := &histogram{}
	for range histogramShards {
		h.shards = append(h.shards, new([histogramBuckets]atomic.Uint32))
	}
	return h
}

// add counts one latency of a lane.
func (h *histogram) add(lane int, d time.Duration) {
	v := uint64(max(d, 0))
	i := v
	if v >= 1<<histogramBits {
		shift := bits.Len64(v) - 1 - histogramBits
		i = uint64(shift+1)<<histogramBits + v>>shift - 1<<histogramBits
	}
	h.shards[lane%histogramShards][i].Add(1)
}

func (h *histogram) count(i int) (n int) {
	for _, s := range h.shards {
		n += int(s[i].Load())
	}
	return n
}

func (h *histogram) total() (n int) {
	for i := range histogramBuckets {
		n += h.count(i)
	}
	return n
}

// quantile is the middle of the bucket that holds share (0 to 1), in µs.
func (h *histogram) quantile(share float64) float64 {
	total := h.total()
	want, seen := int(share*float64(total)), 0
	for i := range histogramBuckets {
		n := h.count(i)
		seen += n
		if n == 0 || seen <= want && seen < total {
			continue
		}
		low, width := uint64(i), uint64(1)
		if i >= 1<<histogramBits {
			shift := i>>histogramBits - 1
			low, width = uint64(1<<histogramBits+i&(1<<histogramBits-1))<<shift, 1<<shift
		}
		return (float64(low) + float64(width-1)/2) / 1e3
	}
	return 0
}
