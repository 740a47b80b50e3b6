//go:build linux && (amd64 || arm64)

// Package mooncake_test runs the connector against a real Mooncake Store.
package mooncake_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/internal/servers"
)

// Codes of the ABI that are seen here.
const (
	codeConnect = -10
	codeTimeout = -7
	codeConfig  = -11
)

// answer is what the driver says to a command.
type answer struct {
	RC      int
	Millis  int64 `json:"ms"`
	Error   string
	Status  string // a digit per key
	Wrong   int    // hits with wrong bytes, misses with a touched buffer
	Changed int
	Text    string

	Batches, Hits, Misses, Stored, Failed, Stuck int64
	Slowest                                      int64 `json:"slowest_ms"`
}

// driver is a process with the connector and the library in it.
type driver struct {
	*servers.Process
	t       testing.TB
	in      io.WriteCloser
	answers *bufio.Reader
}

// startDriver starts the driver; env is added to its environment.
func startDriver(t testing.TB, m *servers.Mooncake, env ...string) *driver {
	t.Helper()
	connector := servers.Connector(t, "mooncake")
	program := filepath.Join(filepath.Dir(connector), "mooncake_driver")
	if _, err := exec.LookPath(program); err != nil {
		servers.Require(t, "%v; build with SIXCALL_BUILD_TESTS", err)
	}
	read, write, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _ = read.Close() })
	cmd := exec.Command(program, connector, "3")
	cmd.Env = append(append(cmd.Environ(), m.Environment()...), env...)
	cmd.ExtraFiles = []*os.File{write}
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	d := &driver{t: t, in: in, answers: bufio.NewReader(read)}
	d.Process = servers.Start(t, "mooncake_driver", cmd)
	require.NoError(t, write.Close())
	return d
}

// do sends a command and returns the answer.
func (d *driver) do(format string, args ...any) answer {
	d.t.Helper()
	d.send(format, args...)
	return d.answer()
}

func (d *driver) send(format string, args ...any) {
	d.t.Helper()
	_, err := fmt.Fprintf(d.in, format+"\n", args...)
	require.NoError(d.t, err)
}

func (d *driver) answer() (a answer) {
	d.t.Helper()
	line, err := d.answers.ReadBytes('\n')
	if err != nil {
		d.Kill()
		require.NoError(d.t, err, "the driver has gone; it printed:\n%s", d.Output())
	}
	require.NoError(d.t, json.Unmarshal(line, &a), "%s", line)
	require.Zero(d.t, a.Wrong, "wrong bytes")
	require.Zero(d.t, a.Stuck, "requests without an answer")
	return a
}

// configuration returns the connector's configuration for m with more members.
func configuration(t testing.TB, m *servers.Mooncake, more map[string]any) string {
	t.Helper()
	c := map[string]any{
		"library": m.Library(), "preload": []string{m.CUDAStub()}, "master_server_address": m.Address,
	}
	maps.Copy(c, more)
	text, err := json.Marshal(c)
	require.NoError(t, err)
	return string(text)
}

// open opens the connector, which must work.
func (d *driver) open(m *servers.Mooncake, more map[string]any) {
	d.t.Helper()
	a := d.do("open 20000 %s", configuration(d.t, m, more))
	require.Zero(d.t, a.RC, a.Error)
}

// fastFailure makes the library itself give up soon. Its defaults are 30 s.
var fastFailure = []string{
	"MC_RPC_TIMEOUT_MS=1000", "MC_RPC_CONNECT_TIMEOUT_MS=1000", "MC_STORE_CLIENT_SETUP_RETRIES=1",
	"MC_TCP_PROGRESS_TIMEOUT_SEC=2", "MC_TCP_STATUS_TIMEOUT_SEC=2",
}

func hits(n int) string { return strings.Repeat("1", n) }

