package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/sixcall/sixcall/cmd/sixcall/internal/replay"
	"github.com/sixcall/sixcall/cmd/sixcall/internal/term"
)

// replayText returns the result as a table that explains itself.
func replayText(title string, r *replay.Result, planned int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", title)
	requests := term.Count(r.Requests)
	if r.Interrupted {
		requests += " of " + term.Count(int64(planned))
	}
	counts := term.Table{Left: []int{0, 2}}
	counts.Row("requests", requests, fmt.Sprintf("prompts replayed, in order, in %.2f s", r.Seconds))
	counts.Row("blocks", term.Count(r.Blocks), "pieces of those prompts that a cache may hold")
	counts.Row("prefix hits", term.Count(r.PrefixHits), "leading blocks found, loaded and right in every byte")
	counts.Row("hit rate", term.Percent(r.HitRate), "prefix hits / blocks: work that need not be done again")
	counts.Row("stored", term.Count(r.StoredBlocks), fmt.Sprintf("blocks written: %s", term.Bytes(r.StoredBytes)))
	counts.Row("loaded", term.Bytes(r.LoadedBytes), "read back and compared byte by byte")
	counts.Row("verify failures", term.Count(r.VerifyFailures), "blocks loaded with a wrong byte: must be 0")
	counts.Row("failures", term.Count(r.Failures), "blocks that did not load or store, lookups that failed")
	b.WriteString(counts.String())

	b.WriteByte('\n')
	times := term.Table{Left: []int{0}}
	times.Row("per call", "calls", "p50", "p99", "max", "GB/s")
	for _, op := range []struct {
		name  string
		l     replay.Latency
		bytes int64
	}{{"lookup", r.Latency.Lookup, 0}, {"load", r.Latency.Load, r.LoadedBytes}, {"store", r.Latency.Store, r.StoredBytes}} {
		times.Row(op.name, term.Count(op.l.Calls), term.Micros(op.l.P50), term.Micros(op.l.P99), term.Micros(op.l.Max), term.Rate(op.bytes, op.l.Total))
	}
	took := time.Duration(r.Seconds * float64(time.Second))
	times.Row("overall", "", "", "", "", term.Rate(r.LoadedBytes+r.StoredBytes, took))
	b.WriteString(times.String())
	b.WriteString("  A call moves a batch of blocks. GB/s is within the calls of one request;\n  overall it is for the whole run, with making and checking the bytes.\n\n")
	b.WriteString(replayVerdict(r))
	b.WriteByte('\n')
	return b.String()
}

// replayVerdict says in one sentence what the result means.
func replayVerdict(r *replay.Result) string {
	saved := fmt.Sprintf("%s of the prompt blocks came from the cache", term.Percent(r.HitRate))
	switch {
	case r.VerifyFailures > 0:
		return fmt.Sprintf("FAILED: %s wrong bytes; a model served from this cache would have read wrong text.",
			plural(int(r.VerifyFailures), "block came back with", "blocks came back with"))
	case r.Interrupted:
		return "Interrupted, so this is a part of the picture: " + saved + ", and every byte was right."
	case r.Failures > 0:
		return fmt.Sprintf("Every byte that came back was right, but there were %s; %s.", plural(int(r.Failures), "failure", "failures"), saved)
	case r.Blocks == 0:
		return "There was nothing to cache in these requests."
	}
	return saved + " instead of being computed again, and every byte was right."
}
