package l2

// Status implements [Adapter]. is_healthy and type are LMCache's; the rest says
// what its adapters keep to themselves.
func (a *NativeAdapter) Status() map[string]any {
	health, stats, usage, info := a.bridge.Health(), a.bridge.Stats(), a.bridge.Usage(), a.bridge.Info()
	name, shared := a.BackendIdentity()
	return map[string]any{
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
}
