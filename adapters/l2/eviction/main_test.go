package eviction_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

var background = context.Background()

// TestMain fails the package when tests leave goroutines behind.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 && !settled(2) {
		buf := make([]byte, 1<<16)
		fmt.Printf("FAIL: %d goroutines are left\n%s\n", runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
		code = 1
	}
	os.Exit(code)
}

// settled waits for goroutines that are on their way out.
func settled(n int) bool {
	for range 1000 {
		if runtime.NumGoroutine() <= n {
			return true
		}
		time.Sleep(time.Millisecond)
	}
	return false
}

// salted returns the i-th key of a salt.
func salted(i int, salt string) kv.Key {
	k := bridgetest.Key(i)
	k.Salt = salt
	return k
}

// keys returns the keys with these numbers.
func keys(numbers ...int) []kv.Key {
	list := make([]kv.Key, len(numbers))
	for i, n := range numbers {
		list[i] = bridgetest.Key(n)
	}
	return list
}

// sizes returns n times the same size.
func sizes(n int, size int64) []int64 {
	list := make([]int64, n)
	for i := range list {
		list[i] = size
	}
	return list
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, 30*time.Second, time.Millisecond, what)
}
