package arena

import (
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

const hugePage = 2 << 20 // bytes

// mapShared maps size bytes of a new memfd, which nobody can shrink or grow
// afterwards: a mapping that is shrunk under its user means SIGBUS.
func mapShared(size int, huge bool) (mem []byte, fd int, isHuge bool, err error) {
	if huge && size%hugePage == 0 {
		if mem, fd, err = mapMemfd(size, unix.MFD_HUGETLB); err == nil {
			return mem, fd, true, nil
		}
	}
	if mem, fd, err = mapMemfd(size, 0); err != nil {
		return nil, -1, false, err
	}
	if huge {
		isHuge = unix.Madvise(mem, unix.MADV_HUGEPAGE) == nil
	}
	return mem, fd, isHuge, nil
}

func mapMemfd(size, flags int) ([]byte, int, error) {
	fd, err := unix.MemfdCreate("sixcall-arena", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|flags)
	if err != nil {
		return nil, -1, err
	}
	mem, err := mapFD(fd, size)
	if err != nil {
		_ = unix.Close(fd)
		return nil, -1, err
	}
	return mem, fd, nil
}

func mapFD(fd, size int) ([]byte, error) {
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return nil, err
	}
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return nil, err
	}
	return unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

func (s *segment) unmap() error {
	err := unix.Munmap(s.mem)
	if cerr := unix.Close(s.fd); err == nil {
		err = cerr
	}
	return err
}

// prefault touches every page, one part per CPU at a time.
func prefault(mem []byte) {
	part := max((len(mem)/runtime.GOMAXPROCS(0)+hugePage-1)/hugePage*hugePage, hugePage)
	var wg sync.WaitGroup
	for off := 0; off < len(mem); off += part {
		wg.Go(func() {
			piece := mem[off:min(off+part, len(mem))]
			if unix.Madvise(piece, unix.MADV_POPULATE_WRITE) == nil {
				return
			}
			for i := 0; i < len(piece); i += PageSize { // kernels before 5.14
				piece[i] = 0
			}
		})
	}
	wg.Wait()
}
