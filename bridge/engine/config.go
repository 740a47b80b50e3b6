package engine

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Config is what plugins see of LMCache's configuration. Package adapters/config
// reads it.
type Config struct {
	ChunkSize            int
	LocalCPU             bool
	MaxLocalCPUSize      float64 // GiB
	LocalDisk            []string
	LocalDiskSharding    string
	MaxLocalDiskSize     float64 // GiB
	RemoteURL            string
	RemoteSerde          string
	UseLayerwise         bool
	SaveUnfullChunk      bool
	RetrieveLocations    []string
	StoreLocation        string
	BlockingTimeout      time.Duration
	CachePolicy          string
	EnablePD             bool
	StoragePlugins       []string
	RemoteStoragePlugins []string
	PluginLocations      []string
	InstanceID           string
	NixlBufferDevice     string
	NixlBufferSize       int64 // bytes
	AuditRemoteURL       string
	PinTimeout           time.Duration
	// Extra is extra_config: flat dotted keys. Numbers are int64 or float64.
	Extra map[string]any
	// All is the whole configuration under LMCache's names, for plugin scripts.
	All map[string]any
}

// DefaultConfig returns LMCache's defaults.
func DefaultConfig() Config {
	return Config{
		ChunkSize: 256, LocalCPU: true, MaxLocalCPUSize: 5, LocalDiskSharding: "by_gpu", RemoteSerde: "naive",
		BlockingTimeout: 10 * time.Second, CachePolicy: "LRU", PinTimeout: 300 * time.Second,
	}
}

// ExtraString returns a text of extra_config, "" if there is none. Numbers and
// booleans are written out.
func (c *Config) ExtraString(key string) string {
	switch v := c.Extra[key].(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return fmt.Sprint(v)
	}
}

// ExtraBool returns a boolean of extra_config: true, or the texts true and 1.
func (c *Config) ExtraBool(key string, def bool) bool {
	switch v := c.Extra[key].(type) {
	case nil:
		return def
	case bool:
		return v
	default:
		text := strings.ToLower(fmt.Sprint(v))
		return text == "true" || text == "1"
	}
}

// ExtraNumber returns a number of extra_config, or def when there is none.
func (c *Config) ExtraNumber(key string, def float64) (float64, error) {
	switch v := c.Extra[key].(type) {
	case nil:
		return def, nil
	case float64:
		return v, nil
	case int64:
		return float64(v), nil
	case int:
		return float64(v), nil
	case string:
		n, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		if err == nil {
			return n, nil
		}
	}
	return def, fmt.Errorf("extra_config %s is %v, want a number", key, c.Extra[key])
}

// SavesChunkMeta reports whether connectors store a header before each value.
func (c *Config) SavesChunkMeta() bool {
	return c.UseLayerwise || c.ExtraBool("save_chunk_meta", true)
}
