//go:build linux && (amd64 || arm64)

package native

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"unsafe"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/internal/params"
)

// slots are the functions of the table in their order.
var slots = []struct {
	name     string
	offset   int
	required bool
	cap      kv.Caps // the capability that announces it
}{
	{"open", offsetofAPIOpen, true, 0},
	{"event_fd", offsetofAPIEventFD, true, 0},
	{"submit_batch_get", offsetofAPISubmitBatchGet, true, 0},
	{"submit_batch_set", offsetofAPISubmitBatchSet, true, 0},
	{"submit_batch_exists", offsetofAPISubmitBatchExists, true, 0},
	{"drain_completions", offsetofAPIDrainCompletions, true, 0},
	{"close", offsetofAPIClose, true, 0},
	{"submit_batch_delete", offsetofAPISubmitBatchDelete, false, cCapDelete},
	{"limits", offsetofAPILimits, false, cCapLimits},
	{"submit_ping", offsetofAPISubmitPing, false, cCapPing},
	{"cancel", offsetofAPICancel, false, cCapCancel},
	{"register_memory", offsetofAPIRegisterMemory, false, cCapRegisterMemory},
	{"unregister_memory", offsetofAPIUnregisterMemory, false, cCapRegisterMemory},
	{"usage", offsetofAPIUsage, false, cCapUsage},
	{"submit_list", offsetofAPISubmitList, false, cCapList},
	{"stats_text", offsetofAPIStatsText, false, cCapStatsText},
	{"get_extension", offsetofAPIGetExtension, false, cCapExtensions},
}

const (
	knownCaps = kv.Caps(cCapDelete | cCapLimits | cCapPing | cCapCancel | cCapRegisterMemory | cCapUsage | cCapList |
		cCapStatsText | cCapExtensions | cCapReadYourWrites | cCapDeadline | cCapPersistent | cCapValueLens)
	slotCaps = kv.Caps(1<<9 - 1)
	// hostFeatures are the feature bits that this host offers; 1.0 defines none.
	hostFeatures = uint64(0)
)

// The longest strings of a table, in bytes.
const (
	maxName   = 256
	maxSchema = 1 << 20
)

var threadModels = []string{"serial", "per_handle", "parallel"}

// readTable copies the table at addr and negotiates. What refuses the library
// is returned, what is odd is added to r.
func readTable(addr uintptr, r *Report) (*library, error) {
	p, err := newPeeker()
	if err != nil {
		return nil, libraryError(r, kv.NoMemory, "%v", err)
	}
	defer p.close()
	if addr%8 != 0 {
		return nil, libraryError(r, kv.Internal, "%s returned %#x, which is not the address of a table", cEntrySymbol, addr)
	}
	head, err := p.read(addr, 8)
	if err != nil {
		return nil, libraryError(r, kv.Internal, "%s returned the address of no table: %v", cEntrySymbol, err)
	}
	lib := &library{path: r.Path, report: r}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&lib.api)), 8), head)
	if lib.api.ABIMajor != cABIMajor {
		return nil, libraryError(r, kv.Version, "%s", wrongMajor(lib.api.ABIMajor, lib.api.ABIMinor))
	}
	size := lib.api.StructSize
	if size < cAPIRequiredSize {
		return nil, libraryError(r, kv.Version, "its table has %d bytes, ABI %d needs at least %d (up to and with close)", size, cABIMajor, cAPIRequiredSize)
	}
	// A field that is cut by the end counts as missing.
	whole := min(int(size)&^7, sizeofAPI)
	table, err := p.read(addr, whole)
	if err != nil {
		return nil, libraryError(r, kv.Internal, "its table declares %d bytes, but %v", size, err)
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&lib.api)), sizeofAPI), table)
	if err := lib.negotiate(r); err != nil {
		return nil, err
	}
	if err := lib.readTexts(p, r); err != nil {
		return nil, err
	}
	lib.describe(r)
	return lib, nil
}

// slot returns the address of a function, 0 = not implemented.
func (l *library) slot(offset int) uintptr {
	return *(*uintptr)(unsafe.Add(unsafe.Pointer(&l.api), offset))
}

