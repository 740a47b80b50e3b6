//go:build linux && (amd64 || arm64)

package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/worker"
	"github.com/sixcall/sixcall/internal/servers"
)

// hostEnv makes the test program be a host that keeps a worker busy until it is
// killed. It holds the options.
const hostEnv = "SIXCALL_TEST_HOST"

type hostOptions struct {
	Program, Library, Params string
	Env                      []string
}

func hostMain() {
	var o hostOptions
	must(json.Unmarshal([]byte(os.Getenv(hostEnv)), &o))
	must(os.Unsetenv(hostEnv))
	c, err := worker.Open(context.Background(), worker.Options{
		Program: o.Program, Library: o.Library, Params: json.RawMessage(o.Params), Env: o.Env, MemoryLimit: 1 << 40,
	})
	must(err)
	block, err := c.Arena().Alloc(1 << 20)
	must(err)
	mem := block.Bytes()
	fmt.Printf("worker %d\n", c.Status().Pid)
	done := make([]kv.Completion, 8)
	for i := uint64(0); ; i++ {
		b := &kv.Batch{
			Ticket: i, Op: kv.OpSet, Keys: mem[:1], Ends: []uint32{1}, Bufs: []kv.Buffer{mem[4096 : 512<<10]},
			Status: mem[8:9], Scratch: mem[1024:2048],
		}
		must(c.Submit(b))
		for {
			n, err := c.Drain(done)
			must(err)
			if n > 0 {
				break
			}
		}
	}
}

func must(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// TestAHostThatIsKilledLeavesNothingBehind kills a host that has a busy worker: the
// worker ends, and the memory that they shared with it.
func TestAHostThatIsKilledLeavesNothingBehind(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	hosts := map[string]func(t *testing.T) hostOptions{
		"fake": func(t *testing.T) hostOptions {
			o := fakeOptions(t, "good")
			return hostOptions{Program: o.Program, Library: o.Library, Env: o.Env}
		},
		"real": func(t *testing.T) hostOptions { return hostOptions{Library: mem(t, "").Library, Params: "{}"} },
		"in a call that hangs": func(t *testing.T) hostOptions {
			return hostOptions{Library: faulty(t, "", "").Library, Params: `{"x-fault":"spin_in_set"}`}
		},
	}
	for name, options := range hosts {
		t.Run(name, func(t *testing.T) {
			text, err := json.Marshal(options(t))
			require.NoError(t, err)
			cmd := exec.Command(self)
			cmd.Env = append(os.Environ(), hostEnv+"="+string(text))
			host := servers.Start(t, "host", cmd)
			var pid int
			host.Await(t, func() error {
				if _, err := fmt.Sscanf(host.Output(), "worker %d\n", &pid); err != nil {
					return err
				}
				return nil
			})
			require.NotEmpty(t, sharedBy(t, pid), "the worker has mapped what we look for below")
			host.Kill() // the worker is in a group of its own
			eventually(t, "the worker is dead", func() bool {
				stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
				return errors.Is(err, os.ErrNotExist) || strings.Contains(string(stat), ") Z ") || strings.Contains(string(stat), ") X ")
			})
			require.Empty(t, sharedBy(t, pid))
		})
	}
}

// sharedBy lists the shared memory of ours that a process has mapped.
func sharedBy(t *testing.T, pid int) (out []string) {
	t.Helper()
	maps, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "maps"))
	if err != nil {
		return nil
	}
	for _, line := range strings.Split(string(maps), "\n") {
		if strings.Contains(line, "memfd:sixcall") {
			out = append(out, line)
		}
	}
	return out
}
