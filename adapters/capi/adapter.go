package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sixcall/sixcall/adapters/config"
	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/kv"
)

// adapter is one open L2 adapter of the host.
type adapter struct {
	l2.Adapter
	looker looker // nil: it only signals
	listen sync.Once
	events *events

	mu     sync.Mutex // guards what follows
	stores []store    // popped, and not yet handed to the host
	kept   map[kept]kv.Bitmap
}

// looker is an adapter whose caller may look for a completion before it waits.
type looker interface{ Look(kind bridge.Kind) bool }

// kept names a result that did not fit into the host's memory at first.
type kept struct {
	load bool
	task kv.TaskID
}

type store struct {
	task   kv.TaskID
	result int64
}

// adapters are those that are open, by handle.
var adapters struct {
	sync.RWMutex
	last uint64
	open map[uint64]*adapter
}

func find(handle uint64) *adapter {
	adapters.RLock()
	defer adapters.RUnlock()
	return adapters.open[handle]
}

// request is what the host asks for.
type request struct {
	Adapter    json.RawMessage `json:"adapter"`     // an --l2-adapter value
	SearchPath []string        `json:"search_path"` // folders with connectors
	Worker     string          `json:"worker"`      // the worker program, "" = search it
}

// open makes an adapter. l1 is the host's memory, nil when it is not known.
func open(text string, l1 []byte) (handle uint64, a *adapter, err error) {
	var r request
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return 0, nil, &kv.Error{Op: "open", Code: kv.Invalid, Err: err}
	}
	values, err := config.ParseL2Adapters([]string{string(r.Adapter)})
	if err != nil {
		return 0, nil, &kv.Error{Op: "open", Code: kv.Config, Err: err}
	}
	useWorker(&values[0], r.Worker)
	builder := config.Builder{Logger: newLogger(), HostMemory: l1, SearchPath: r.SearchPath}
	built, err := builder.BuildPolled(context.Background(), values[0])
	if err != nil {
		return 0, nil, err
	}
	a = &adapter{Adapter: built, events: newEvents(), kept: map[kept]kv.Bitmap{}}
	a.looker, _ = built.(looker)
	adapters.Lock()
	defer adapters.Unlock()
	if adapters.open == nil {
		adapters.open = map[uint64]*adapter{}
	}
	adapters.last++
	adapters.open[adapters.last] = a
	return adapters.last, a, nil
}

// useWorker names the worker program where the configuration does not.
func useWorker(cfg *config.L2Adapter, program string) {
	if cfg.NativePlugin != nil && cfg.NativePlugin.Worker.Program == "" {
		cfg.NativePlugin.Worker.Program = program
	}
	if cfg.FaultInject != nil && cfg.FaultInject.Inner != nil {
		useWorker(cfg.FaultInject.Inner, program)
	}
}

// newLogger writes to standard error, as LMCache does; SIXCALL_LOG_LEVEL is one of
// zap's levels. Default: info.
func newLogger() *zap.Logger {
	level := zapcore.InfoLevel
	if text := os.Getenv("SIXCALL_LOG_LEVEL"); text != "" {
		if err := level.UnmarshalText([]byte(text)); err != nil {
			level = zapcore.InfoLevel
		}
	}
	encoding := zap.NewProductionEncoderConfig()
	encoding.EncodeTime = zapcore.ISO8601TimeEncoder
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(encoding), zapcore.Lock(os.Stderr), level)).Named("sixcall")
}

// query returns a result if it has at most max bits, and only its length otherwise.
func (a *adapter) query(load bool, task kv.TaskID, limit int) (bits kv.Bitmap, ok bool) {
	name := kept{load, task}
	a.mu.Lock()
	defer a.mu.Unlock()
	if bits, ok = a.kept[name]; ok {
		delete(a.kept, name)
	} else if load {
		bits, ok = a.QueryLoadResult(task)
	} else {
		bits, ok = a.QueryLookupAndLockResult(task)
	}
	if ok && bits.Len() > limit {
		a.kept[name] = bits
	}
	return bits, ok
}

// popStores returns at most n results.
func (a *adapter) popStores(n int) []store {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.stores) == 0 {
		for task, r := range a.PopCompletedStoreTasks() {
			a.stores = append(a.stores, store{task, r.Encoded()})
		}
	}
	out := a.stores[:min(n, len(a.stores))]
	a.stores = a.stores[len(out):]
	return out
}

// delete removes keys; an error says how many could not be.
func (a *adapter) delete(keys []kv.Key) error {
	r, err := a.Delete(context.Background(), keys)
	if err == nil && r.Failed > 0 {
		err = &kv.Error{Op: "delete", Code: kv.IO, Err: fmt.Errorf("%d of %d keys failed", r.Failed, len(keys))}
	}
	return err
}

// What describe can tell.
const (
	describeStatus = 1
	describeUsage  = 2
	describeList   = 3
	startEvents    = 4
	setIdentity    = 5
)

// describe returns JSON about the adapter.
func (a *adapter) describe(what int, arguments []byte) ([]byte, error) {
	switch what {
	case describeStatus:
		return json.Marshal(printable(a.Status()))
	case describeUsage:
		u := a.Usage()
		return json.Marshal(map[string]any{"used": u.BytesUsed, "capacity": u.BytesCapacity, "salts": u.BytesBySalt})
	case describeList:
		var q struct {
			Model    string `json:"model"`
			PageSize int    `json:"page_size"`
			Cursor   string `json:"cursor"`
		}
		if err := json.Unmarshal(arguments, &q); err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		page, err := a.ListKeys(ctx, q.Model, q.PageSize, q.Cursor)
		if err != nil {
			return nil, err
		}
		return json.Marshal(struct {
			Entries []l2.KeyEntry `json:"entries"`
			Next    string        `json:"next"`
		}{page.Entries, page.NextPageToken})
	case startEvents:
		a.listen.Do(func() { a.RegisterListener(a.events) })
		return []byte("{}"), nil
	case setIdentity:
		var q struct {
			Name   string `json:"name"`
			Shared bool   `json:"shared"`
		}
		if err := json.Unmarshal(arguments, &q); err != nil {
			return nil, err
		}
		return []byte("{}"), a.SetBackendIdentity(q.Name, q.Shared)
	}
	return nil, fmt.Errorf("describe %d is unknown", what)
}

// printable makes errors in a status text, and maps with keys that JSON does not have
// lists of pairs.
func printable(status map[string]any) map[string]any {
	out := make(map[string]any, len(status))
	for key, value := range status {
		if err, ok := value.(error); ok {
			value = err.Error()
		}
		if _, err := json.Marshal(value); err != nil {
			value = fmt.Sprint(value)
		}
		out[key] = value
	}
	return out
}

// close answers what is in flight and ends the connector.
func (a *adapter) close() error {
	err := a.Close()
	a.events.close()
	return err
}

// codeOf returns the code of an error for the host.
func codeOf(err error) kv.Code {
	var known *kv.Error
	switch {
	case errors.As(err, &known):
		return known.Code
	case errors.Is(err, context.DeadlineExceeded):
		return kv.Timeout
	}
	return kv.Internal
}
