package main

import (
	"fmt"
	"strings"
)

// connector is a library and what of it is worth running.
type connector struct {
	name    string
	library string
	// params is its configuration in a placement.
	params func(placement string) string
	// skip says which workloads say nothing about it.
	skip func(w workload) bool
}

const (
	same  = "same"  // all threads on one CPU
	cross = "cross" // the host on one CPU, the connector's threads on another
	free  = "free"  // as the scheduler likes
)

// core are the rows of a default run, short the ones of -quick.
var short = []workload{
	lookup(1, 1), lookup(16, 1), lookup(256, 1), lookup(1, 32), lookup(256, 32),
	move("load", 1, 4<<10, 8), move("load", 1, 64<<10, 1), move("load", 16, 64<<10, 8), move("load", 1, 1<<20, 1), move("store", 1, 1<<20, 1),
}

var core = append([]workload{
	lookup(1024, 1), lookup(16, 32), lookup(1024, 32), lookup(1, 8), lookup(256, 8),
	move("load", 1, 4<<10, 1), move("load", 16, 4<<10, 1), move("load", 16, 4<<10, 8), move("load", 1, 64<<10, 8),
	move("load", 16, 1<<20, 8), move("load", 1, 4<<20, 1), move("load", 16, 4<<20, 1), move("load", 1, 16<<20, 1),
	move("store", 1, 4<<10, 1), move("store", 1, 4<<10, 8), move("store", 1, 64<<10, 1), move("store", 16, 64<<10, 8),
	move("store", 16, 1<<20, 8), move("store", 1, 4<<20, 1), move("store", 1, 16<<20, 1),
}, short...)

// full are all combinations.
func full() (all []workload) {
	for _, depth := range []int{1, 8, 32} {
		for _, batch := range []int{1, 16, 256, 1024} {
			all = append(all, lookup(batch, depth))
		}
		for _, op := range []string{"load", "store"} {
			for _, bytes := range []int{4 << 10, 64 << 10, 1 << 20, 4 << 20, 16 << 20} {
				for _, batch := range []int{1, 16, 64} {
					all = append(all, move(op, batch, bytes, depth))
				}
			}
		}
	}
	return all
}

func lookup(batch, depth int) workload { return workload{Op: "lookup", Batch: batch, Depth: depth} }

func move(op string, batch, bytes, depth int) workload {
	return workload{Op: op, Batch: batch, ValueBytes: bytes, Depth: depth}
}

// maxLent skips rows that would lend more memory than a common machine has to spare.
const maxLent = 1 << 30

// workloads returns the rows of a set.
func workloads(set string) ([]workload, error) {
	switch set {
	case "short":
		return short, nil
	case "core":
		return core, nil
	case "full":
		return full(), nil
	}
	return nil, fmt.Errorf("-rows is %q, want short, core or full", set)
}

// wanted reports whether a row is in a selection: words separated by commas, of
// which one has to be part of its name; "" is all.
func wanted(name, only string) bool {
	if only == "" {
		return true
	}
	for _, part := range strings.Split(only, ",") {
		if strings.Contains(name+" ", part) {
			return true
		}
	}
	return false
}

func (s *settings) connectorsOf(names string) (all []connector, err error) {
	for _, name := range strings.Split(names, ",") {
		c := connector{name: name, library: fmt.Sprintf("%s/libsixcall_%s.so", s.libraries, name)}
		switch name {
		case "null":
			c.library = s.build + "/libsixcall_null.so"
			c.params = func(string) string { return "{}" }
			// It moves nothing: values are the cost of a key.
			c.skip = func(w workload) bool { return w.ValueBytes > 4<<10 }
		case "mem":
			c.params = workers("{}")
			c.skip = func(workload) bool { return false }
		case "fs":
			folder, err := s.folder()
			if err != nil {
				return nil, err
			}
			c.params = func(placement string) string { return with(placement, fmt.Sprintf(`"base_path":%q`, folder)) }
			c.skip = func(w workload) bool { return w.ValueBytes > 4<<20 }
		case "redis":
			port, err := s.redis()
			if err != nil {
				return nil, err
			}
			c.params = func(placement string) string { return with(placement, fmt.Sprintf(`"port":%d`, port)) }
			c.skip = func(w workload) bool { return w.ValueBytes > 4<<20 }
		default:
			return nil, fmt.Errorf("-connectors has %q, want null, mem, fs or redis", name)
		}
		all = append(all, c)
	}
	return all, nil
}

// workers gives the connector one worker where everything shares a CPU or the
// connector has one.
func workers(otherwise string) func(string) string {
	return func(placement string) string {
		if placement == free {
			return otherwise
		}
		return `{"workers":1}`
	}
}

func with(placement, more string) string {
	if placement == free {
		return "{" + more + "}"
	}
	return `{"workers":1,"lookup_workers":1,` + more + "}"
}
