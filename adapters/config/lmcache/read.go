package lmcache

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sixcall/sixcall/adapters/config"
	"github.com/sixcall/sixcall/bridge/engine"
)

// The environment variable that names the file, and what begins those of settings.
const (
	FileVariable = "LMCACHE_CONFIG_FILE"
	prefix       = "LMCACHE_"
)

// Options says where the configuration is.
type Options struct {
	// File is the path of the YAML or JSON file. Default: what FileVariable names;
	// without that, no file.
	File string
	// Environ is the environment, as os.Environ returns it. Default: that.
	Environ []string
}

// Config is a configuration that was read. Values are under LMCache's names.
type Config struct {
	engine.Config
	// Warnings say what was not taken as it stands: unknown and older names, values
	// that cannot be read, settings without an effect here. No line holds a secret.
	Warnings []string

	values map[string]any
}

// Load reads the configuration: the file, then environment variables over it. An
// error is one of the file; a value that cannot be read is a warning and leaves the
// default, as in LMCache.
func Load(o Options) (*Config, error) {
	if o.Environ == nil {
		o.Environ = os.Environ()
	}
	env := map[string]string{}
	var order []string
	for _, line := range o.Environ {
		if name, value, ok := strings.Cut(line, "="); ok && strings.HasPrefix(name, prefix) {
			env[name] = value
			order = append(order, name)
		}
	}
	if o.File == "" {
		o.File = env[FileVariable]
	}
	c := &Config{values: map[string]any{}}
	for _, f := range fields {
		c.values[f.name] = f.def
	}
	if o.File != "" {
		text, err := os.ReadFile(o.File)
		if err != nil {
			return nil, err
		}
		if err := c.file(text); err != nil {
			return nil, fmt.Errorf("%s: %w", o.File, err)
		}
	}
	c.environment(env, order)
	c.finish()
	return c, nil
}

// Parse reads the text of a file, and no environment.
func Parse(text []byte) (*Config, error) {
	c := &Config{values: map[string]any{}}
	for _, f := range fields {
		c.values[f.name] = f.def
	}
	if err := c.file(text); err != nil {
		return nil, err
	}
	c.finish()
	return c, nil
}

func (c *Config) warn(format string, args ...any) {
	c.Warnings = append(c.Warnings, fmt.Sprintf(format, args...))
}

func (c *Config) file(text []byte) error {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return err
	}
	if len(doc.Content) == 0 {
		return nil // an empty file
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return errors.New("the file is not a map of settings")
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		name := root.Content[i].Value
		if seen[name] {
			c.warn("line %d: %s is given more than once; the last one counts", root.Content[i].Line, name)
		}
		seen[name] = true
		var value any
		if err := root.Content[i+1].Decode(&value); err != nil {
			return fmt.Errorf("line %d: %s: %w", root.Content[i].Line, name, err)
		}
		c.set(name, value, fmt.Sprintf("line %d", root.Content[i].Line))
	}
	return nil
}

// environment takes the variables of settings. Of an older name and the present one
// the older wins, as in LMCache.
func (c *Config) environment(env map[string]string, order []string) {
	slices.Sort(order)
	isOld := func(name string) bool {
		_, old := renamed[strings.ToLower(strings.TrimPrefix(name, prefix))]
		return old
	}
	slices.SortStableFunc(order, func(a, b string) int {
		switch x, y := isOld(a), isOld(b); {
		case x == y:
			return 0
		case x:
			return 1
		}
		return -1
	})
	for _, name := range order {
		setting := strings.ToLower(strings.TrimPrefix(name, prefix))
		if byName[setting] != nil || renamed[setting] != "" {
			c.set(setting, env[name], name)
		}
	}
}

// set takes one value. where says where it stands.
func (c *Config) set(name string, value any, where string) {
	if now := renamed[name]; now != "" {
		c.warn("%s: %s is an older name of %s", where, name, now)
		name = now
	}
	f := byName[name]
	if f == nil {
		text := fmt.Sprintf("%s: %s is no setting of LMCache; it is ignored", where, name)
		if near, ok := nearest(name); ok {
			text += fmt.Sprintf(" (did you mean %s?)", near)
		}
		c.warn("%s", text)
		return
	}
	v, err := convert(f.kind, value)
	if err != nil {
		c.warn("%s: %s: %v; the default is taken", where, name, err)
		v = f.def
	} else if !f.used && v != nil && fmt.Sprint(v) != fmt.Sprint(f.def) {
		c.warn("%s: %s has no effect here", where, name)
	}
	c.values[name] = v
}

