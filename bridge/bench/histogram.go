package main

import (
	"math/bits"
	"time"
)

// histogram counts nanoseconds in buckets that are at most 0.8 % wide, those of
// sixcall-driver. Its memory does not grow, so that taking a latency costs the same
// at every moment of a round. One goroutine.
type histogram struct {
	counts [(64 - histogramBits + 1) << histogramBits]uint32
	total  int
}

const histogramBits = 7 // of a value that are kept

func (h *histogram) add(d time.Duration) {
	v := uint64(max(d, 0))
	i := v
	if v >= 1<<histogramBits {
		shift := bits.Len64(v) - 1 - histogramBits
		i = uint64(shift+1)<<histogramBits + v>>shift - 1<<histogramBits
	}
	h.counts[i]++
	h.total++
}

// merge adds what another goroutine counted.
func (h *histogram) merge(o *histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
}

// quantile is the middle of the bucket that holds share (0 to 1), in µs.
func (h *histogram) quantile(share float64) float64 {
	want, seen := int(share*float64(h.total)), 0
	for i, n := range h.counts {
		seen += int(n)
		if n == 0 || seen <= want && seen < h.total {
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
