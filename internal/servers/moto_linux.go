package servers

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// MotoServer is a running moto_server, an S3 server that keeps its objects in
// memory and takes any credentials.
type MotoServer struct {
	*Process
	Endpoint string // http://127.0.0.1:port
}

// Moto starts a server.
func Moto(t testing.TB) *MotoServer {
	t.Helper()
	m := &MotoServer{}
	for attempt := 0; ; attempt++ { // somebody may take the port first
		m.Endpoint = fmt.Sprintf("http://127.0.0.1:%d", FreePort(t))
		err := m.start(t)
		if err == nil {
			return m
		}
		if attempt == 4 {
			t.Fatal(err)
		}
	}
}

// Restart starts a killed server again on the same port. It keeps nothing.
func (m *MotoServer) Restart(t testing.TB) {
	t.Helper()
	if err := m.start(t); err != nil {
		t.Fatal(err)
	}
}

func (m *MotoServer) start(t testing.TB) error {
	t.Helper()
	folder := Deps(t, "moto")
	_, port, err := net.SplitHostPort(strings.TrimPrefix(m.Endpoint, "http://"))
	if err != nil {
		return err
	}
	if _, err := strconv.Atoi(port); err != nil {
		return err
	}
	cmd := exec.Command("/usr/bin/python3", "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", port)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+folder, "PYTHONDONTWRITEBYTECODE=1")
	m.Process = Start(t, "moto_server", cmd)
	return m.TryAwait(func() error {
		response, err := http.Get(m.Endpoint + "/moto-api/")
		if err == nil {
			response.Body.Close()
		}
		return err
	})
}

// MakeBucket makes an empty bucket.
func (m *MotoServer) MakeBucket(t testing.TB, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, m.Endpoint+"/"+name, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("make bucket %q: %s", name, response.Status)
	}
}
