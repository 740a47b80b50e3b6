package python

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/sixcall/sixcall/bridge/kv"
)

// Class is what a class is, as far as it shows without an instance of it.
type Class struct {
	// Adapter is set for a ConnectorAdapter, and Parses if it serves the URL.
	Adapter, Parses bool
}

// What is read of an interpreter's answer and of its complaints, in bytes.
const (
	maxAnswer    = 64 << 10
	maxComplaint = 4 << 10
)

// Describe imports a class in an interpreter that ends after that. Errors are those of
// [Open], and any that ctx has.
func Describe(ctx context.Context, o Options, url string) (class Class, err error) {
	fail := func(format string, args ...any) (Class, error) {
		return Class{}, &kv.Error{Op: "describe", Connector: o.Worker.Instance, Code: kv.Config, Err: fmt.Errorf(format, args...)}
	}
	interpreter, file, err := o.program()
	if err != nil {
		return fail("%w", err)
	}
	answer, theirs, err := os.Pipe()
	if err != nil {
		return fail("%w", err)
	}
	defer answer.Close()
	ctx, cancel := context.WithTimeout(ctx, startDefault)
	defer cancel()
	args := append([]string{"/proc/self/fd/3"}, o.args()...)
	cmd := exec.CommandContext(ctx, interpreter, append(args, "--describe-fd", "4", "--url", url)...)
	complaint := &tail{}
	cmd.Stdout, cmd.Stderr = complaint, complaint
	cmd.ExtraFiles = []*os.File{file, theirs}
	cmd.WaitDelay = time.Second // for what it started and left behind
	err = cmd.Start()
	_ = theirs.Close()
	if err != nil {
		return fail("%w", err)
	}
	read := make(chan []byte, 1)
	go func() {
		text, _ := io.ReadAll(io.LimitReader(answer, maxAnswer))
		read <- text
	}()
	ended := cmd.Wait()
	_ = answer.SetReadDeadline(time.Now().Add(time.Second))
	text := <-read
	var said struct {
		Error           string
		Adapter, Parses bool
	}
	switch {
	case ctx.Err() != nil:
		return fail("module_path is %q, and %q did not import it within %v", o.Module, interpreter, startDefault)
	case json.Unmarshal(text, &said) != nil:
		if ended == nil {
			ended = errors.New("it said nothing")
		}
		return fail("module_path is %q, and %q ended while it imported it: %w; its last lines: %s", o.Module, interpreter, ended, complaint.lines())
	case said.Error != "":
		return fail("%s", said.Error)
	}
	return Class{said.Adapter, said.Parses}, nil
}

// tail keeps the end of what is written.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if n := len(t.text); n > 2*maxComplaint {
		t.text = append(t.text[:0], t.text[n-maxComplaint:]...)
	}
	return len(p), nil
}

func (t *tail) lines() string {
	lines := strings.Split(strings.TrimSpace(string(bytes.ToValidUTF8(t.text, []byte("?")))), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], " | ")
}
