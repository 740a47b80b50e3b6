package servers

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// LMCacheClient is a native client of LMCache's own wheel, in a Python process
// that a test talks to. One call at a time.
type LMCacheClient struct {
	in  io.Writer
	out *bufio.Reader
}

// LMCacheAnswer is the completion of one batch, as the client reported it.
type LMCacheAnswer struct {
	OK      bool     `json:"ok"`
	Error   string   `json:"error"`
	Results []bool   `json:"results"` // nil for set
	Values  [][]byte `json:"values"`  // get: the buffers, whatever the results
}

// LMCacheModule returns the path of a module of the wheel, such as "lmcache_fs",
// and the environment that Debian's Python needs to load it, or ends the test as
// [Require] does. The modules name four libraries of torch and use nothing of
// them: empty ones take their place.
func LMCacheModule(t testing.TB, module string) (path string, env []string) {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		Require(t, "the list has LMCache's wheel for amd64 only, this is %s", runtime.GOARCH)
	}
	found, err := filepath.Glob(filepath.Join(Deps(t, "lmcache"), "lmcache", module+".*.so"))
	require.NoError(t, err)
	require.Len(t, found, 1, "modules %s in LMCache's wheel", module)
	stubs := t.TempDir()
	cc := Program(t, "cc", "gcc")
	for _, name := range []string{"c10", "torch", "torch_cpu", "torch_python"} {
		cmd := exec.Command(cc, "-shared", "-fPIC", "-o", filepath.Join(stubs, "lib"+name+".so"), filepath.Join(root(), "internal/servers/stubs/torch.c"))
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	return found[0], append(os.Environ(), "LD_LIBRARY_PATH="+stubs)
}

// StartLMCacheClient makes a client of the class with the arguments; it ends with the test.
func StartLMCacheClient(t testing.TB, module, class string, args ...any) *LMCacheClient {
	t.Helper()
	path, env := LMCacheModule(t, module)
	// The wheel is for 3.11, which is Debian's.
	command := []string{filepath.Join(root(), "internal/servers/lmcache/client.py"), path, class}
	for _, arg := range args {
		text, err := json.Marshal(arg)
		require.NoError(t, err)
		command = append(command, string(text))
	}
	cmd := exec.Command(Program(t, "python3.11", "python3"), command...)
	cmd.Env = env
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	answers, writer, err := os.Pipe()
	require.NoError(t, err)
	cmd.ExtraFiles = []*os.File{writer} // descriptor 3: stdout is kept for when the test fails
	Start(t, class, cmd)
	writer.Close()
	t.Cleanup(func() { answers.Close() })
	return &LMCacheClient{in: in, out: bufio.NewReader(answers)}
}

// Set, Get, Exists and Delete submit one batch and wait for its end.
func (c *LMCacheClient) Set(t testing.TB, keys []string, values [][]byte) LMCacheAnswer {
	t.Helper()
	return c.call(t, map[string]any{"op": "set", "keys": keys, "values": values})
}

func (c *LMCacheClient) Get(t testing.TB, keys []string, lens []int) LMCacheAnswer {
	t.Helper()
	return c.call(t, map[string]any{"op": "get", "keys": keys, "lens": lens})
}

func (c *LMCacheClient) Exists(t testing.TB, keys []string) LMCacheAnswer {
	t.Helper()
	return c.call(t, map[string]any{"op": "exists", "keys": keys})
}

func (c *LMCacheClient) Delete(t testing.TB, keys []string) LMCacheAnswer {
	t.Helper()
	return c.call(t, map[string]any{"op": "delete", "keys": keys})
}

func (c *LMCacheClient) call(t testing.TB, request map[string]any) (answer LMCacheAnswer) {
	t.Helper()
	text, err := json.Marshal(request)
	require.NoError(t, err)
	_, err = c.in.Write(append(text, '\n'))
	require.NoError(t, err)
	line, err := c.out.ReadBytes('\n')
	require.NoError(t, err, "the client has ended")
	require.NoError(t, json.Unmarshal(line, &answer))
	return answer
}
