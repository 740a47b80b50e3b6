package l2

import "maps"

// Status implements [Adapter]. is_healthy and type are LMCache's; the rest says
// what its adapters keep to themselves.
func (a *NativeAdapter) Status() map[string]any {
	health, stats, usage, info := a.bridge.Health(), a.bridge.Stats(), a.bridge.Usage(), a.bridge.Info()
	name, shared := a.BackendIdentity()
	status := map[string]any{
		"is_healthy":        health.Healthy(),
		"type":              info.Name,
		"name":              name,
		"shared":            shared,
		"state":             health.State,
		"reason":            health.Reason,
		"since":             health.Since.UTC(),
		"connector_version": info.Version,
		"capabilities":      info.Caps.Names(),
		"bytes_used":        usage.BytesUsed,
		"bytes_capacity":    usage.BytesCapacity,
		"keys":              usage.Keys,
		"in_flight":         stats.InFlight,
		"backlog":           stats.Backlog,
		"quarantined":       stats.Quarantined,
		"late":              stats.Late,
		"pins":              stats.Pins,
		"corrupt":           stats.Corrupt,
		"hidden_keys":       stats.Hidden,
		"key_failures":      stats.KeyFailures,
		"capacity_refused":  stats.Capacity,
		"copied_bytes":      stats.CopiedBytes,
		"listener_panics":   stats.Panics,
		"misbehaviour":      stats.Misbehaviour,
		"classes":           stats.Classes,
		"last_error":        stats.LastError,
	}
	if extra := a.extraStatus.Load(); extra != nil {
		maps.Copy(status, (*extra)())
	}
	return status
}

// SetExtraStatus adds what extra returns to every [NativeAdapter.Status], over what
// is there, as LMCache's extra_status does. extra is called from any goroutine.
func (a *NativeAdapter) SetExtraStatus(extra func() map[string]any) { a.extraStatus.Store(&extra) }
