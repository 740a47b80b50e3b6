//go:build linux && (amd64 || arm64)

package native

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/internal/params"
)

// drainCap is how many completions one native drain takes.
const drainCap = 256

// Connector is one open connection of a library that runs in this process. It
// implements [kv.Connector] and is safe for concurrent use as that says.
//
// The methods of the optional interfaces always exist; without the capability
// they return an error that matches [kv.Unsupported], so look at Info().Caps.
type Connector struct {
	lib     *library
	name    string // in errors and logs
	conn    uintptr
	fd      int
	info    kv.Info
	report  *Report
	secrets *params.Params // for its Mask

	submit    [8]uintptr  // the submit slot of each kv.Op, 0 = none
	drain     uintptr     // the slot
	deadlines uint64      // all ones when the library honours deadlines, else it is told of none
	serial    *sync.Mutex // held around each call of the library; nil for PARALLEL
	perConn   sync.Mutex  // what serial points to for PER_HANDLE
	closed    atomic.Bool
	spare     atomic.Pointer[caller] // for submits; taken while in use
	busy      error                  // the refusal that a full queue gives, made once
	draining  sync.Mutex             // guards drainer and out against a second caller
	drainer   *caller
	out       []cCompletion // drainCap and one more, outside the Go heap

	own     *region // out; unmapped by Close
	host    *cHost
	log     *logSink // nil = no log
	lists   lists
	closing sync.Mutex // guards the two below
	ended   bool
	endErr  error
}

var (
	_ kv.Connector     = (*Connector)(nil)
	_ kv.Registrar     = (*Connector)(nil)
	_ kv.Canceler      = (*Connector)(nil)
	_ kv.Lister        = (*Connector)(nil)
	_ kv.UsageReporter = (*Connector)(nil)
)

// Open finds, checks and loads a library and opens a connection with it. It may
// block as long as the library needs to connect. An error wraps a [kv.Error] that
// names the library and holds no secret; after it nothing is left open, but a
// library that was loaded stays loaded.
func Open(opts Options) (*Connector, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	path, err := Find(opts.Connector, opts.SearchPath)
	if err != nil {
		return nil, err
	}
	lib, err := loadLibrary(path, checks{sha256: opts.SHA256, allowGoRuntime: opts.AllowGoRuntime})
	if err != nil {
		return nil, err
	}
	c := &Connector{lib: lib, name: lib.name, report: lib.report.clone(), drainer: newCaller()}
	if opts.Instance != "" {
		c.name = opts.Instance
	}
	if opts.ClassName != "" && opts.ClassName != lib.name {
		return nil, c.fail("open", kv.Config, "class_name is %q, but the library %q declares %q", opts.ClassName, lib.path, lib.name)
	}
	config, err := c.configure(opts)
	if err != nil {
		return nil, err
	}
	if err := c.prepare(opts); err != nil {
		return nil, err
	}
	if err := c.connect(opts, config); err != nil {
		if !c.ended { // else Close has decided what may be given back
			c.release()
		}
		return nil, err
	}
	return c, nil
}

// configure returns the configuration as the library gets it.
func (c *Connector) configure(opts Options) ([]byte, error) {
	p, errs := params.Parse(opts.Params)
	if len(errs) == 0 && c.lib.schema != nil {
		errs = c.lib.schema.Validate(p)
	}
	if len(errs) > 0 {
		return nil, c.fail("open", kv.Config, "%s", p.Mask(params.Line(errs).Error()))
	}
	config, err := p.Encode()
	if err != nil {
		return nil, c.fail("open", kv.Config, "%v", err)
	}
	p.Forget()
	c.secrets = p
	return config, nil
}

// prepare makes what belongs to the connection on our side.
func (c *Connector) prepare(opts Options) (err error) {
	if c.own, err = newRegion((drainCap + 1) * sizeofCompletion); err != nil {
		return c.fail("open", kv.NoMemory, "%v", err)
	}
	c.out = unsafe.Slice(at[cCompletion](c.own.take((drainCap+1)*sizeofCompletion)), drainCap+1)
	if c.host, err = takeHostSlot(); err != nil {
		c.release()
		return c.fail("open", kv.NoMemory, "%v", err)
	}
	base, err := entryHost()
	if err != nil {
		c.release()
		return c.fail("open", kv.NoMemory, "%v", err)
	}
	*c.host = *base
	if opts.Log != nil {
		level := int32(cLogInfo)
		if opts.LogDebug {
			level = cLogDebug
		}
		c.log = newLogSink(level, c.secrets.Mask, opts.Log)
		c.host.Log, c.host.LogCtx, c.host.LogLevel = logCallback(), c.log.id, level
	}
	switch c.lib.threads {
	case cThreadsSerial:
		c.serial = &c.lib.mu
	case cThreadsPerHandle:
		c.serial = &c.perConn
	}
	api := &c.lib.api
	c.drain = api.DrainCompletions
	c.submit[kv.OpGet], c.submit[kv.OpSet], c.submit[kv.OpExists] = api.SubmitBatchGet, api.SubmitBatchSet, api.SubmitBatchExists
	if c.lib.caps.Has(kv.CapDelete) {
		c.submit[kv.OpDelete] = api.SubmitBatchDelete
	}
	if c.lib.caps.Has(kv.CapPing) {
		c.submit[kv.OpPing] = api.SubmitPing
	}
	if c.lib.caps.Has(kv.CapDeadline) {
		c.deadlines = math.MaxUint64
	}
	c.busy = &kv.Error{Op: "submit", Connector: c.name, Code: kv.Busy}
	c.spare.Store(newCaller())
	return nil
}