// nearest returns a known name that differs from name in little.
func nearest(name string) (string, bool) {
	best, least := "", 3
	for _, f := range fields {
		if d := distance(name, f.name); d < least {
			best, least = f.name, d
		}
	}
	return best, best != ""
}

// distance is the number of edits between two texts.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost++
			}
			last = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// convert reads a value of a file or of the environment. The errors do not quote
// texts, which may be secrets.
func convert(k kind, value any) (any, error) {
	if value == nil {
		return nil, nil
	}
	text, isText := value.(string)
	text = strings.TrimSpace(text)
	switch k {
	case kindText:
		return plain(value), nil
	case kindBool:
		low := strings.ToLower(plain(value))
		return low == "true" || low == "1", nil
	case kindInt, kindFloat:
		return number(k, value)
	case kindList, kindInts, kindFloats:
		return list(k, value)
	case kindPaths:
		if isText && text == "" {
			return []string{}, nil
		}
		if isText {
			return []string{text}, nil
		}
		return list(kindList, value)
	case kindDisk:
		dirs, err := list(kindList, value)
		if err != nil {
			return nil, err
		}
		var out []string
		for _, d := range dirs.([]string) {
			if d = strings.TrimPrefix(d, "file://"); d != "" {
				out = append(out, d)
			}
		}
		return out, nil
	}
	return mapping(value)
}

// plain is a scalar as text.
func plain(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return fmt.Sprint(value)
}

func number(k kind, value any) (any, error) {
	n, err := strconv.ParseFloat(strings.TrimSpace(plain(value)), 64)
	if _, isBool := value.(bool); isBool || err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return nil, errors.New("it is not a finite number")
	}
	if k == kindFloat {
		return n, nil
	}
	if n != math.Trunc(n) || math.Abs(n) > 1<<53 {
		return nil, errors.New("it is not a whole number")
	}
	return int64(n), nil
}

func list(k kind, value any) (any, error) {
	var elems []any
	switch v := value.(type) {
	case []any:
		elems = v
	case string:
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				elems = append(elems, part)
			}
		}
	default:
		return nil, errors.New("it is neither a list nor text")
	}
	if k == kindList {
		out := []string{}
		for _, e := range elems {
			out = append(out, plain(e))
		}
		return out, nil
	}
	out := []any{}
	for _, e := range elems {
		single := kindFloat
		if k == kindInts {
			single = kindInt
		}
		n, err := number(single, e)
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

// mapping reads extra_config: flat keys. Numbers become int64 or float64.
func mapping(value any) (any, error) {
	if text, ok := value.(string); ok {
		if strings.TrimSpace(text) == "" {
			return nil, nil
		}
		d := json.NewDecoder(strings.NewReader(text))
		var m map[string]any
		if err := d.Decode(&m); err != nil {
			return nil, errors.New("it is text and no JSON object")
		}
		value = m
	}
	m, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("it is not a map of texts to values")
	}
	out := map[string]any{}
	for key, v := range m {
		out[key] = whole(v)
	}
	return out, nil
}

// whole makes one type of all whole numbers.
func whole(v any) any {
	switch n := v.(type) {
	case int:
		return int64(n)
	case uint64:
		return float64(n)
	case float64:
		if n == math.Trunc(n) && math.Abs(n) < 1<<53 {
			return int64(n)
		}
	}
	return v
}

