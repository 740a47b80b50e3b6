package launcher

import (
	"path/filepath"
	"strconv"
	"strings"
)

// The roles of a host process.
const (
	RoleWorker    = "worker"
	RoleScheduler = "scheduler"
	roleAll       = "all"
)

// RunsOn reports whether the script belongs on a process with this role and worker
// id. The role "" is unknown: everything runs.
//
// The name without its extension is split at underscores. A first part scheduler_,
// worker_ or all_, in any case, names the role; with three or more parts a second
// one of digits names the worker. Any other name runs everywhere.
func RunsOn(path, role string, workerID int) bool {
	name := filepath.Base(path)
	stem := strings.ToLower(strings.TrimSuffix(name, filepath.Ext(name)))
	parts := strings.Split(stem, "_")
	if role == "" || len(parts) == 1 {
		return true
	}
	switch parts[0] {
	case RoleWorker, RoleScheduler:
		if parts[0] != strings.ToLower(role) {
			return false
		}
	case roleAll:
	default:
		return true
	}
	if len(parts) < 3 {
		return true
	}
	id, ok := digits(parts[1])
	return !ok || id == workerID
}

// digits reads a number that has nothing but ASCII digits.
func digits(s string) (int, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1, true // a number, but no worker has it
	}
	return n, true
}
