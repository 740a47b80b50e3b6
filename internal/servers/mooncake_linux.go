package servers

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// Mooncake is a Mooncake Store: a master and one storage node, which talk over TCP
// on 127.0.0.1.
type Mooncake struct {
	Master  *Process
	Node    *Process
	Address string // of the master, host:port

	options           MooncakeOptions
	programs, stubs   string
	port, metricsPort int
}

// MooncakeOptions are the settings of a store that tests change.
type MooncakeOptions struct {
	// SegmentMB is the memory of the storage node. Default 256.
	SegmentMB int
	// Lease is how long a key stays after it was read. Default 10 s.
	Lease time.Duration
	// ClientTTL is how long the master believes in a node that is silent. Default 10 s.
	ClientTTL time.Duration
}

// StartMooncake starts a master and a storage node, or ends the test as [Require] does.
func StartMooncake(t testing.TB, options MooncakeOptions) *Mooncake {
	t.Helper()
	if options.SegmentMB == 0 {
		options.SegmentMB = 256
	}
	if options.Lease == 0 {
		options.Lease = 10 * time.Second
	}
	if options.ClientTTL == 0 {
		options.ClientTTL = 10 * time.Second
	}
	m := &Mooncake{options: options, programs: filepath.Join(Deps(t, "mooncake"), "mooncake"), stubs: t.TempDir()}
	source := filepath.Join(root(), "internal", "servers", "stubs")
	// The programs need the CUDA driver, which a machine without a GPU does not
	// have, and listen on all interfaces.
	compileStub(t, filepath.Join(m.stubs, "libcuda.so.1"), filepath.Join(source, "cuda.c"), "-Wl,-soname,libcuda.so.1")
	compileStub(t, filepath.Join(m.stubs, "libbind.so"), filepath.Join(source, "bind.c"), "-ldl")
	var err error
	for range 5 { // another process may have taken a port
		m.port, m.metricsPort = FreePort(t), FreePort(t)
		m.Address = fmt.Sprintf("127.0.0.1:%d", m.port)
		if err = m.startMaster(t); err == nil {
			m.StartNode(t)
			return m
		}
		m.Master.Kill()
	}
	t.Fatalf("%v; it printed:\n%s", err, m.Master.Output())
	return nil
}

// Library returns the path of libmooncake_store.so.
func (m *Mooncake) Library() string { return filepath.Join(m.programs, "libmooncake_store.so") }

// CUDAStub returns a library that stands in for libcuda.so.1.
func (m *Mooncake) CUDAStub() string { return filepath.Join(m.stubs, "libcuda.so.1") }

// Environment returns what a program needs that loads the library and is to listen
// on loopback only.
func (m *Mooncake) Environment() []string {
	return []string{"LD_PRELOAD=" + filepath.Join(m.stubs, "libbind.so")}
}

// RestartMaster starts the master again, on the same ports, after it was killed. It
// has forgotten every key; the node mounts its memory again.
func (m *Mooncake) RestartMaster(t testing.TB) {
	t.Helper()
	Eventually(t, time.Minute, func() error {
		err := m.startMaster(t)
		if err != nil {
			m.Master.Kill()
		}
		return err
	})
}

func (m *Mooncake) startMaster(t testing.TB) error {
	m.Master = m.start(t, "mooncake_master",
		"--rpc_address=127.0.0.1", "--rpc_port="+strconv.Itoa(m.port),
		"--metrics_host=127.0.0.1", "--metrics_port="+strconv.Itoa(m.metricsPort),
		"--default_kv_lease_ttl="+strconv.FormatInt(m.options.Lease.Milliseconds(), 10),
		"--client_ttl="+strconv.Itoa(int(m.options.ClientTTL.Seconds())),
		"--logtostderr=1")
	return m.Master.TryAwait(func() error {
		_, err := m.get("/health")
		return err
	})
}

// StartNode starts a storage node and returns when the master has its memory. It
// may follow one that was killed, whose memory the master still counts on.
func (m *Mooncake) StartNode(t testing.TB) {
	t.Helper()
	before, err := m.Metric(mounts)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 { // another process may have taken a port
		port := strconv.Itoa(FreePort(t))
		m.Node = m.start(t, "mooncake_client",
			"--host=127.0.0.1", "--port="+port, "--metadata_server=P2PHANDSHAKE",
			"--master_server_address="+m.Address, fmt.Sprintf("--global_segment_size=%d MB", m.options.SegmentMB),
			"--protocol=tcp", "--threads=2", "--logtostderr=1")
		if err = m.Node.TryAwait(func() error { return m.mounted(before, port) }); err == nil {
			return
		}
		m.Node.Kill()
	}
	t.Fatalf("%v; it printed:\n%s", err, m.Node.Output())
}

const mounts = "master_mount_segment_requests_total"

// mounted says whether the master got memory since it had counted so many, and the
// node knows it: then the node opens its port. One that is interrupted before gives up.
func (m *Mooncake) mounted(before float64, port string) error {
	now, err := m.Metric(mounts)
	if err == nil && now <= before {
		err = errors.New("the master has not got the node's memory")
	}
	if err != nil {
		return err
	}
	conn, err := net.Dial("tcp4", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	return conn.Close()
}

func (m *Mooncake) start(t testing.TB, program string, args ...string) *Process {
	cmd := exec.Command(filepath.Join(m.programs, program), args...)
	cmd.Env = append(append(cmd.Environ(), m.Environment()...), "LD_LIBRARY_PATH="+m.stubs)
	return Start(t, program, cmd)
}

// Metric returns a metric of the master.
func (m *Mooncake) Metric(name string) (float64, error) {
	text, err := m.get("/metrics")
	if err != nil {
		return 0, err
	}
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("the master has no metric %q", name)
	}
	return strconv.ParseFloat(string(found[1]), 64)
}

func (m *Mooncake) get(path string) ([]byte, error) {
	client := http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	answer, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d%s", m.metricsPort, path))
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, answer.Status)
	}
	return io.ReadAll(answer.Body)
}

// ExitCode returns the exit code of a process that is [Process.Done], or -1 if a
// signal ended it.
func (p *Process) ExitCode() int { return p.cmd.ProcessState.ExitCode() }