func TestStoresAndLoads(t *testing.T) {
	m := servers.StartMooncake(t, servers.MooncakeOptions{})
	d := startDriver(t, m)
	d.open(m, nil)
	for _, size := range []int{1, 4095, 4096, 4097, 65536, 1 << 20, 5<<20 + 1, 48 << 20} {
		require.Equal(t, "00", d.do("get s%d/ 2 %d 0", size, size).Status, "size %d", size)
		require.Equal(t, "11", d.do("set s%d/ 2 %d 0", size, size).Status, "size %d", size)
		require.Equal(t, "11", d.do("get s%d/ 2 %d 0", size, size).Status, "size %d", size)
	}
	require.Equal(t, hits(1000), d.do("set many/ 1000 512 0").Status)
	require.Equal(t, hits(1000)+"0", d.do("exists many/ 1001").Status)
	require.Equal(t, hits(1000)+"0", d.do("get many/ 1001 512 0").Status)
	require.Equal(t, "33", d.do("get many/ 2 511 0").Status, "the stored values are longer")
	require.Equal(t, "33", d.do("get many/ 2 513 0").Status, "the stored values are shorter")
	require.Equal(t, "330", d.do("get s1/ 3 0 0").Status, "an empty value is not stored")
	require.Equal(t, "66", d.do("set empty/ 2 0 0").Status, "nor can it be")
	require.Equal(t, "111", d.do("twice many/5 512").Status, "every occurrence of a key is filled")
	require.Zero(t, d.do("ping").RC)
	require.Zero(t, d.do("close 10000").RC)
	d.open(m, nil)
	require.Equal(t, hits(1000), d.do("get many/ 1000 512 0").Status, "values outlive the connection")
	require.Zero(t, d.do("close 10000").RC)
}

