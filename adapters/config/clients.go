package config

import (
	"fmt"
	"strconv"
	"strings"
)

// LMCache's adapter types whose connectors bring the client of a storage system,
// and one of ours in the same words.
const (
	// TypeMooncakeStore keeps values in a Mooncake Store; the connector is mooncake.
	TypeMooncakeStore = "mooncake_store"
	// TypeNIXLNative moves values with a backend of NIXL; the connector is nixl.
	TypeNIXLNative = "nixl_native"
	// TypeInfiniStore keeps values in InfiniStore; the connector is infinistore.
	TypeInfiniStore = "infinistore"
)

// Mooncake's settings are text in LMCache, whatever they mean.
var mooncakeType = bundled{connector: "mooncake", capacity: true, fields: []field{
	{key: "num_workers", read: aLaneOrWorkers, expand: mooncakeWorkers},
	{key: "per_op_workers", read: anObject},
	{key: "master_server_address", param: "master_server_address", read: aText, need: "HOST:PORT of the master"},
	{key: "local_hostname", param: "local_hostname", read: aText},
	{key: "metadata_server", param: "metadata_server", read: aText},
	{key: "protocol", param: "protocol", read: aText},
	{key: "device_name", param: "device_name", read: aText},
	{key: "global_segment_size", param: "global_segment_size", read: aByteCount},
	{key: "local_buffer_size", param: "local_buffer_size", read: aByteCount},
}}

var nixlType = bundled{connector: "nixl", capacity: true, fields: []field{
	{key: "backend", param: "backend", read: aText, need: "a backend of NIXL in upper case, such as POSIX or OBJ"},
	{key: "backend_params", param: "backend_params", read: someTexts},
	{key: "num_workers", param: "workers", read: anInteger(1)},
	{key: "storage_type", read: notGiven("is not for this type: the backend says what it stores")},
}}

var infinistoreType = bundled{connector: "infinistore", capacity: true, fields: []field{
	{key: "host", param: "host", read: aText, need: "a name or an address"},
	{key: "port", param: "port", read: aPort},
	{key: "device", param: "device", read: aText},
	{key: "link_type", param: "link_type", read: aText},
	{key: "num_workers", param: "workers", read: anInteger(1)},
}}

// aLaneOrWorkers is there when LMCache's counts of workers are: one for all, and
// some for single operations.
func aLaneOrWorkers(o *object, key string) (raw string, ok bool) {
	_, lanes := o.take("per_op_workers")
	raw, ok = anInteger(1)(o, key)
	return raw, ok || lanes
}

// mooncakeWorkers maps LMCache's lanes. With us lookups always have workers of
// their own, and get, set and delete share the others: they have as many as the
// lanes of these together.
func mooncakeWorkers(o *object, _, raw string) map[string]string {
	out := map[string]string{}
	bulk := int64(0)
	v, ok := o.take("per_op_workers")
	if ok && v.kind == kindObject {
		lanes := o.sub("per_op_workers", v, "")
		lanes.integer("lookup", 1, unbounded, func(n int64) { out["lookup_workers"] = fmt.Sprint(n) })
		for _, lane := range []string{"retrieve", "store", "delete"} {
			lanes.integer(lane, 1, unbounded, func(n int64) { bulk += n })
		}
		lanes.finish()
	}
	if shared, err := strconv.ParseInt(raw, 10, 64); err == nil {
		bulk += shared
	}
	if bulk > 0 {
		out["workers"] = fmt.Sprint(bulk)
	}
	return out
}

func anObject(o *object, key string) (raw string, ok bool) {
	v, ok := o.take(key)
	if ok && v.kind != kindObject {
		o.fail(key, "is %s, want an object", v)
		return "", false
	}
	return "", ok
}

// someTexts is an object of strings, or references to them.
func someTexts(o *object, key string) (raw string, ok bool) {
	v, ok := o.take(key)
	if !ok {
		return "", false
	}
	texts := o.sub(key, v, "an object of strings")
	if texts == nil {
		return "", false
	}
	for _, m := range v.members {
		if m.value.kind != kindString && !isReference(m.value) {
			texts.fail(m.key, "is %s, want a string", m.value)
		}
	}
	texts.duplicates()
	return v.raw, true
}

// aByteCount is a count, also as text.
func aByteCount(o *object, key string) (raw string, ok bool) {
	if v, found := o.take(key); found && v.kind == kindString {
		n, err := strconv.ParseUint(strings.TrimSpace(v.text), 10, 63)
		if err != nil {
			o.fail(key, "is %s, want a count of bytes", v)
			return "", false
		}
		return fmt.Sprint(n), true
	}
	return anInteger(0)(o, key)
}

// notGiven refuses the key.
func notGiven(why string) reader {
	return func(o *object, key string) (string, bool) {
		if _, ok := o.take(key); ok {
			o.fail(key, "%s", why)
		}
		return "", false
	}
}
