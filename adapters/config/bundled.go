package config

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// LMCache's adapter types that our own connectors serve.
const (
	// TypeFSNative keeps a file per key; the connector is fs.
	TypeFSNative = "fs_native"
	// TypeFS is TypeFSNative with the fields of LMCache's adapter in Python.
	TypeFS = "fs"
	// TypeRESP keeps values in Redis; the connector is redis.
	TypeRESP = "resp"
)

// bundled is an adapter type that stands for a connector library: its fields
// are the connector's configuration under LMCache's names.
type bundled struct {
	connector string // class name
	module    string // module path, "" = the class name
	fields    []field
	capacity  bool // has max_capacity_gb
	// defaults are the connector's keys, as JSON text, that differ for this type
	// from the connector's own defaults.
	defaults map[string]string
}

// field is one of LMCache's fields.
type field struct {
	key   string
	param string // the connector's key, "" = accepted and without effect here
	read  reader
	// expand returns the connector's keys and their JSON text, where one field
	// is not one key.
	expand func(o *object, key, raw string) map[string]string
	need   string // what it is, when it must be given
	env    string // the environment variable that stands in for it
}

// reader reads the member key as JSON text; ok is false when it is absent.
type reader func(o *object, key string) (raw string, ok bool)

var bundledTypes = map[string]bundled{
	TypeFSNative: {connector: "fs", capacity: true, defaults: map[string]string{"names": `"fs_native"`}, fields: []field{
		{key: "base_path", param: "base_path", read: aText, need: "the folder for the files"},
		{key: "num_workers", param: "workers", read: anInteger(1)},
		{key: "relative_tmp_dir", param: "tmp_dir", read: aText},
		{key: "use_odirect", param: "o_direct", read: aBoolean},
		{key: "read_ahead_size", param: "read_ahead_bytes", read: anInteger(1)},
	}},
	TypeFS: {connector: "fs", fields: []field{
		{key: "base_path", param: "base_path", read: aText, need: "the folder for the files"},
		{key: "relative_tmp_dir", param: "tmp_dir", read: aText},
		{key: "use_odirect", param: "o_direct", read: aBoolean},
		{key: "read_ahead_size", param: "read_ahead_bytes", read: anInteger(1)},
	}},
	TypeRESP: {connector: "redis", capacity: true, fields: []field{
		{key: "host", param: "host", read: aText, need: "a name or an address"},
		{key: "port", param: "port", read: aPort, need: "a port"},
		{key: "num_workers", param: "workers", read: anInteger(1)},
		{key: "username", param: "username", read: aSecret, env: "LMCACHE_RESP_USERNAME"},
		{key: "password", param: "password", read: aSecret, env: "LMCACHE_RESP_PASSWORD"},
	}},
	TypeS3:            s3Type,
	TypeMooncakeStore: mooncakeType,
	TypeNIXLNative:    nixlType,
	TypeInfiniStore:   infinistoreType,
}

// parseBundled reads the settings of a bundled type: LMCache's fields, the keys
// that every connector has with us, and the connector's own in adapter_params.
func parseBundled(o *object, b bundled, p *NativePlugin) {
	p.ModulePath, p.ClassName = b.module, b.connector
	if b.module == "" {
		p.ModulePath = b.connector
	}
	parseParams(o, &p.AdapterParams)
	own, err := parseJSON([]byte(p.AdapterParams))
	if err != nil || own.kind != kindObject {
		own = &value{kind: kindObject}
	}
	params := []string{}
	add := func(key, param, raw string) {
		if slices.ContainsFunc(own.members, func(m member) bool { return m.key == param }) {
			o.fail(key, "is given, and adapter_params.%s as well: want one of them", param)
			return
		}
		params = append(params, quoteJSON(param)+":"+raw)
	}
	for _, f := range b.fields {
		raw, given := f.read(o, f.key)
		if !given && f.env != "" && os.Getenv(f.env) != "" {
			raw, given = `{"$env":`+quoteJSON(f.env)+`}`, true
		}
		switch {
		case !given && f.need != "":
			o.fail(f.key, "is missing, want %s", f.need)
		case !given:
		case f.expand != nil:
			expanded := f.expand(o, f.key, raw)
			for _, param := range slices.Sorted(maps.Keys(expanded)) {
				add(f.key, param, expanded[param])
			}
		case f.param != "":
			add(f.key, f.param, raw)
		}
	}
	for _, param := range slices.Sorted(maps.Keys(b.defaults)) {
		if !slices.ContainsFunc(own.members, func(m member) bool { return m.key == param }) {
			params = append(params, quoteJSON(param)+":"+b.defaults[param])
		}
	}
	for _, m := range own.members {
		params = append(params, quoteJSON(m.key)+":"+m.value.raw)
	}
	p.AdapterParams = Params("{" + strings.Join(params, ",") + "}")
	if b.capacity {
		o.number("max_capacity_gb", &p.MaxCapacityGB)
	}
	parseHosting(o, p)
}

func aText(o *object, key string) (raw string, ok bool) {
	ok = o.textAs(key, func(s string) { raw = quoteJSON(s) })
	return raw, ok && raw != ""
}

// aSecret is a string, or a reference to one.
func aSecret(o *object, key string) (raw string, ok bool) {
	if v, found := o.take(key); found && isReference(v) {
		return v.raw, true
	}
	return aText(o, key)
}

func aBoolean(o *object, key string) (raw string, ok bool) {
	var set bool
	if _, ok = o.take(key); ok {
		o.boolean(key, &set)
		raw = fmt.Sprint(set)
	}
	return raw, ok
}

func aPort(o *object, key string) (raw string, ok bool) {
	o.integer(key, 1, 65535, func(n int64) { raw, ok = fmt.Sprint(n), true })
	return raw, ok
}

func anInteger(least int64) reader {
	return func(o *object, key string) (raw string, ok bool) {
		o.integer(key, least, unbounded, func(n int64) { raw, ok = fmt.Sprint(n), true })
		return raw, ok
	}
}
