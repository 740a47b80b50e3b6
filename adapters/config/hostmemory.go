package config

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/worker"
)

// hostMemory is what became of the memory of the host.
type hostMemory struct {
	// state is "registered", "mapped" (into the worker), "direct" or "copied"; "" when
	// there is nothing to say.
	state string
	// file is what the memory is a mapping of. A worker that is started again maps it
	// again, so it lives as long as the adapter, and is closed by its finalizer.
	file *os.File
}

// lendHostMemory makes the host's memory known to the connector, where values go
// straight in and out of it.
func (b Builder) lendHostMemory(conn kv.Connector, p *NativePlugin, opts *bridge.Options) (lent hostMemory, err error) {
	if len(b.HostMemory) == 0 {
		return lent, nil
	}
	if p.Buffers != BuffersDirect {
		return hostMemory{state: "copied"}, nil
	}
	memory := kv.Memory{Bytes: b.HostMemory, FD: -1}
	file, offset, why := fileBehind(b.HostMemory)
	if why == nil {
		memory.FD, memory.Offset = int(file.Fd()), offset
	}
	log := b.Logger.With(zap.String("connector", b.Instance))
	if conn.Info().Caps.Has(kv.CapRegisterMemory) {
		registrar, ok := conn.(kv.Registrar)
		if !ok {
			return lent, nil
		}
		handle, err := registrar.Register(memory)
		if errors.Is(err, kv.Unsupported) { // a worker, and memory that is not shared
			log.Warn("the host's memory is copied to the worker: it is not shared memory", zap.Error(why))
			return hostMemory{state: "copied"}, nil
		}
		if err != nil {
			return lent, fmt.Errorf("register %d bytes of the host's memory: %w", len(b.HostMemory), err)
		}
		opts.HostMemory = bridge.HostMemory{Bytes: b.HostMemory, Handle: handle}
		return hostMemory{"registered", file}, nil
	}
	isolated, ok := conn.(*worker.Connector)
	if !ok {
		return hostMemory{state: "direct"}, nil
	}
	if memory.FD < 0 {
		log.Warn("the host's memory is copied to the worker: it is not shared memory", zap.Error(why))
		return hostMemory{state: "copied"}, nil
	}
	if _, err := isolated.Share(memory); err != nil {
		return lent, fmt.Errorf("map %d bytes of the host's memory into the worker: %w", len(b.HostMemory), err)
	}
	return hostMemory{"mapped", file}, nil
}

// fileBehind opens the file that p is a shared mapping of, such as POSIX shared
// memory, and says where p lies in it.
func fileBehind(p []byte) (*os.File, int64, error) {
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return nil, 0, err
	}
	defer maps.Close()
	return fileAt(maps, uint64(reflect.ValueOf(p).Pointer()), uint64(len(p)))
}

func fileAt(maps io.Reader, at, n uint64) (*os.File, int64, error) {
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		// from-to rwxs offset device inode path
		f := strings.SplitN(lines.Text(), " ", 6)
		from, to, ok := strings.Cut(f[0], "-")
		if len(f) < 5 || !ok {
			continue
		}
		lo, err1 := strconv.ParseUint(from, 16, 64)
		hi, err2 := strconv.ParseUint(to, 16, 64)
		if err1 != nil || err2 != nil || at < lo || at >= hi {
			continue
		}
		path := strings.TrimLeft(strings.Join(f[5:], ""), " ")
		switch {
		case !strings.HasSuffix(f[1], "s") || !strings.HasPrefix(path, "/"):
			return nil, 0, errors.New("it is private memory")
		case n > hi-at:
			return nil, 0, fmt.Errorf("the mapping of %q ends within it", path)
		}
		offset, err := strconv.ParseInt(f[2], 16, 64)
		if err != nil {
			return nil, 0, err
		}
		inode, err := strconv.ParseUint(f[4], 10, 64)
		if err != nil {
			return nil, 0, err
		}
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return nil, 0, err
		}
		if info, err := file.Stat(); err != nil || inodeOf(info) != inode {
			_ = file.Close()
			return nil, 0, fmt.Errorf("%q is not the file that is mapped any more", path)
		}
		return file, offset + int64(at-lo), nil
	}
	if err := lines.Err(); err != nil {
		return nil, 0, err
	}
	return nil, 0, errors.New("it is not mapped")
}

// inodeOf returns the number of a file, 0 when the system does not have it.
func inodeOf(info os.FileInfo) uint64 {
	sys := reflect.Indirect(reflect.ValueOf(info.Sys()))
	if sys.Kind() != reflect.Struct || !sys.FieldByName("Ino").IsValid() {
		return 0
	}
	return sys.FieldByName("Ino").Uint()
}
