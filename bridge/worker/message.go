//go:build linux && (amd64 || arm64)

package worker

import (
	"bytes"
	"errors"
	"fmt"

	flatbuffers "github.com/google/flatbuffers/go"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/worker/wire"
)

// The protocol of native/worker/PROTOCOL.md that this side speaks.
const (
	protocolMajor = 1
	protocolMinor = 1

	maxMessage    = 64 << 10 // bytes
	messageMark   = "6CWK"
	maxTexts      = 64 // of one list
	maxTextLength = 4 << 10
)

// What this side asks.
type (
	loadRequest struct {
		hostVersion, library string
		identity             fileIdentity
		logLevel             int32
		spinNS               uint32
		coreDumps            bool
		memoryLimit          uint64
		allowExec            bool
		keepHandlers         bool
	}
	openRequest struct {
		configLen             uint64
		instance              string
		maxInFlight, maxBatch uint32
		valueLenHint          uint64
		openTimeoutMS         uint32
	}
	mapRequest struct {
		len, offset uint64
		register    bool
	}
	unmapRequest struct{ base, len, handle uint64 }
	pingRequest  struct{}
	usageRequest struct{}
	statsRequest struct{}
	listRequest  struct {
		cursor    []byte
		timeoutMS uint32
	}
	closeRequest struct{ graceMS uint32 }
)

// What the worker says.
type (
	hello struct {
		major, minor uint16
		version      string
		pid          int
	}
	loaded struct {
		name, version, vendor string
		caps                  kv.Caps
		schema                string
		changed, warnings     []string
	}
	opened struct {
		limits            kv.Limits
		changed, warnings []string
	}
	mapped     struct{ base, handle uint64 }
	pong       struct{}
	usageReply struct{ used, capacity, keys uint64 }
	statsReply struct{ text string }
	listReply  struct {
		n               uint32
		entries, cursor []byte
		last            bool
	}
	done   struct{}
	failed struct {
		code, vendorCode int32
		text             string
	}
	logLine struct {
		level   int
		text    string
		dropped uint64
	}
)

// answers says which message answers a request.
func answers(request, reply any) bool {
	var ok bool
	switch request.(type) {
	case loadRequest:
		_, ok = reply.(loaded)
	case openRequest:
		_, ok = reply.(opened)
	case mapRequest:
		_, ok = reply.(mapped)
	case pingRequest:
		_, ok = reply.(pong)
	case usageRequest:
		_, ok = reply.(usageReply)
	case statsRequest:
		_, ok = reply.(statsReply)
	case listRequest:
		_, ok = reply.(listReply)
	case unmapRequest, closeRequest:
		_, ok = reply.(done)
	}
	return ok
}

// encode writes a request as a message.
func encode(id uint64, request any) []byte {
	b := flatbuffers.NewBuilder(512)
	var kind wire.Body
	var body flatbuffers.UOffsetT
	switch r := request.(type) {
	case loadRequest:
		kind, body = wire.BodyLoad, encodeLoad(b, r)
	case openRequest:
		instance := flatbuffers.UOffsetT(0)
		if r.instance != "" {
			instance = b.CreateString(r.instance)
		}
		wire.OpenStart(b)
		wire.OpenAddConfigLen(b, r.configLen)
		wire.OpenAddInstance(b, instance)
		wire.OpenAddMaxInflight(b, r.maxInFlight)
		wire.OpenAddMaxBatch(b, r.maxBatch)
		wire.OpenAddValueLenHint(b, r.valueLenHint)
		wire.OpenAddOpenTimeoutMs(b, r.openTimeoutMS)
		kind, body = wire.BodyOpen, wire.OpenEnd(b)
	case mapRequest:
		wire.MapStart(b)
		wire.MapAddLen(b, r.len)
		wire.MapAddOffset(b, r.offset)
		wire.MapAddRegister(b, r.register)
		kind, body = wire.BodyMap, wire.MapEnd(b)
	case unmapRequest:
		wire.UnmapStart(b)
		wire.UnmapAddBase(b, r.base)
		wire.UnmapAddLen(b, r.len)
		wire.UnmapAddHandle(b, r.handle)
		kind, body = wire.BodyUnmap, wire.UnmapEnd(b)
	case pingRequest:
		wire.PingStart(b)
		kind, body = wire.BodyPing, wire.PingEnd(b)
	case usageRequest:
		wire.UsageStart(b)
		kind, body = wire.BodyUsage, wire.UsageEnd(b)
	case statsRequest:
		wire.StatsStart(b)
		kind, body = wire.BodyStats, wire.StatsEnd(b)
	case listRequest:
		cursor := b.CreateByteVector(r.cursor)
		wire.ListStart(b)
		wire.ListAddCursor(b, cursor)
		wire.ListAddTimeoutMs(b, r.timeoutMS)
		kind, body = wire.BodyList, wire.ListEnd(b)
	case closeRequest:
		wire.CloseStart(b)
		wire.CloseAddGraceMs(b, r.graceMS)
		kind, body = wire.BodyClose, wire.CloseEnd(b)
	default:
		panic(fmt.Sprintf("worker: no message for %T", request))
	}
	wire.MessageStart(b)
	wire.MessageAddId(b, id)
	wire.MessageAddBodyType(b, kind)
	wire.MessageAddBody(b, body)
	b.FinishWithFileIdentifier(wire.MessageEnd(b), []byte(messageMark))
	return b.FinishedBytes()
}

