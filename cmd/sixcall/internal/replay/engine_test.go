package replay_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/cmd/sixcall/internal/replay"
	"github.com/sixcall/sixcall/cmd/sixcall/internal/trace"
)

// slowGets holds back the gets of a connector while the other operations run.
type slowGets struct {
	*bridgetest.Connector
	late chan *kv.Batch
	gets atomic.Int64
}

func (c *slowGets) Submit(b *kv.Batch) error {
	if b.Op == kv.OpGet && c.gets.Add(1) == 1 {
		c.late <- b
		return nil
	}
	return c.Connector.Submit(b)
}

// A load that was given up at its deadline writes into its memory much later,
// when the replay has long gone on. Nothing that was loaded since may suffer.
func TestReplaySurvivesBytesThatComeLate(t *testing.T) {
	t.Parallel()
	conn := &slowGets{Connector: bridgetest.NewConnector(t), late: make(chan *kv.Batch, 1)}
	memory, err := arena.New(arena.Options{})
	require.NoError(t, err)
	adapter, err := l2.New(conn, l2.Options{Arena: memory, Deadlines: l2.Deadlines{Load: 50 * time.Millisecond}, CloseGrace: -1})
	require.NoError(t, err)
	defer adapter.Close()

	var reqs []trace.Request
	for range 2000 {
		reqs = append(reqs, trace.Request{Blocks: ids{1, 2, 3, 4}})
	}
	wrong := make(chan struct{})
	go func() {
		defer close(wrong)
		batch := <-conn.late
		for range 20 { // the first time before the deadline, then ever after it
			for _, buf := range batch.Bufs {
				for i := range buf {
					buf[i] = 0xEE
				}
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	slow := func(int, int64) { time.Sleep(100 * time.Microsecond) }
	result, err := replay.Run(t.Context(), replay.Options{
		Requests: trace.NewRequests(reqs), Adapters: []replay.Adapter{{Name: "slow", Client: adapter}},
		BlockBytes: 5000, Concurrency: 2, Arena: memory, OnRequest: slow,
	})
	<-wrong

	require.NoError(t, err)
	require.EqualValues(t, 4, result.Failures, "the four blocks of the load that timed out")
	require.Zero(t, result.VerifyFailures)
	require.Contains(t, result.Problems[0], "timed out")
}
