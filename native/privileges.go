//go:build linux && (amd64 || arm64)

package native

import (
	"encoding/binary"
	"os"
)

// atSecure is AT_SECURE of the auxiliary vector.
const atSecure = 23

// raisedPrivileges reports whether the process has rights that its environment
// must not direct (set-uid, set-gid, file capabilities), and why it thinks so.
var raisedPrivileges = func() (bool, string) {
	if os.Geteuid() != os.Getuid() || os.Getegid() != os.Getgid() {
		return true, "the process runs with another user's rights"
	}
	auxv, err := os.ReadFile("/proc/self/auxv")
	if err != nil {
		return false, ""
	}
	for ; len(auxv) >= 16; auxv = auxv[16:] {
		if binary.NativeEndian.Uint64(auxv) == atSecure {
			return binary.NativeEndian.Uint64(auxv[8:]) != 0, "the process runs with raised privileges"
		}
	}
	return false, ""
}
