package python

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// archiveFile returns the worker as a descriptor that nobody can change. It is made
// once and lives as long as the program: workers that are started again read it again.
var archiveFile = sync.OnceValues(func() (*os.File, error) {
	content, err := archive()
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("sixcall.worker", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("memfd: %w", err)
	}
	file := os.NewFile(uintptr(fd), "sixcall.worker")
	if _, err = file.Write(content); err == nil {
		const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
})
