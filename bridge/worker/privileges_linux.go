package worker

import "golang.org/x/sys/unix"

// secureExecution reads AT_SECURE of the auxiliary vector.
func secureExecution() bool {
	const atSecure = 23
	vector, err := unix.Auxv()
	if err != nil {
		return false
	}
	for _, entry := range vector {
		if entry[0] == atSecure {
			return entry[1] != 0
		}
	}
	return false
}
