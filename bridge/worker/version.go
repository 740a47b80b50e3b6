package worker

import "runtime/debug"

const modulePath = "github.com/sixcall/sixcall"

// hostVersion is the version of this module, as the worker and libraries see it.
func hostVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if info.Main.Path == modulePath && info.Main.Version != "" {
		return info.Main.Version
	}
	for _, dep := range info.Deps {
		if dep.Path == modulePath {
			return dep.Version
		}
	}
	return "(devel)"
}
