//go:build linux && (amd64 || arm64)

package worker

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/worker/wire"
	"github.com/sixcall/sixcall/internal/params"
)

// configure returns the configuration as the library gets it.
func (l *life) configure(with launch, library loaded) ([]byte, error) {
	c := l.c
	p, errs := params.Parse(with.params)
	l.secrets.Store(p)
	if len(errs) == 0 && library.schema != "" {
		schema, err := params.ParseSchema(library.schema)
		if err != nil {
			return nil, &kv.Error{Op: "load", Connector: with.library, Code: kv.Internal, Err: fmt.Errorf("its config_schema is broken: %w", err)}
		}
		errs = schema.Validate(p)
	}
	if len(errs) > 0 {
		return nil, c.fail("open", kv.Config, "%s", p.Mask(params.Line(errs).Error()))
	}
	config, err := p.Encode()
	if err != nil {
		return nil, c.fail("open", kv.Config, "%v", err)
	}
	p.Forget()
	return config, nil
}

// open has the library connect.
func (l *life) open(config []byte, library loaded) error {
	c := l.c
	fd, err := sealedMemory(config)
	clear(config)
	if err != nil {
		return c.fail("open", kv.NoMemory, "%v", err)
	}
	defer unix.Close(fd)
	l.setPhase("in open")
	limit := openDefault
	if c.opts.OpenTimeout > 0 {
		limit = c.opts.OpenTimeout + openExtra
	}
	reply, err := l.control.ask(limit, request{
		kind: openRequest{
			configLen: uint64(len(config)), instance: c.opts.Instance, maxInFlight: uint32(c.opts.MaxInFlight),
			maxBatch: uint32(c.opts.MaxBatch), valueLenHint: uint64(c.opts.ValueLenHint), openTimeoutMS: milliseconds(c.opts.OpenTimeout),
		},
		fds: []int{fd},
	})
	if err != nil {
		return l.refused("open", c.name(), err, limit)
	}
	connection := reply.(opened)
	l.setPhase("")
	if a := connection.limits.BufAlign; a&(a-1) != 0 {
		return c.fail("open", kv.Internal, "limits of %q: buf_align is %d, want a power of two", l.library, a)
	}
	l.info = kv.Info{Name: library.name, Version: library.version, Vendor: library.vendor, Caps: library.caps, Limits: connection.limits}
	l.changed = append(library.changed, connection.changed...)
	l.warnings = append(library.warnings, connection.warnings...)
	return nil
}

// refused makes the error of a Load or Open that failed.
func (l *life) refused(op, connector string, err error, limit time.Duration) error {
	var no failed
	switch {
	case errors.As(err, &no):
		return l.failedError(op, connector, no)
	case errors.Is(err, errNoAnswer):
		l.kill(ReasonHang, "%s of %q did not return within %v", op, l.library, limit)
		return &kv.Error{Op: op, Connector: connector, Code: kv.Timeout, Err: fmt.Errorf("%s of %q did not return within %v; the worker process was killed", op, l.library, limit)}
	}
	return err
}

// failedError makes the error of a request that the worker says has failed.
func (l *life) failedError(op, connector string, no failed) error {
	text := strings.TrimSpace(l.mask(params.Printable(no.text)))
	if text == "" {
		text = fmt.Sprintf("%s of %q returned %d and no text", op, l.library, no.code)
	}
	code := kv.CodeOf(no.code)
	if code == kv.OK {
		code = kv.Internal
	}
	return &kv.Error{Op: op, Connector: connector, Code: code, VendorCode: no.vendorCode, Err: errors.New(text)}
}

// sealedMemory returns a descriptor of memory with the content, which nobody can
// change.
func sealedMemory(content []byte) (int, error) {
	fd, err := unix.MemfdCreate("sixcall-config", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, fmt.Errorf("memfd: %w", err)
	}
	for rest := content; len(rest) > 0 && err == nil; {
		var n int
		n, err = unix.Write(fd, rest)
		rest = rest[max(n, 0):]
	}
	if err == nil {
		_, err = unix.Seek(fd, 0, 0)
	}
	if err == nil {
		const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// limitsOf reads limits; nil are none.
func limitsOf(w *wire.Limits) kv.Limits {
	if w == nil {
		return kv.Limits{}
	}
	l := kv.Limits{
		MaxBatch: int(w.MaxBatch()), MaxKeyLen: int(w.MaxKeyLen()), BufAlign: int(w.BufAlign()),
		BestBatch: int(w.BestBatch()), MaxInFlight: int(w.MaxInflight()),
	}
	if v := w.MaxValueLen(); v <= math.MaxInt64 {
		l.MaxValueLen = int64(v)
	}
	return l
}

// milliseconds rounds d up to a whole number of milliseconds that fits the ABI.
func milliseconds(d time.Duration) uint32 {
	if d <= 0 {
		return 0
	}
	return uint32(min((d+time.Millisecond-1)/time.Millisecond, math.MaxUint32))
}