func TestRegisteredMemory(t *testing.T) {
	m := servers.StartMooncake(t, servers.MooncakeOptions{})
	d := startDriver(t, m)
	d.open(m, nil)
	a := d.do("register %d", 32<<20)
	require.Zero(t, a.RC, a.Error)
	require.Equal(t, hits(16), d.do("set r/ 16 %d 0", 1<<20).Status)
	require.Equal(t, hits(16), d.do("get r/ 16 %d 0", 1<<20).Status)
	m.Master.Kill()
	m.RestartMaster(t)
	servers.Eventually(t, time.Minute, func() error {
		if a := d.do("set r/ 16 %d 0", 1<<20); a.Status != hits(16) {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
	require.Equal(t, hits(16), d.do("get r/ 16 %d 0", 1<<20).Status)
	require.Zero(t, d.do("close 10000").RC)
}

func TestExistingValues(t *testing.T) {
	m := servers.StartMooncake(t, servers.MooncakeOptions{})
	t.Run("compare: the same value is a hit, another one is refused", func(t *testing.T) {
		d := startDriver(t, m)
		d.open(m, nil)
		require.Equal(t, "111", d.do("set c/ 3 5000 0").Status)
		require.Equal(t, "1111", d.do("set c/ 4 5000 0").Status)
		a := d.do("set c/ 4 5000 1")
		require.Equal(t, "6666", a.Status)
		require.Contains(t, a.Error, "OBJECT_HAS_LEASE (-706)")
		require.Equal(t, "66", d.do("set c/ 2 4000 0").Status, "another size")
		require.Equal(t, "1111", d.do("get c/ 4 5000 0").Status)
		require.Equal(t, "6666", d.do("delete c/ 4").Status, "they are leased")
		require.Contains(t, d.do("stats").Text, `sixcall_mooncake_existing_total{outcome="equal"} 3`)
	})
	t.Run("keep: the stored value stays", func(t *testing.T) {
		d := startDriver(t, m)
		d.open(m, map[string]any{"existing": "keep"})
		require.Equal(t, "11", d.do("set k/ 2 5000 0").Status)
		require.Equal(t, "11", d.do("set k/ 2 5000 1").Status)
		require.Equal(t, "11", d.do("get k/ 2 5000 0").Status)
	})
	t.Run("replace: the new value is stored unless the old one is leased", func(t *testing.T) {
		d := startDriver(t, m)
		d.open(m, map[string]any{"existing": "replace"})
		require.Equal(t, "11", d.do("set r/ 2 5000 0").Status)
		require.Equal(t, "11", d.do("set r/ 2 6000 1").Status)
		require.Equal(t, "11", d.do("get r/ 2 6000 1").Status)
		require.Equal(t, "661", d.do("set r/ 3 6000 2").Status)
		require.Equal(t, "11", d.do("get r/ 2 6000 1").Status)
	})
	t.Run("force: leases are broken", func(t *testing.T) {
		d := startDriver(t, m)
		d.open(m, map[string]any{"force_remove": true})
		require.Equal(t, "11", d.do("set f/ 2 5000 0").Status)
		require.Equal(t, "11", d.do("get f/ 2 5000 0").Status)
		require.Equal(t, "11", d.do("set f/ 2 6000 1").Status)
		require.Equal(t, "11", d.do("get f/ 2 6000 1").Status)
		require.Equal(t, "110", d.do("delete f/ 3").Status)
		require.Equal(t, "000", d.do("get f/ 3 6000 1").Status)
	})
}

func TestDeleteAfterTheLease(t *testing.T) {
	m := servers.StartMooncake(t, servers.MooncakeOptions{Lease: 500 * time.Millisecond})
	d := startDriver(t, m)
	d.open(m, nil)
	require.Equal(t, "11", d.do("set d/ 2 100 0").Status)
	require.Equal(t, "11", d.do("delete d/ 2").Status, "nobody has read them")
	require.Equal(t, "11", d.do("set d/ 2 100 0").Status)
	require.Equal(t, "11", d.do("get d/ 2 100 0").Status)
	servers.Eventually(t, time.Minute, func() error {
		if a := d.do("delete d/ 2"); strings.Contains(a.Status, "6") {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
	require.Equal(t, "00", d.do("get d/ 2 100 0").Status)
}

func TestPrefixesAreApart(t *testing.T) {
	m := servers.StartMooncake(t, servers.MooncakeOptions{})
	one, other := startDriver(t, m), startDriver(t, m)
	one.open(m, map[string]any{"key_prefix": "one/"})
	other.open(m, map[string]any{"key_prefix": "other/"})
	require.Equal(t, "11", one.do("set t/ 2 100 0").Status)
	require.Equal(t, "00", other.do("get t/ 2 100 0").Status)
	require.Equal(t, "11", one.do("get t/ 2 100 0").Status)
}

// TestMoreThanFits stores four times what the node holds: the store evicts, what
// is there is right, and nothing fails for good.
func TestMoreThanFits(t *testing.T) {
	m := servers.StartMooncake(t, servers.MooncakeOptions{SegmentMB: 64, Lease: 200 * time.Millisecond})
	d := startDriver(t, m)
	d.open(m, nil)
	stored, found := 0, 0
	for i := range 64 {
		stored += strings.Count(d.do("set full%d/ 4 %d 0", i, 1<<20).Status, "1")
	}
	for i := range 64 {
		found += strings.Count(d.do("get full%d/ 4 %d 0", i, 1<<20).Status, "1")
	}
	require.Greater(t, stored, 64, "more than fits was accepted over time")
	require.Greater(t, found, 0)
	require.LessOrEqual(t, found, 64, "more than fits")
	servers.Eventually(t, time.Minute, func() error {
		if a := d.do("set again/ 1 1000 0"); a.Status != "1" {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
}

func TestMissingMaster(t *testing.T) {
	m := servers.StartMooncake(t, servers.MooncakeOptions{})
	m.Master.Kill()
	d := startDriver(t, m)
	a := d.do("open 20000 %s", configuration(t, m, nil))
	require.Equal(t, codeConnect, a.RC)
	require.Contains(t, a.Error, m.Address+": Connection refused")
	require.Zero(t, d.do("open 20000 %s", configuration(t, m, map[string]any{"lazy": true})).RC)
	a = d.do("get k/ 2 100 0")
	require.Equal(t, codeConnect, a.RC)
	require.Equal(t, "22", a.Status)
	require.Equal(t, codeConnect, d.do("ping").RC)
	m.RestartMaster(t)
	d.recovers()
}

// recovers waits until a value can be stored and loaded.
func (d *driver) recovers() {
	d.t.Helper()
	servers.Eventually(d.t, 2*time.Minute, func() error {
		if a := d.do("set again/ 2 1000 0"); a.Status != "11" {
			return fmt.Errorf("%+v", a)
		}
		if a := d.do("get again/ 2 1000 0"); a.Status != "11" {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
}

// TestFrozenMaster stops the master without ending its connections: the library
// waits, for minutes in its setup, and open does not.
func TestFrozenMaster(t *testing.T) {
	m := servers.StartMooncake(t, servers.MooncakeOptions{})
	m.Master.Stop()
	d := startDriver(t, m) // with the library's own time-outs
	a := d.do("open 700 %s", configuration(t, m, nil))
	require.Equal(t, codeTimeout, a.RC, a.Error)
	require.Less(t, a.Millis, int64(30000), "the library's first time-out is 30 s")
	require.Zero(t, d.do("open 700 %s", configuration(t, m, map[string]any{"lazy": true, "setup_timeout_ms": 300})).RC)
	a = d.do("get k/ 2 100 0")
	require.Equal(t, codeTimeout, a.RC, a.Error)
	require.Equal(t, "55", a.Status)
	require.Less(t, a.Millis, int64(30000))
	m.Master.Continue()
	d.recovers()
	require.Zero(t, d.do("close 10000").RC)
}

func TestFaultsUnderLoad(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault func(t *testing.T, m *servers.Mooncake)
	}{
		{"the master is killed and comes back", func(t *testing.T, m *servers.Mooncake) {
			m.Master.Kill()
			m.RestartMaster(t)
		}},
		{"the node is killed and comes back", func(t *testing.T, m *servers.Mooncake) {
			m.Node.Kill()
			m.StartNode(t)
		}},
		{"both are killed and come back", func(t *testing.T, m *servers.Mooncake) {
			m.Node.Kill()
			m.Master.Kill()
			m.RestartMaster(t)
			m.StartNode(t)
		}},
		{"the node is frozen for a while", func(t *testing.T, m *servers.Mooncake) {
			m.Node.Stop()
			time.Sleep(3 * time.Second) // how long it is frozen, not a wait for anything
			m.Node.Continue()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := servers.StartMooncake(t, servers.MooncakeOptions{ClientTTL: 3 * time.Second, SegmentMB: 128})
			d := startDriver(t, m, fastFailure...)
			d.open(m, map[string]any{"workers": 4})
			d.do("load 4 500 20000")
			var seen int64
			traffic := func() { // values are stored and found
				t.Helper()
				servers.Eventually(t, 2*time.Minute, func() error {
					if a := d.do("sample"); a.Hits < seen+300 {
						return fmt.Errorf("%+v", a)
					}
					return nil
				})
			}
			for range 2 {
				traffic()
				c.fault(t, m)
				seen = d.do("sample").Hits
			}
			traffic()
			t.Logf("%+v", d.do("unload"))
			d.recovers()
			require.Zero(t, d.do("ping").RC)
			require.Zero(t, d.do("close 60000").RC)
		})
	}
}

// TestNodeDies checks what is said about the keys of a dead node: never a hit
// that is none, and a store is not claimed.
func TestNodeDies(t *testing.T) {
	m := servers.StartMooncake(t, servers.MooncakeOptions{ClientTTL: 3 * time.Second})
	d := startDriver(t, m, fastFailure...)
	d.open(m, nil)
	require.Equal(t, hits(8), d.do("set n/ 8 10000 0").Status)
	m.Node.Kill()
	require.Equal(t, strings.Repeat("2", 8), d.do("get n/ 8 10000 0").Status, "they cannot be read, and are not known to be gone")
	require.NotContains(t, d.do("set n/ 8 10000 0").Status, "1", "the library would say that they are stored")
	require.NotContains(t, d.do("set new/ 2 10000 0").Status, "1")
	require.Zero(t, d.do("ping").RC, "the master is there")
	servers.Eventually(t, time.Minute, func() error {
		if a := d.do("get n/ 8 10000 0"); a.Status != strings.Repeat("0", 8) {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
	a := d.do("set new/ 2 10000 0")
	require.Equal(t, "66", a.Status)
	require.Contains(t, a.Error, "no storage node has room")
	m.StartNode(t)
	d.recovers()
}

func TestSignalActionsAreLeftAlone(t *testing.T) {
	m := servers.StartMooncake(t, servers.MooncakeOptions{})
	d := startDriver(t, m)
	require.Zero(t, d.do("signals").Changed)
	d.open(m, nil)
	require.Equal(t, "11", d.do("set a/ 2 1000 0").Status)
	require.Zero(t, d.do("signals").Changed, "the Go runtime in the library takes five")
	require.Zero(t, d.do("close 10000").RC)
	require.Zero(t, d.do("signals").Changed)
}

func TestEndOfTheProcess(t *testing.T) {
	m := servers.StartMooncake(t, servers.MooncakeOptions{})
	for _, last := range []string{"set a/ 2 1000 0", "close 10000"} {
		d := startDriver(t, m)
		d.open(m, nil)
		require.Equal(t, "11", d.do("set a/ 2 1000 0").Status)
		require.Zero(t, d.do("%s", last).RC)
		d.send("leave")
		select {
		case <-d.Done():
			require.Zero(t, d.ExitCode(), "it printed:\n%s", d.Output())
		case <-time.After(time.Minute):
			t.Fatal("the process does not end after " + last)
		}
	}
}

func TestTheLibraryIsFoundOrNamed(t *testing.T) {
	m := servers.StartMooncake(t, servers.MooncakeOptions{})
	address := fmt.Sprintf(`{"master_server_address":%q`, m.Address)
	none := startDriver(t, m, "SIXCALL_MOONCAKE_LIBRARY=", "HOME="+t.TempDir(), "VIRTUAL_ENV=")
	a := none.do("open 20000 %s}", address)
	require.Equal(t, codeConfig, a.RC)
	require.Contains(t, a.Error, "PyPI: tokenspeed-mooncake")
	require.Contains(t, a.Error, "/usr/local/lib")

	d := startDriver(t, m, "SIXCALL_MOONCAKE_LIBRARY="+m.Library())
	a = d.do(`open 20000 %s,"preload":[%q]}`, address, m.CUDAStub())
	require.Zero(t, a.RC, a.Error)
}

// TestBesideThePlainLibrary is the benchmark; SIXCALL_MOONCAKE_BENCH names the
// program, mooncake_bench of a C++ build, and SIXCALL_MOONCAKE_BENCH_ARGS more words
// for it.
func TestBesideThePlainLibrary(t *testing.T) {
	program := os.Getenv("SIXCALL_MOONCAKE_BENCH")
	if program == "" {
		t.Skip("SIXCALL_MOONCAKE_BENCH is not set")
	}
	m := servers.StartMooncake(t, servers.MooncakeOptions{SegmentMB: 2048})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	args := []string{"--connector", servers.Connector(t, "mooncake"), "--library", m.Library(), "--master", m.Address, "--preload", m.CUDAStub()}
	cmd := exec.CommandContext(ctx, program, append(args, strings.Fields(os.Getenv("SIXCALL_MOONCAKE_BENCH_ARGS"))...)...)
	cmd.Env = append(os.Environ(), m.Environment()...)
	out, err := cmd.CombinedOutput()
	t.Logf("\n%s", out)
	require.NoError(t, err)
}