func encodeLoad(b *flatbuffers.Builder, r loadRequest) flatbuffers.UOffsetT {
	version, library := b.CreateString(r.hostVersion), b.CreateString(r.library)
	wire.LoadStart(b)
	wire.LoadAddProtocolMinor(b, protocolMinor)
	wire.LoadAddHostVersion(b, version)
	wire.LoadAddLibrary(b, library)
	id := r.identity
	wire.LoadAddIdentity(b, wire.CreateFileIdentity(b, id.dev, id.ino, id.size, id.mtimeNS))
	wire.LoadAddLogLevel(b, r.logLevel)
	wire.LoadAddSpinNs(b, r.spinNS)
	wire.LoadAddCoreDumps(b, r.coreDumps)
	wire.LoadAddMemoryLimit(b, r.memoryLimit)
	wire.LoadAddAllowExec(b, r.allowExec)
	wire.LoadAddKeepHandlers(b, r.keepHandlers)
	return wire.LoadEnd(b)
}

// decode reads a message of the worker, which may be anything. What it returns
// shares nothing with data.
func decode(data []byte) (id uint64, body any, err error) {
	defer func() {
		// FlatBuffers has no verifier for Go; its accessors panic on a bad offset.
		if p := recover(); p != nil {
			err = fmt.Errorf("a message of %d bytes that does not decode: %v", len(data), p)
		}
	}()
	if len(data) < 8 || string(data[4:8]) != messageMark {
		return 0, nil, fmt.Errorf("a message of %d bytes without the mark %q", len(data), messageMark)
	}
	m := wire.GetRootAsMessage(data, 0)
	var table flatbuffers.Table
	if !m.Body(&table) {
		return 0, nil, errors.New("a message without a body")
	}
	body, err = decodeBody(m.BodyType(), &table)
	return m.Id(), body, err
}

func decodeBody(kind wire.Body, table *flatbuffers.Table) (any, error) {
	data, pos := table.Bytes, table.Pos
	switch kind {
	case wire.BodyHello:
		var m wire.Hello
		m.Init(data, pos)
		return hello{m.ProtocolMajor(), m.ProtocolMinor(), text(m.Version()), int(m.Pid())}, nil
	case wire.BodyLoaded:
		var m wire.Loaded
		m.Init(data, pos)
		return loaded{
			name: text(m.Name()), version: text(m.Version()), vendor: text(m.Vendor()),
			caps: kv.Caps(m.Caps()), schema: string(m.ConfigSchema()),
			changed: texts(m.ChangedLength(), m.Changed), warnings: texts(m.WarningsLength(), m.Warnings),
		}, nil
	case wire.BodyOpened:
		var m wire.Opened
		m.Init(data, pos)
		return opened{limitsOf(m.Limits(nil)), texts(m.ChangedLength(), m.Changed), texts(m.WarningsLength(), m.Warnings)}, nil
	case wire.BodyMapped:
		var m wire.Mapped
		m.Init(data, pos)
		return mapped{m.Base(), m.Handle()}, nil
	case wire.BodyPong:
		return pong{}, nil // the ring has the same, and newer
	case wire.BodyUsageReply:
		var m wire.UsageReply
		m.Init(data, pos)
		return usageReply{m.BytesUsed(), m.BytesCapacity(), m.Keys()}, nil
	case wire.BodyStatsReply:
		var m wire.StatsReply
		m.Init(data, pos)
		return statsReply{string(m.Text())}, nil
	case wire.BodyListReply:
		var m wire.ListReply
		m.Init(data, pos)
		return listReply{m.N(), bytes.Clone(m.EntriesBytes()), bytes.Clone(m.CursorBytes()), m.Last()}, nil
	case wire.BodyDone:
		return done{}, nil
	case wire.BodyFailed:
		var m wire.Failed
		m.Init(data, pos)
		return failed{m.Code(), m.VendorCode(), text(m.Text())}, nil
	case wire.BodyLog:
		var m wire.Log
		m.Init(data, pos)
		return logLine{int(m.Level()), text(m.Text()), m.Dropped()}, nil
	}
	return nil, fmt.Errorf("a message of kind %d, which is none of a worker", kind)
}

// text copies a text, cut.
func text(b []byte) string { return string(b[:min(len(b), maxTextLength)]) }

// texts copies a list, cut: its length may be a lie of any size.
func texts(n int, at func(int) []byte) (out []string) {
	for i := range min(n, maxTexts) {
		out = append(out, text(at(i)))
	}
	return out
}
