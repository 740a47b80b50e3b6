package remote

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/sixcall/sixcall/bridge/engine"
)

// Connector is one connection to remote storage: LMCache's RemoteConnector with its
// six methods. All are called from several goroutines at once, and return soon
// after ctx ended. What a connector can do beyond them it offers through the
// interfaces below.
type Connector interface {
	// Exists reports whether key is stored.
	Exists(ctx context.Context, key engine.Key) (bool, error)
	// ExistsSync is Exists for callers without a context.
	ExistsSync(key engine.Key) (bool, error)
	// Get returns the object with one reference, the caller's; nil = not stored.
	Get(ctx context.Context, key engine.Key) (*engine.Object, error)
	// Put stores obj before it returns. It keeps no reference.
	Put(ctx context.Context, key engine.Key, obj *engine.Object) error
	// List returns the texts of the stored keys, nil if the storage cannot tell.
	List(ctx context.Context) ([]string, error)
	// Close ends the connection.
	Close(ctx context.Context) error
}

// Pinger is implemented by connectors that can be asked for a sign of life.
type Pinger interface {
	// Ping returns 0 for health, else the backend's own code.
	Ping(ctx context.Context) (code int, err error)
}

// BatchGetter reads many keys at once: one element per key, nil for a miss.
type BatchGetter interface {
	BatchedGet(ctx context.Context, keys []engine.Key) ([]*engine.Object, error)
}

// BatchPutter stores many objects at once. The error is of the first key that
// failed; which ones did, [KeyErrors] says.
type BatchPutter interface {
	BatchedPut(ctx context.Context, keys []engine.Key, objs []*engine.Object) error
}

// BatchContainer counts the leading keys that are stored.
type BatchContainer interface {
	BatchedContains(ctx context.Context, keys []engine.Key) (int, error)
}

// AsyncContainer is BatchContainer for lookups that belong to a request. Without it
// Exists is called for all keys at once.
type AsyncContainer interface {
	BatchedAsyncContains(ctx context.Context, lookupID string, keys []engine.Key, pin bool) (int, error)
}

// NonBlockingGetter reads for a request. The result is the leading run of hits,
// never a hit behind a miss. Without it Get is called for all keys at once.
type NonBlockingGetter interface {
	BatchedGetNonBlocking(ctx context.Context, lookupID string, keys []engine.Key) ([]*engine.Object, error)
}

// Remover removes single keys.
type Remover interface {
	RemoveSync(key engine.Key) (bool, error)
}

// KeyErrors is an error of a batch that tells which keys failed.
type KeyErrors map[engine.Key]error

func (e KeyErrors) Error() string {
	for k, err := range e {
		return fmt.Sprintf("%d keys failed, one of them %s: %v", len(e), k, err)
	}
	return "no key failed"
}

// Unwrap returns the causes.
func (e KeyErrors) Unwrap() []error {
	var errs []error
	for _, err := range e {
		errs = append(errs, err)
	}
	return errs
}

// Abilities says what a connector offers beyond the six methods: LMCache's
// support_ flags.
type Abilities struct {
	Ping, BatchedGet, BatchedPut, BatchedContains bool
	// These two are always true: there is a way to do it for every connector.
	BatchedAsyncContains, BatchedGetNonBlocking bool
	Remove                                      bool
}

// AbilitiesOf looks at the methods of c.
func AbilitiesOf(c Connector) (a Abilities) {
	_, a.Ping = c.(Pinger)
	_, a.BatchedGet = c.(BatchGetter)
	_, a.BatchedPut = c.(BatchPutter)
	_, a.BatchedContains = c.(BatchContainer)
	_, a.Remove = c.(Remover)
	a.BatchedAsyncContains, a.BatchedGetNonBlocking = true, true
	return a
}

// What can be wrong with a connector. Errors match one of these.
var (
	ErrURL          = errors.New("bad URL")
	ErrConfig       = errors.New("bad configuration")
	ErrModule       = errors.New("module not found")
	ErrClass        = errors.New("class not found")
	ErrType         = errors.New("not a RemoteConnector")
	ErrNoAdapter    = errors.New("no connector adapter for this URL")
	ErrDisconnected = errors.New("the remote storage is not connected")
)

// asConnector checks what a factory made, and says which methods it lacks.
func asConnector(v any) (Connector, error) {
	want := reflect.TypeFor[Connector]()
	r := reflect.ValueOf(v)
	if !r.IsValid() || r.Kind() == reflect.Pointer && r.IsNil() {
		return nil, fmt.Errorf("%w: it is nil", ErrType)
	}
	if c, ok := v.(Connector); ok {
		return c, nil
	}
	var missing []string
	for i := range want.NumMethod() {
		w := want.Method(i)
		if m := r.MethodByName(w.Name); !m.IsValid() {
			missing = append(missing, w.Name)
		} else if m.Type() != w.Type {
			missing = append(missing, fmt.Sprintf("%s as %s", w.Name, w.Type))
		}
	}
	return nil, fmt.Errorf("%w: %T lacks %s", ErrType, v, strings.Join(missing, ", "))
}
