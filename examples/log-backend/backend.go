package logbackend

import (
	"context"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/adapters/storage"
	"github.com/sixcall/sixcall/bridge/engine"
)

// The names under which configurations know the backend.
const (
	ModulePath = "lmc_external_log_backend.lmc_external_log_backend"
	ClassName  = "ExternalLogBackend"
)

// Backend logs every call and keeps nothing. Safe for concurrent use.
type Backend struct{ log *zap.Logger }

// New is the factory: what a program registers.
func New(pc storage.PluginContext) (any, error) {
	return &Backend{log: pc.Logger.With(zap.String("backend", pc.Name))}, nil
}

// Register makes the backend known to a program.
func Register(r *storage.Registry) error { return r.Register(ModulePath, ClassName, New) }

var _ storage.Backend = (*Backend)(nil)

// Contains logs the key and finds nothing.
func (b *Backend) Contains(_ context.Context, key engine.Key, pin bool) (bool, error) {
	b.log.Info("contains", zap.Stringer("key", key), zap.Bool("pin", pin))
	return false, nil
}

// InPutTasks logs the key; nothing is ever being written.
func (b *Backend) InPutTasks(key engine.Key) bool {
	b.log.Info("exists_in_put_tasks", zap.Stringer("key", key))
	return false
}

// SubmitPut logs a line for each pair and keeps none. done says that there is
// nothing more to wait for.
func (b *Backend) SubmitPut(_ context.Context, keys []engine.Key, objs []*engine.Object, done func(engine.Key, error)) error {
	for i, key := range keys {
		b.log.Info("batched_submit_put_task", zap.Stringer("key", key), zap.Any("shapes", objs[i].Layout().Shapes))
		if done != nil {
			done(key, nil)
		}
	}
	return nil
}

// Get logs the key and misses.
func (b *Backend) Get(_ context.Context, key engine.Key) (*engine.Object, error) {
	b.log.Info("get_blocking", zap.Stringer("key", key))
	return nil, nil
}

// Pin logs the key.
func (b *Backend) Pin(key engine.Key) bool {
	b.log.Info("pin", zap.Stringer("key", key))
	return true
}

// Unpin logs the key.
func (b *Backend) Unpin(key engine.Key) bool {
	b.log.Info("unpin", zap.Stringer("key", key))
	return true
}

// Remove logs the key. As in the original it claims success.
func (b *Backend) Remove(_ context.Context, key engine.Key, force bool) (bool, error) {
	b.log.Info("remove", zap.Stringer("key", key), zap.Bool("force", force))
	return true, nil
}

// Close logs the end.
func (b *Backend) Close() error {
	b.log.Info("close")
	return nil
}
