//go:build linux && (amd64 || arm64)

package native_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/native"
)

// logged collects lines.
type logged struct {
	sync.Mutex
	lines []string
}

func (l *logged) add(level int, text string) {
	l.Lock()
	defer l.Unlock()
	l.lines = append(l.lines, fmt.Sprintf("%d %s", level, text))
}

func TestLinesFromAForeignThreadArriveCleanAndBounded(t *testing.T) {
	t.Setenv("SIXCALL_TEST_PASSWORD", "hunter2")
	var got logged
	c, err := native.Open(native.Options{
		Connector: compile(t, "FOREIGN_LOG=3"), Log: got.add,
		Params: json.RawMessage(`{"password": {"$env": "SIXCALL_TEST_PASSWORD"}}`),
	})
	require.NoError(t, err)
	require.NoError(t, c.Close(time.Second))

	line := "2 line from a \uFFFD thread with ***"
	require.Equal(t, []string{line, line, line, "0 " + strings.Repeat("x", native.MaxLogLine)}, got.lines, "debug lines are not wanted")
}

func TestDebugLinesArriveWhenTheyAreWanted(t *testing.T) {
	var got logged
	c, err := native.Open(native.Options{Connector: compile(t, "FOREIGN_LOG=0"), Log: got.add, LogDebug: true})
	require.NoError(t, err)
	require.NoError(t, c.Close(time.Second))
	require.Contains(t, got.lines, "3 debug")
}

func TestAFloodOfLinesIsDroppedAndCountedWithoutBlocking(t *testing.T) {
	var got logged
	block := make(chan struct{})
	started := time.Now()
	c, err := native.Open(native.Options{Connector: compile(t, "FOREIGN_LOG=20000"), Log: func(level int, text string) {
		<-block
		got.add(level, text)
	}})
	require.NoError(t, err, "open returned although nobody takes lines")
	require.Less(t, time.Since(started), 5*time.Second)
	close(block)
	require.NoError(t, c.Close(time.Second))
	require.LessOrEqual(t, len(got.lines), 600)
	require.Contains(t, strings.Join(got.lines, "\n"), "log lines of the connector were dropped")
	for _, line := range got.lines {
		require.True(t, utf8.ValidString(line))
	}
}

func TestALibraryMayLogInsideItsCalls(t *testing.T) {
	var got logged
	c, err := native.Open(native.Options{Connector: compile(t, "LOG_IN_SUBMIT", "THREADS=SIXCALL_THREADS_SERIAL"), Log: got.add})
	require.NoError(t, err)
	for i := range 50 {
		run(t, c, newBatch(t, kv.OpSet, uint64(i), 1, 16))
	}
	require.NoError(t, c.Close(time.Second))
	require.Len(t, got.lines, 50)
	require.Equal(t, "2 submit", got.lines[0])
}
