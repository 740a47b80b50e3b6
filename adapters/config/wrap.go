package config

import (
	"context"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/adapters/l2/eviction"
	"github.com/sixcall/sixcall/bridge/kv"
)

// evictingNative is a native adapter with its eviction.
type evictingNative struct {
	*l2.NativeAdapter
	controller *eviction.Controller
}

// evictingAdapter is any other adapter with its eviction.
type evictingAdapter struct {
	l2.Adapter
	controller *eviction.Controller
}

// evictFrom starts eviction from adapter, if it is configured. An error closes
// the adapter.
func (b Builder) evictFrom(adapter l2.Adapter, e *Eviction) (l2.Adapter, error) {
	if e == nil || e.Policy == eviction.PolicyNoop {
		return adapter, nil
	}
	controller, err := eviction.NewController(eviction.Options{Quotas: b.Quotas, Logger: b.Logger})
	if err == nil {
		err = controller.Add(b.Instance, adapter, eviction.Config{
			Policy: e.Policy, TriggerWatermark: e.TriggerWatermark, EvictionRatio: e.Ratio,
		})
		if err != nil {
			controller.Close()
		}
	}
	if err != nil {
		_ = adapter.Close()
		return nil, err
	}
	native, ok := adapter.(*l2.NativeAdapter)
	if !ok {
		return &evictingAdapter{adapter, controller}, nil
	}
	if native.SupportsGlobalEviction() {
		native.SetRoomMaker(func(ctx context.Context, bytes int64) error {
			return controller.MakeRoom(ctx, b.Instance, bytes)
		})
	}
	return &evictingNative{native, controller}, nil
}

// Close ends the eviction first, so that nothing is deleted from a closed adapter.
func (a *evictingNative) Close() error {
	a.controller.Close()
	return a.NativeAdapter.Close()
}

// Status adds the state of the eviction.
func (a *evictingNative) Status() map[string]any {
	return withEviction(a.NativeAdapter.Status(), a.controller)
}

// Close ends the eviction first, so that nothing is deleted from a closed adapter.
func (a *evictingAdapter) Close() error {
	a.controller.Close()
	return a.Adapter.Close()
}

// Status adds the state of the eviction.
func (a *evictingAdapter) Status() map[string]any {
	return withEviction(a.Adapter.Status(), a.controller)
}

func withEviction(status map[string]any, c *eviction.Controller) map[string]any {
	status["eviction"] = c.Status()
	return status
}

// waitingAdapter is an adapter that has only event fds, with a client beside it.
type waitingAdapter struct {
	l2.Adapter
	client *l2.WaitingClient
}

// waiting puts a client beside an adapter. An error closes it.
func waiting(adapter l2.Adapter) (Adapter, error) {
	client, err := l2.NewClient(adapter)
	if err != nil {
		_ = adapter.Close()
		return nil, err
	}
	return &waitingAdapter{adapter, client}, nil
}

func (a *waitingAdapter) Store(ctx context.Context, keys []kv.Key, values []kv.Buffer) (kv.StoreResult, error) {
	return a.client.Store(ctx, keys, values)
}

func (a *waitingAdapter) Lookup(ctx context.Context, keys []kv.Key) (kv.Bitmap, error) {
	return a.client.Lookup(ctx, keys)
}

func (a *waitingAdapter) Unlock(keys []kv.Key) { a.client.Unlock(keys) }

func (a *waitingAdapter) Load(ctx context.Context, keys []kv.Key, bufs []kv.Buffer) (kv.Bitmap, error) {
	return a.client.Load(ctx, keys, bufs)
}

func (a *waitingAdapter) Close() error {
	a.client.Close()
	return a.Adapter.Close()
}
