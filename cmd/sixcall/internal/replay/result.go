package replay

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Result is what a replay measured. Its JSON form is part of the command's
// interface.
type Result struct {
	// Requests counts the requests that were carried out to the end.
	Requests int64 `json:"requests"`
	// Blocks counts the references to blocks in them.
	Blocks int64 `json:"blocks"`
	// PrefixHits counts the leading blocks of requests that were found, loaded
	// and right in every byte.
	PrefixHits int64 `json:"prefix_hits"`
	// HitRate is PrefixHits / Blocks.
	HitRate float64 `json:"hit_rate"`
	// StoredBlocks counts the blocks that were stored; a block that went to
	// several adapters counts once.
	StoredBlocks int64 `json:"stored_blocks"`
	StoredBytes  int64 `json:"stored_bytes"`
	LoadedBytes  int64 `json:"loaded_bytes"`
	// VerifyFailures counts the loaded blocks of which a byte was wrong.
	VerifyFailures int64 `json:"verify_failures"`
	// Failures counts the blocks that were locked and did not load, the blocks
	// that could not be stored, and the lookups that failed.
	Failures int64 `json:"failures"`
	// Latency is per call of an adapter, that is per batch of blocks.
	Latency struct {
		Lookup Latency `json:"lookup"`
		Load   Latency `json:"load"`
		Store  Latency `json:"store"`
	} `json:"latency_us"`
	Seconds float64 `json:"seconds"`

	// Interrupted reports that the replay was ended before its last request.
	Interrupted bool `json:"-"`
	// Problems has the first few failures, in words.
	Problems []string `json:"-"`
}

// Latency summarises the calls of one operation, in microseconds.
type Latency struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`

	Calls int64         `json:"-"`
	Total time.Duration `json:"-"` // of all calls, added up over the workers
}

// recorder collects the durations of one operation. Safe for concurrent use.
type recorder struct {
	mu    sync.Mutex // guards what follows
	hist  *hdrhistogram.Histogram
	total time.Duration
}

const longestCall = time.Hour

func newRecorder() *recorder {
	return &recorder{hist: hdrhistogram.New(1, int64(longestCall), 3)}
}

func (r *recorder) add(d time.Duration) {
	d = min(max(d, 1), longestCall)
	r.mu.Lock()
	_ = r.hist.RecordValue(int64(d)) // fails only out of range
	r.total += d
	r.mu.Unlock()
}

func (r *recorder) summary() Latency {
	r.mu.Lock()
	defer r.mu.Unlock()
	us := func(ns int64) float64 { return float64(ns) / 1e3 }
	return Latency{
		P50:   us(r.hist.ValueAtQuantile(50)),
		P99:   us(r.hist.ValueAtQuantile(99)),
		Max:   us(r.hist.Max()),
		Calls: r.hist.TotalCount(),
		Total: r.total,
	}
}