// finish makes the typed configuration.
func (c *Config) finish() {
	text := func(name string) string { s, _ := c.values[name].(string); return s }
	flag := func(name string) bool { b, _ := c.values[name].(bool); return b }
	integer := func(name string) int64 { n, _ := c.values[name].(int64); return n }
	float := func(name string) float64 { f, _ := c.values[name].(float64); return f }
	texts := func(name string) []string { l, _ := c.values[name].([]string); return l }
	extra, _ := c.values["extra_config"].(map[string]any)
	c.Config = engine.Config{
		ChunkSize: int(integer("chunk_size")), LocalCPU: flag("local_cpu"), MaxLocalCPUSize: float("max_local_cpu_size"),
		LocalDisk: texts("local_disk"), LocalDiskSharding: text("local_disk_path_sharding"), MaxLocalDiskSize: float("max_local_disk_size"),
		RemoteURL: text("remote_url"), RemoteSerde: text("remote_serde"), UseLayerwise: flag("use_layerwise"),
		SaveUnfullChunk: flag("save_unfull_chunk"), RetrieveLocations: texts("retrieve_locations"), StoreLocation: text("store_location"),
		BlockingTimeout: time.Duration(integer("blocking_timeout_secs")) * time.Second, CachePolicy: text("cache_policy"), EnablePD: flag("enable_pd"),
		StoragePlugins: texts("storage_plugins"), RemoteStoragePlugins: texts("remote_storage_plugins"),
		PluginLocations: texts("runtime_plugin_locations"), InstanceID: text("lmcache_instance_id"),
		NixlBufferDevice: text("nixl_buffer_device"), NixlBufferSize: integer("nixl_buffer_size"), AuditRemoteURL: text("audit_actual_remote_url"),
		PinTimeout: time.Duration(integer("pin_timeout_sec")) * time.Second, Extra: extra, All: c.values,
	}
}

// Validate reports every problem that keeps an engine from starting.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.ChunkSize > 0, "chunk_size is %d, want 1 or more tokens", c.ChunkSize)
	check(c.MaxLocalCPUSize >= 0, "max_local_cpu_size is %v, want 0 or more GiB", c.MaxLocalCPUSize)
	check(c.MaxLocalDiskSize >= 0, "max_local_disk_size is %v, want 0 or more GiB", c.MaxLocalDiskSize)
	check(c.BlockingTimeout > 0, "blocking_timeout_secs is %v, want 1 or more", c.BlockingTimeout.Seconds())
	check(slices.Contains([]string{"LRU", "LFU", "FIFO", "MRU"}, strings.ToUpper(c.CachePolicy)), "cache_policy is %q, want LRU, LFU, FIFO or MRU", c.CachePolicy)
	check(slices.Contains([]string{"naive", "kivi", "cachegen"}, c.RemoteSerde), "remote_serde is %q, want naive, kivi or cachegen", c.RemoteSerde)
	if p2p, _ := c.values["enable_p2p"].(bool); p2p {
		channel, _ := c.values["transfer_channel"].(string)
		host, _ := c.values["p2p_host"].(string)
		ports, _ := c.values["p2p_init_ports"].([]any)
		check(channel == "" || channel == "nixl", "enable_p2p is true and transfer_channel is %q, want nixl", channel)
		check(host != "" && len(ports) > 0, "enable_p2p is true: p2p_host and p2p_init_ports, a list with a port per worker, have to be given")
		check(c.Extra["sixcall.nixl_peer.peers"] != nil, "enable_p2p is true: extra_config needs sixcall.nixl_peer.peers, the hosts of the others; LMCache's controller, which knows them there, is not part of this program")
	}
	check(!c.EnablePD, "enable_pd is true: prefill and decode in different processes, over NIXL, is not part of this program; use a remote that both reach")
	check(c.LocalDiskSharding == "by_gpu", "local_disk_path_sharding is %q, want by_gpu", c.LocalDiskSharding)
	return errors.Join(errs...)
}

// JSON returns the whole configuration as strict JSON, with its secrets: what plugin
// scripts get.
func (c *Config) JSON() json.RawMessage {
	text, err := json.MarshalIndent(c.values, "", "  ")
	if err != nil {
		return json.RawMessage("{}")
	}
	return text
}

// Masked returns the whole configuration as JSON with secrets masked.
func (c *Config) Masked() ([]byte, error) {
	var masked map[string]any
	if err := json.Unmarshal([]byte(config.Params(c.JSON()).String()), &masked); err != nil {
		return nil, err
	}
	for _, f := range fields { // a number of tokens is no secret
		switch f.kind {
		case kindBool, kindInt, kindFloat, kindInts, kindFloats:
			masked[f.name] = c.values[f.name]
		}
	}
	return json.MarshalIndent(masked, "", "  ")
}
