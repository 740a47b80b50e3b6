package worker

import "os"

// raisedPrivileges reports whether the process has rights that its environment must
// not direct (set-uid, set-gid, file capabilities), and why it thinks so.
var raisedPrivileges = func() (bool, string) {
	if os.Geteuid() != os.Getuid() || os.Getegid() != os.Getgid() {
		return true, "the process runs with another user's rights"
	}
	return secureExecution(), "the process runs with raised privileges"
}
