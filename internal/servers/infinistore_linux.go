package servers

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// InfiniStore is a server of InfiniStore. It listens on 127.0.0.1.
type InfiniStore struct {
	*Process
	Port       int // of the data
	ManagePort int // of HTTP

	deps, stubs string
	poolGB      int
	blockKB     int
}

// StartInfiniStore starts a server with a pool of poolGB gigabytes in blocks of 64
// KiB, or ends the test as [Require] does. The pool takes memory as it is written to.
func StartInfiniStore(t testing.TB, poolGB int) *InfiniStore {
	t.Helper()
	return StartInfiniStoreBlocks(t, poolGB, 64)
}

// StartInfiniStoreBlocks is StartInfiniStore with blocks of blockKB KiB, at least 16.
func StartInfiniStoreBlocks(t testing.TB, poolGB, blockKB int) *InfiniStore {
	t.Helper()
	s := &InfiniStore{deps: Deps(t, "infinistore"), stubs: t.TempDir(), poolGB: poolGB, blockKB: blockKB}
	stub := filepath.Join(root(), "internal", "servers", "stubs")
	// The server does not start without an RDMA device, and listens on all interfaces.
	compileStub(t, filepath.Join(s.stubs, "libibverbs.so.1"), filepath.Join(stub, "ibverbs_stub.c"),
		"-Wl,-soname,libibverbs.so.1", "-Wl,--version-script="+filepath.Join(stub, "ibverbs_stub.map"))
	compileStub(t, filepath.Join(s.stubs, "libbind.so"), filepath.Join(stub, "bind.c"), "-ldl")
	var err error
	for range 5 { // another process may have taken a port
		s.Port, s.ManagePort = FreePort(t), FreePort(t)
		if err = s.start(t); err == nil {
			return s
		}
		s.Kill()
	}
	t.Fatalf("%v; it printed:\n%s", err, s.Output())
	return nil
}

// Restart starts the server again, on the same ports, after it was killed. It has
// forgotten everything.
func (s *InfiniStore) Restart(t testing.TB) {
	t.Helper()
	Eventually(t, time.Minute, func() error {
		err := s.start(t)
		if err != nil {
			s.Kill()
		}
		return err
	})
}

func (s *InfiniStore) start(t testing.TB) error {
	// The server protects itself from the kernel's memory killer, which needs privileges.
	const program = "import infinistore.server as s; s.prevent_oom = lambda: None; s.main()"
	python := cmp.Or(os.Getenv("PYTHON"), "/usr/bin/python3") // as scripts/deps
	cmd := exec.Command(python, "-c", program,
		"--service-port", strconv.Itoa(s.Port), "--manage-port", strconv.Itoa(s.ManagePort),
		"--prealloc-size", strconv.Itoa(s.poolGB), "--minimal-allocate-size", strconv.Itoa(s.blockKB),
		"--log-level", "warning", "--link-type", "IB")
	cmd.Env = append(cmd.Environ(), "PYTHONPATH="+s.deps, "LD_LIBRARY_PATH="+s.stubs,
		"LD_PRELOAD="+filepath.Join(s.stubs, "libbind.so"))
	s.Process = Start(t, "infinistore", cmd)
	return s.TryAwait(func() error {
		if _, err := s.Keys(); err != nil {
			return err
		}
		return s.Ask()
	})
}

// Keys returns how many keys the server has.
func (s *InfiniStore) Keys() (int, error) {
	client := http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	answer, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/kvmap_len", s.ManagePort))
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	var keys struct{ Len int }
	return keys.Len, json.NewDecoder(answer.Body).Decode(&keys)
}

// Ask puts a question to the data port over a connection of its own, and returns an
// error unless the server answers it: it is neither gone nor stuck.
func (s *InfiniStore) Ask() error {
	conn, err := net.DialTimeout("tcp4", fmt.Sprintf("127.0.0.1:%d", s.Port), 10*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	const key = "a key that nobody stores"
	request := binary.LittleEndian.AppendUint32(nil, 0xdeadbeef)
	request = append(request, 'C')
	request = binary.LittleEndian.AppendUint32(request, uint32(len(key)))
	if _, err := conn.Write(append(request, key...)); err != nil {
		return err
	}
	var answer [8]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(answer[:]) != 200 || binary.LittleEndian.Uint32(answer[4:]) != 1 {
		return errors.New("the server on the data port is not InfiniStore")
	}
	return nil
}

// Put stores a value as a client of InfiniStore's TCP protocol does that keeps to it
// from a description.
func (s *InfiniStore) Put(key string, value []byte) error {
	code, _, err := s.payload(key, 'P', value)
	if err == nil && code != 200 {
		err = fmt.Errorf("the server says %d", code)
	}
	return err
}

// Get returns what is stored, nil if nothing is.
func (s *InfiniStore) Get(key string) ([]byte, error) {
	code, value, err := s.payload(key, 'G', nil)
	if err == nil && code != 200 && code != 404 {
		err = fmt.Errorf("the server says %d", code)
	}
	return value, err
}

// payload sends one request for a value: a header, a FlatBuffer with key, length and
// operation in a fixed layout, and what is stored.
func (s *InfiniStore) payload(key string, op byte, value []byte) (code uint32, stored []byte, err error) {
	conn, err := net.DialTimeout("tcp4", fmt.Sprintf("127.0.0.1:%d", s.Port), 10*time.Second)
	if err != nil {
		return 0, nil, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	u16, u32 := binary.LittleEndian.AppendUint16, binary.LittleEndian.AppendUint32
	body := u32(nil, 16)                              // the table is there
	for _, n := range []uint16{10, 16, 4, 8, 12, 0} { // its vtable: sizes, fields, padding
		body = u16(body, n)
	}
	body = u32(u32(u32(u32(body, 12), 12), uint32(len(value))), uint32(op)) // the table
	body = append(u32(body, uint32(len(key))), key...)
	body = append(body, make([]byte, 4-len(key)%4)...) // the text ends with a zero
	request := u32(append(u32(nil, 0xdeadbeef), 'L'), uint32(len(body)))
	if _, err := conn.Write(append(append(request, body...), value...)); err != nil {
		return 0, nil, err
	}
	var word [4]byte
	if _, err := io.ReadFull(conn, word[:]); err != nil {
		return 0, nil, err
	}
	code = binary.LittleEndian.Uint32(word[:])
	if op == 'P' || code != 200 {
		return code, nil, nil
	}
	if _, err := io.ReadFull(conn, word[:]); err != nil {
		return code, nil, err
	}
	stored = make([]byte, binary.LittleEndian.Uint32(word[:]))
	_, err = io.ReadFull(conn, stored)
	return code, stored, err
}

// compileStub builds a shared library from one C file.
func compileStub(t testing.TB, library, source string, flags ...string) {
	t.Helper()
	args := append([]string{"-O2", "-shared", "-fPIC", "-o", library, source}, flags...)
	if out, err := exec.Command(Program(t, "cc", "gcc"), args...).CombinedOutput(); err != nil {
		t.Fatalf("compile %s: %v\n%s", source, err, out)
	}
}