// connect calls the library's open and checks what it returned.
func (c *Connector) connect(opts Options, config []byte) error {
	temp, err := newRegion(sizeofOpenArgs + sizeofErr + 8 + len(config) + len(opts.Instance) + 128)
	if err != nil {
		return c.fail("open", kv.NoMemory, "%v", err)
	}
	defer temp.free(true)
	text := temp.take(len(config))
	copy(text, config)
	clear(config)
	args := at[cOpenArgs](temp.take(sizeofOpenArgs))
	*args = cOpenArgs{
		StructSize: sizeofOpenArgs, ConfigJSON: address(text), ConfigLen: uint64(len(text)),
		MaxInflight: uint32(opts.MaxInFlight), MaxBatch: uint32(opts.MaxBatch),
		ValueLenHint: uint64(opts.ValueLenHint), OpenTimeoutMS: milliseconds(opts.OpenTimeout),
	}
	if opts.Instance != "" {
		args.Instance = temp.text(opts.Instance)
	}
	out := at[uintptr](temp.take(8))
	block := kv.ErrBlock(temp.take(sizeofErr))
	block.Reset()

	var rc int32
	changed := guard(c.lib.path, func() {
		c.locked(func() {
			rc = call32(c.lib.api.Open, hostAddress(c.host), uintptr(unsafe.Pointer(args)), uintptr(unsafe.Pointer(out)), address(block))
		})
	})
	c.report.noteChanged("was opened", changed)
	c.report.conclude()
	if rc < 0 {
		err := c.textError("open", rc, block)
		if len(c.report.Changed) > 0 { // nobody will see the report of a failed open
			err.Err = fmt.Errorf("%w; %q also changed %s; all of it was put back", err.Err, c.lib.path, strings.Join(c.report.Changed, ", "))
		}
		return err
	}
	if c.conn = *out; c.conn == 0 {
		return c.fail("open", kv.Internal, "open of %q returned %d, which is success, but no connection", c.lib.path, rc)
	}
	if err := c.inquire(); err != nil {
		if closeErr := c.Close(time.Second); closeErr != nil {
			return fmt.Errorf("%w; then %w", err, closeErr)
		}
		return err
	}
	return nil
}

// inquire asks the open connection what it is.
func (c *Connector) inquire() error {
	if err := c.checkEventFD(); err != nil {
		return err
	}
	c.info = kv.Info{Name: c.lib.name, Version: c.lib.version, Vendor: c.lib.vendor, Caps: c.lib.caps}
	if !c.lib.caps.Has(kv.CapLimits) {
		return nil
	}
	temp, err := newRegion(sizeofLimits)
	if err != nil {
		return c.fail("open", kv.NoMemory, "%v", err)
	}
	defer temp.free(false)
	limits := at[cLimits](temp.take(sizeofLimits))
	limits.StructSize = sizeofLimits
	var rc int32
	c.locked(func() { rc = call32(c.lib.api.Limits, c.conn, uintptr(unsafe.Pointer(limits)), 0, 0) })
	if rc < 0 {
		return c.fail("open", kv.CodeOf(rc), "limits of %q failed", c.lib.path)
	}
	if a := limits.BufAlign; a&(a-1) != 0 {
		return c.fail("open", kv.Internal, "limits of %q: buf_align is %d, want a power of two", c.lib.path, a)
	}
	if limits.MaxValueLen > math.MaxInt64 {
		limits.MaxValueLen = 0
	}
	c.info.Limits = kv.Limits{
		MaxBatch: int(limits.MaxBatch), MaxKeyLen: int(limits.MaxKeyLen), BufAlign: int(limits.BufAlign),
		MaxValueLen: int64(limits.MaxValueLen), BestBatch: int(limits.BestBatch), MaxInFlight: int(limits.MaxInflight),
	}
	return nil
}

// locked calls f under the mutex that the thread model asks for.
func (c *Connector) locked(f func()) {
	if c.serial != nil {
		c.serial.Lock()
		defer c.serial.Unlock()
	}
	f()
}

// Info implements [kv.Connector].
func (c *Connector) Info() kv.Info { return c.info }

// EventFD implements [kv.Connector].
func (c *Connector) EventFD() int { return c.fd }

// Report returns what is known about the library, with what this connection's
// open changed and what was odd about it.
func (c *Connector) Report() *Report { return c.report.clone() }

// textError builds an error from a result and the text beside it.
func (c *Connector) textError(op string, rc int32, block kv.ErrBlock) *kv.Error {
	text := strings.TrimSpace(c.secrets.Mask(params.Printable(block.Message())))
	if text == "" {
		text = fmt.Sprintf("%s of %q returned %d and no text", op, c.lib.path, rc)
	}
	return &kv.Error{Op: op, Connector: c.name, Code: kv.CodeOf(rc), VendorCode: block.VendorCode(), Err: errors.New(text)}
}

func (c *Connector) fail(op string, code kv.Code, format string, args ...any) error {
	return &kv.Error{Op: op, Connector: c.name, Code: code, Err: fmt.Errorf(format, args...)}
}

func hostAddress(h *cHost) uintptr { return uintptr(unsafe.Pointer(h)) }