func (l *library) negotiate(r *Report) error {
	var missing []string
	for _, s := range slots {
		if s.required && l.slot(s.offset) == 0 {
			missing = append(missing, s.name)
		}
	}
	if len(missing) > 0 {
		return libraryError(r, kv.Internal, "its table has NULL for the required %s", strings.Join(missing, ", "))
	}
	if unknown := l.api.Needs &^ hostFeatures; unknown != 0 {
		return libraryError(r, kv.Version, "it needs host features that this host does not have: bits %v of needs (%#x); update the host", bitNumbers(unknown), unknown)
	}
	l.minor = min(l.api.ABIMinor, cABIMinor)
	l.caps = kv.Caps(l.api.Caps) & knownCaps
	for _, s := range slots {
		if s.required {
			continue
		}
		switch there := l.slot(s.offset) != 0; {
		case l.caps.Has(s.cap) && !there:
			l.caps &^= s.cap
			r.warn("claims the capability %s, but its slot %s is missing", s.cap.Names()[0], s.name)
		case kv.Caps(l.api.Caps)&s.cap == 0 && there:
			r.warn("has the slot %s, but does not claim the capability %s", s.name, s.cap.Names()[0])
		}
	}
	l.threads = l.api.ThreadModel
	if l.threads > cThreadsParallel {
		r.warn("thread model %d is unknown, so its calls are made one at a time", l.threads)
		l.threads = cThreadsSerial
	}
	return nil
}

func (l *library) readTexts(p *peeker, r *Report) error {
	for _, t := range []struct {
		field string
		addr  uintptr
		limit int
		to    *string
	}{
		{"name", l.api.Name, maxName, &l.name},
		{"version", l.api.Version, maxName, &l.version},
		{"vendor", l.api.Vendor, maxName, &l.vendor},
		{"config_schema", l.api.ConfigSchema, maxSchema, &l.schemaText},
	} {
		if t.addr == 0 {
			if t.field == "name" {
				return libraryError(r, kv.Internal, "its table has NULL for name")
			}
			continue
		}
		text, err := p.text(t.addr, t.limit)
		if err != nil {
			return libraryError(r, kv.Internal, "%s of its table is not a string of at most %d bytes: %v", t.field, t.limit, err)
		}
		if t.field != "config_schema" {
			text = params.Printable(text)
		}
		*t.to = text
	}
	if l.name == "" || strings.Trim(l.name, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
		return libraryError(r, kv.Internal, "its table has the name %q, want characters of [a-z0-9_-]", l.name)
	}
	if l.schemaText == "" {
		return nil
	}
	var err error
	if l.schema, err = params.ParseSchema(l.schemaText); err != nil {
		return libraryError(r, kv.Internal, "its config_schema is broken: %v", err)
	}
	return nil
}

// describe writes the table into the report and compares it with the note.
func (l *library) describe(r *Report) {
	t := &Table{
		Size: l.api.StructSize, ABIMajor: l.api.ABIMajor, ABIMinor: l.api.ABIMinor, MinorInUse: l.minor,
		Name: l.name, Version: l.version, Vendor: l.vendor,
		Caps: l.caps.Names(), UnknownCaps: bitNumbers(l.api.Caps &^ uint64(knownCaps)), Needs: l.api.Needs,
		ThreadModel: threadModels[l.threads], Slots: []string{}, ConfigSchema: l.schemaText,
	}
	for _, s := range slots {
		if l.slot(s.offset) != 0 {
			t.Slots = append(t.Slots, s.name)
		}
	}
	r.Table = t
	n := r.Note
	if n == nil {
		return
	}
	differ := func(what string, note, table any) {
		if note != table {
			r.warn("its note says %s %v, its table %v", what, note, table)
		}
	}
	differ("ABI minor", n.ABIMinor, t.ABIMinor)
	differ("table size", n.TableSize, t.Size)
	differ("capabilities", fmt.Sprintf("%#x", uint64(n.Caps)), fmt.Sprintf("%#x", l.api.Caps))
	differ("name", n.Product, t.Name)
	differ("version", n.Version, t.Version)
	differ("vendor", n.Vendor, t.Vendor)
}

func bitNumbers(mask uint64) (numbers []int) {
	for ; mask != 0; mask &= mask - 1 {
		numbers = append(numbers, bits.TrailingZeros64(mask))
	}
	return numbers
}

func libraryError(r *Report, code kv.Code, format string, args ...any) error {
	return &kv.Error{Op: "load", Connector: r.Path, Code: code, Err: errors.New(params.Printable(fmt.Sprintf(format, args...)))}
}
