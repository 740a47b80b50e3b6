package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheFileBehindMemoryIsFound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a pool") // names may have blanks
	require.NoError(t, os.WriteFile(path, make([]byte, 64), 0o600))
	info, err := os.Stat(path)
	require.NoError(t, err)
	inode := info.Sys().(*syscall.Stat_t).Ino
	maps := fmt.Sprintf(`7f0000000000-7f0000001000 rw-p 00000000 00:00 0
7f0000010000-7f0000020000 rw-s 00003000 00:19 %d                         %s
7f0000030000-7f0000040000 rw-p 00000000 fe:00 12                         /usr/lib/x.so
7f0000050000-7f0000060000 rw-s 00000000 00:19 %d                         %s
`, inode, path, inode+1, path)

	file, offset, err := fileAt(strings.NewReader(maps), 0x7f0000012000, 0xe000)
	require.NoError(t, err)
	defer file.Close()
	require.Equal(t, path, file.Name())
	require.Equal(t, int64(0x5000), offset)

	for at, want := range map[uint64]string{
		0x7f0000000000: "private memory",
		0x7f0000012001: "ends within it",
		0x7f0000030000: "private memory",
		0x7f0000050000: "not the file that is mapped any more",
		0x7f0000070000: "it is not mapped",
	} {
		_, _, err := fileAt(strings.NewReader(maps), at, 0xe000)
		require.ErrorContains(t, err, want, "%x", at)
	}
}

func TestMemoryOfThisProcessHasNoFile(t *testing.T) {
	_, _, err := fileBehind(make([]byte, 1<<20))
	require.Error(t, err)
}
