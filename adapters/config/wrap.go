package config

import (
	"context"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/adapters/l2/eviction"
	"github.com/sixcall/sixcall/bridge/kv"
)

// evicting is a native adapter with its eviction.
type evicting struct {
	*l2.NativeAdapter
	controller *eviction.Controller
}

// evicting starts eviction from adapter. An error closes it.
func (b Builder) evicting(adapter *l2.NativeAdapter, e *Eviction) (Adapter, error) {
	controller, err := eviction.NewController(eviction.Options{Quotas: b.Quotas, Logger: b.Logger})
	if err != nil {
		_ = adapter.Close()
		return nil, err
	}
	a := &evicting{adapter, controller}
	err = controller.Add(b.Instance, adapter, eviction.Config{
		Policy: e.Policy, TriggerWatermark: e.TriggerWatermark, EvictionRatio: e.Ratio,
	})
	if err != nil {
		_ = a.Close()
		return nil, err
	}
	if adapter.SupportsGlobalEviction() {
		adapter.SetRoomMaker(func(ctx context.Context, bytes int64) error {
			return controller.MakeRoom(ctx, b.Instance, bytes)
		})
	}
	return a, nil
}

// Close ends the eviction first, so that nothing is deleted from a closed adapter.
func (a *evicting) Close() error {
	a.controller.Close()
	return a.NativeAdapter.Close()
}

// Status adds the state of the eviction.
func (a *evicting) Status() map[string]any {
	status := a.NativeAdapter.Status()
	status["eviction"] = a.controller.Status()
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
