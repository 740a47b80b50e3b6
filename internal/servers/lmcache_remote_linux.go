package servers

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// LMCacheRemote is a remote connector of LMCache's own wheel, in a Python process
// that a test talks to. One call at a time.
type LMCacheRemote struct {
	in  io.Writer
	out *bufio.Reader
}

// lmcacheRemote returns the command of remote.py.
func lmcacheRemote(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(Program(t, "python3", "python3"), append([]string{filepath.Join(root(), "internal/servers/lmcache/remote.py")}, args...)...)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+Deps(t, "lmcache"), "PYTHONDONTWRITEBYTECODE=1")
	return cmd
}

// StartLMCacheRemote makes a connector: "fs" FOLDER, "redis" URL or "lm" HOST PORT. It
// ends with the test.
func StartLMCacheRemote(t testing.TB, args ...string) *LMCacheRemote {
	t.Helper()
	return startLMCacheRemote(t, lmcacheRemote(t, args...))
}

// StartLMCacheMooncake makes LMCache's connector for Mooncake, on Mooncake's own Python
// client. It ends with the test.
func StartLMCacheMooncake(t testing.TB, m *Mooncake) *LMCacheRemote {
	t.Helper()
	cmd := lmcacheRemote(t, "mooncakestore", m.Address)
	cmd.Env = append(append(cmd.Env, m.Environment()...), "LD_LIBRARY_PATH="+m.stubs,
		"PYTHONPATH="+Deps(t, "lmcache")+":"+Deps(t, "mooncake"))
	return startLMCacheRemote(t, cmd)
}

func startLMCacheRemote(t testing.TB, cmd *exec.Cmd) *LMCacheRemote {
	t.Helper()
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	answers, writer, err := os.Pipe()
	require.NoError(t, err)
	cmd.ExtraFiles = []*os.File{writer}
	Start(t, "LMCache's connector", cmd)
	writer.Close()
	t.Cleanup(func() { answers.Close() })
	return &LMCacheRemote{in: in, out: bufio.NewReader(answers)}
}

// StartLMCacheServer starts LMCache's server, and returns its address.
func StartLMCacheServer(t testing.TB) (p *Process, host string, port int) {
	t.Helper()
	for attempt := 1; ; attempt++ {
		port = FreePort(t)
		p = Start(t, "LMCache's server", lmcacheRemote(t, "server", "127.0.0.1", strconv.Itoa(port)))
		err := p.TryAwait(func() error {
			conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
			if err == nil {
				conn.Close()
			}
			return err
		})
		if err == nil {
			return p, "127.0.0.1", port
		}
		p.Kill()
		if attempt == 5 {
			t.Fatalf("%v; it printed:\n%s", err, p.Output())
		}
	}
}

// Put stores a value under the text of a key.
func (c *LMCacheRemote) Put(t testing.TB, key string, value []byte, shape []int, dtype string) {
	t.Helper()
	c.call(t, map[string]any{"op": "put", "key": key, "value": value, "shape": shape, "dtype": dtype})
}

// Exists asks for a key.
func (c *LMCacheRemote) Exists(t testing.TB, key string) bool {
	t.Helper()
	return c.call(t, map[string]any{"op": "exists", "key": key}).Found
}

// Get returns a value and its shape, nil if there is none.
func (c *LMCacheRemote) Get(t testing.TB, key string) (value []byte, shape []int) {
	t.Helper()
	answer := c.call(t, map[string]any{"op": "get", "key": key})
	return answer.Value, answer.Shape
}

type lmcacheRemoteAnswer struct {
	Found bool   `json:"found"`
	Value []byte `json:"value"`
	Shape []int  `json:"shape"`
}

func (c *LMCacheRemote) call(t testing.TB, request map[string]any) (answer lmcacheRemoteAnswer) {
	t.Helper()
	text, err := json.Marshal(request)
	require.NoError(t, err)
	_, err = fmt.Fprintf(c.in, "%s\n", text)
	require.NoError(t, err)
	line, err := c.out.ReadBytes('\n')
	require.NoError(t, err, "LMCache's connector has ended")
	require.NoError(t, json.Unmarshal(line, &answer))
	return answer
}
