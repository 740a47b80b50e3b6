package inmemory

import (
	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/kv"
)

// The rest of [l2.Adapter] is that of the task table and of the accounts.

// StoreEventFD implements [l2.Adapter].
func (a *Adapter) StoreEventFD() int { return a.tasks.Notifiers().StoreEventFD() }

// LookupAndLockEventFD implements [l2.Adapter].
func (a *Adapter) LookupAndLockEventFD() int { return a.tasks.Notifiers().LookupAndLockEventFD() }

// LoadEventFD implements [l2.Adapter].
func (a *Adapter) LoadEventFD() int { return a.tasks.Notifiers().LoadEventFD() }

// PopCompletedStoreTasks implements [l2.Adapter].
func (a *Adapter) PopCompletedStoreTasks() map[kv.TaskID]kv.StoreResult {
	return a.tasks.PopCompletedStoreTasks()
}

// QueryLookupAndLockResult implements [l2.Adapter].
func (a *Adapter) QueryLookupAndLockResult(id kv.TaskID) (kv.Bitmap, bool) {
	return a.tasks.QueryLookupAndLockResult(id)
}

// QueryLoadResult implements [l2.Adapter].
func (a *Adapter) QueryLoadResult(id kv.TaskID) (kv.Bitmap, bool) { return a.tasks.QueryLoadResult(id) }

// RegisterListener implements [l2.Adapter].
func (a *Adapter) RegisterListener(l l2.Listener) { a.accounts.RegisterListener(l) }

// SupportsGlobalEviction implements [l2.Adapter].
func (a *Adapter) SupportsGlobalEviction() bool { return a.accounts.SupportsGlobalEviction() }
