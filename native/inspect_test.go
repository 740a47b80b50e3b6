//go:build linux && (amd64 || arm64)

package native_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/native"
)

// patched returns a copy of the good library, changed.
func patched(t testing.TB, change func(content []byte) []byte) string {
	t.Helper()
	path := compile(t)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, change(content), 0o755))
	return path
}

// set returns a change that writes bytes at an offset.
func set(offset int, with ...byte) func([]byte) []byte {
	return func(b []byte) []byte { copy(b[offset:], with); return b }
}

func content(text string) func([]byte) []byte { return func([]byte) []byte { return []byte(text) } }

func TestAWrongFileIsRefusedBeforeItIsLoaded(t *testing.T) {
	const machineAt, typeAt = 18, 16
	tests := []struct {
		name   string
		change func([]byte) []byte
		code   kv.Code
		want   string
	}{
		{"empty", content(""), kv.Config, "the file is empty"},
		{"text", content("hello world"), kv.Config, `not an ELF file: it begins with "hello wo"`},
		{"script", content("#!/bin/sh\n"), kv.Config, "it is a script"},
		{"static library", content("!<arch>\n"), kv.Config, "it is a static library"},
		{"linker script", content("/* GNU ld script */\nGROUP ( libx.so.1 )\n"), kv.Config, "it is a linker script"},
		{"header cut", func(b []byte) []byte { return b[:40] }, kv.Config, "truncated ELF file: 40 bytes"},
		{"half of the file", func(b []byte) []byte { return b[:len(b)/2] }, kv.Config, "truncated"},
		{"last byte cut", func(b []byte) []byte { return b[:len(b)-1] }, kv.Config, "truncated"},
		{"32 bit", set(elf.EI_CLASS, byte(elf.ELFCLASS32)), kv.Config, "built for another machine: ELFCLASS32"},
		{"big endian", set(elf.EI_DATA, byte(elf.ELFDATA2MSB)), kv.Config, "built for another machine: ELFDATA2MSB"},
		{"other architecture", set(machineAt, byte(elf.EM_S390)), kv.Config, "built for another machine: EM_S390"},
		{"program", set(typeAt, byte(elf.ET_EXEC)), kv.Config, "not a shared library: ET_EXEC"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			path := patched(t, tc.change)
			_, err := native.Open(native.Options{Connector: path})
			require.ErrorIs(t, err, tc.code)
			require.ErrorContains(t, err, tc.want)
			require.ErrorContains(t, err, path, "the error names the file")

			report, err := native.Inspect(path, true)
			require.NoError(t, err)
			require.Equal(t, native.VerdictRefused, report.Verdict)
			require.Nil(t, report.Table, "it was not loaded")
		})
	}
}

func TestALibraryThatIsNoConnectorIsRefusedBeforeItIsLoaded(t *testing.T) {
	_, err := native.Open(native.Options{Connector: compile(t, "NO_ENTRY")})
	require.ErrorIs(t, err, kv.Config)
	require.ErrorContains(t, err, "not a connector: exports no sixcall_connector_entry_v1")

	_, err = native.Open(native.Options{Connector: compile(t, "sixcall_connector_entry_v1=sixcall_connector_entry_v2")})
	require.ErrorIs(t, err, kv.Version)
	require.ErrorContains(t, err, "exports sixcall_connector_entry_v2; this host speaks ABI 1")
}

func TestInspectReportsEverythingAboutAGoodLibrary(t *testing.T) {
	path := compile(t)
	report, err := native.Inspect(path, true)
	require.NoError(t, err)
	require.Equal(t, native.VerdictOK, report.Verdict, "%v", report.Problems)
	require.Len(t, report.SHA256, 64)
	require.Equal(t, "minimal", report.Note.Product)
	require.Contains(t, report.Note.CapNames, "value_lens")
	require.Equal(t, []string{native.EntryOfTests}, report.Exports)

	require.True(t, filepath.IsAbs(findNeeded(report, "libc.so.6").Path))
	require.Empty(t, report.GoRuntime)
	require.Equal(t, "parallel", report.Table.ThreadModel)
	require.Contains(t, report.Table.Slots, "submit_batch_delete")
	require.NotContains(t, report.Table.Slots, "get_extension")

	text, err := json.Marshal(report)
	require.NoError(t, err)
	var again native.Report
	require.NoError(t, json.Unmarshal(text, &again))
	require.Equal(t, report.Table, again.Table)

	quiet, err := native.Inspect(path, false)
	require.NoError(t, err)
	require.Nil(t, quiet.Table)

	_, err = native.Inspect(filepath.Join(t.TempDir(), "none.so"), false)
	require.ErrorIs(t, err, kv.Config)
}

func findNeeded(r *native.Report, name string) native.Needed {
	for _, n := range r.Needed {
		if n.Name == name {
			return n
		}
	}
	return native.Needed{}
}

func TestTheNoteIsFoundWithoutSectionHeaders(t *testing.T) {
	stripped := patched(t, func(b []byte) []byte {
		clear(b[0x28:0x30]) // e_shoff
		clear(b[0x3c:0x40]) // e_shnum, e_shstrndx
		return b
	})
	report, err := native.Inspect(stripped, true)
	require.NoError(t, err)
	require.Equal(t, "minimal", report.Note.Product)
	require.Nil(t, report.Exports)
	require.Equal(t, "minimal", report.Table.Name, "it loads all the same")
}

func TestTheNoteDecidesBeforeTheLibraryRuns(t *testing.T) {
	withNote := func(offset int, with ...byte) string {
		return patched(t, func(b []byte) []byte {
			at := bytes.Index(b, []byte("\x08\x00\x00\x00\x70\x00\x00\x00\x01\x00\x00\x00sixcall\x00"))
			copy(b[at+offset:], with)
			return b
		})
	}
	_, err := native.Open(native.Options{Connector: withNote(20, 2)})
	require.ErrorIs(t, err, kv.Version)
	require.ErrorContains(t, err, "implements ABI 2.0, this host speaks ABI 1.0; the host is too old")

	_, err = native.Open(native.Options{Connector: withNote(20, 0)})
	require.ErrorIs(t, err, kv.Version)
	require.ErrorContains(t, err, "implements ABI 0.0, this host speaks ABI 1.0; it is too old: rebuild it")

	_, err = native.Open(native.Options{Connector: withNote(36, bytes.Repeat([]byte("x"), 32)...)})
	require.ErrorIs(t, err, kv.Config)
	require.ErrorContains(t, err, "vendor is not NUL-terminated")

	report, err := native.Inspect(withNote(68, []byte("maximal")...), true)
	require.NoError(t, err)
	require.Equal(t, native.VerdictWarnings, report.Verdict)
	require.Contains(t, report.Warnings(), "its note says name maximal, its table minimal")

	report, err = native.Inspect(compile(t, "NO_NOTE"), true)
	require.NoError(t, err)
	require.Equal(t, native.VerdictWarnings, report.Verdict)
	require.Contains(t, strings.Join(report.Warnings(), ""), "no .note.sixcall")
}

func TestAFileThatAnyoneMayReplaceIsRefused(t *testing.T) {
	t.Run("the file", func(t *testing.T) {
		path := compile(t)
		require.NoError(t, os.Chmod(path, 0o757))
		_, err := native.Open(native.Options{Connector: path})
		require.ErrorIs(t, err, kv.Config)
		require.ErrorContains(t, err, "anyone may write to the file (mode 0757)")
	})
	t.Run("its folder, even when sticky", func(t *testing.T) {
		path := compile(t)
		require.NoError(t, os.Chmod(filepath.Dir(path), 0o777|os.ModeSticky))
		_, err := native.Open(native.Options{Connector: path})
		require.ErrorIs(t, err, kv.Config)
		require.ErrorContains(t, err, "anyone may replace the file")
	})
	t.Run("a folder above it", func(t *testing.T) {
		above := t.TempDir()
		path := filepath.Join(above, "in", "lib.so")
		require.NoError(t, os.Mkdir(filepath.Dir(path), 0o755))
		copyFile(t, compile(t), path)
		require.NoError(t, os.Chmod(above, 0o777))
		_, err := native.Open(native.Options{Connector: path})
		require.ErrorContains(t, err, "anyone may replace the file")
	})
	t.Run("where a link points", func(t *testing.T) {
		path := compile(t)
		require.NoError(t, os.Chmod(path, 0o757))
		link := filepath.Join(t.TempDir(), "link.so")
		require.NoError(t, os.Symlink(path, link))
		_, err := native.Open(native.Options{Connector: link})
		require.ErrorContains(t, err, "anyone may write to the file")
	})
}

func TestAPinnedDigestMustMatch(t *testing.T) {
	path := compile(t)
	report, err := native.Inspect(path, false)
	require.NoError(t, err)
	open(t, native.Options{Connector: path, SHA256: strings.ToUpper(report.SHA256)})

	_, err = native.Open(native.Options{Connector: path, SHA256: strings.Repeat("0", 64)})
	require.ErrorIs(t, err, kv.Config)
	require.ErrorContains(t, err, "not the one that is pinned: its sha256 is "+report.SHA256)
	_, err = native.Open(native.Options{Connector: path, SHA256: "abc"})
	require.ErrorContains(t, err, `SHA256 is "abc", want 64 hex digits`)
}

// goLibrary builds a c-shared library in Go, or skips.
func goLibrary(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds a Go library")
	}
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module x\n\ngo 1.26\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "x.go"), []byte("package main\n\nimport \"C\"\n\n//export hello\nfunc hello() {}\n\nfunc main() {}\n"), 0o644))
	path := filepath.Join(dir, "libgo.so")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", path, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1", "GOFLAGS=-mod=mod -buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("cannot build a Go library here: %v: %s", err, out)
	}
	return path
}

func TestAnEmbeddedGoRuntimeIsRefused(t *testing.T) {
	lib := goLibrary(t)
	stripped := filepath.Join(filepath.Dir(lib), "stripped.so")
	file, err := os.ReadFile(lib)
	require.NoError(t, err)
	clear(file[0x28:0x30])
	clear(file[0x3c:0x40])
	require.NoError(t, os.WriteFile(stripped, file, 0o755))
	for _, path := range []string{lib, stripped} {
		report, err := native.Inspect(path, false)
		require.NoError(t, err)
		require.Len(t, report.GoRuntime, 1)
		require.Equal(t, path, report.GoRuntime[0].Path)
	}

	// A C connector that needs it, found beside itself through $ORIGIN.
	dir := filepath.Dir(lib)
	for _, flag := range []string{"--enable-new-dtags", "--disable-new-dtags"} {
		needs := filepath.Join(dir, "libsixcall_needs.so")
		out, err := exec.Command("cc", "-shared", "-fPIC", "-Iinclude", "-fvisibility=hidden", "-o", needs, "testdata/minimal.c",
			"-Wl,--no-as-needed", "-L"+dir, "-lgo", "-Wl,"+flag, "-Wl,-rpath,$ORIGIN").CombinedOutput()
		require.NoError(t, err, "%s", out)
		_, err = native.Open(native.Options{Connector: needs})
		require.ErrorIs(t, err, kv.Unsupported)
		require.ErrorContains(t, err, `needs "`+lib+`", which embeds a Go runtime`)
		require.ErrorContains(t, err, `use "isolation": "process"`)
	}
}

func TestAMissingDependencyIsNamed(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "gone.c"), []byte("int gone(void) { return 1; }\n"), 0o644))
	gone, needs := filepath.Join(dir, "libgone.so"), filepath.Join(dir, "libsixcall_needs.so")
	out, err := exec.Command("cc", "-shared", "-fPIC", "-o", gone, filepath.Join(dir, "gone.c")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	out, err = exec.Command("cc", "-shared", "-fPIC", "-Iinclude", "-fvisibility=hidden", "-o", needs, "testdata/minimal.c",
		"-Wl,--no-as-needed", "-L"+dir, "-lgone").CombinedOutput()
	require.NoError(t, err, "%s", out)

	_, err = native.Open(native.Options{Connector: needs})

	require.ErrorIs(t, err, kv.Config)
	require.ErrorContains(t, err, `needs "libgone.so"`)
	require.ErrorContains(t, err, "in none of the loader's folders")
}

func TestAPipeIsNotOpened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo.so")
	require.NoError(t, unix.Mkfifo(path, 0o644))
	_, err := native.Inspect(path, false)
	require.ErrorContains(t, err, "not a regular file")
}

// note returns the bytes of a sixcall note with the given major.
func note(major uint16) []byte {
	b := make([]byte, 132)
	binary.LittleEndian.PutUint32(b, 8)
	binary.LittleEndian.PutUint32(b[4:], 112)
	binary.LittleEndian.PutUint32(b[8:], 1)
	copy(b[12:], "sixcall")
	binary.LittleEndian.PutUint16(b[20:], major)
	copy(b[36:], "Vendor")
	copy(b[68:], "product")
	copy(b[100:], "1.0")
	return b
}

func TestNotesAreFoundBetweenOthers(t *testing.T) {
	gnu := []byte("\x04\x00\x00\x00\x03\x00\x00\x00\x03\x00\x00\x00GNU\x00abc\x00")
	area := append(append(append(append([]byte{}, gnu...), note(2)...), gnu...), note(1)...)
	notes := native.ReadNotes(area)
	require.Len(t, notes, 2)
	require.EqualValues(t, 2, notes[0].ABIMajor)
	require.EqualValues(t, 1, notes[1].ABIMajor)
	require.Equal(t, "product", notes[1].Product)
	require.Empty(t, native.ReadNotes(area[:len(gnu)+100]))
}

func FuzzNotes(f *testing.F) {
	f.Add(note(1))
	f.Add(append(note(2), note(1)...))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x00\x00sixcall\x00"))
	f.Fuzz(func(t *testing.T, area []byte) {
		for _, n := range native.ReadNotes(area) {
			require.LessOrEqual(t, len(n.Vendor)+len(n.Product)+len(n.Version), 3*31*3)
		}
	})
}

func FuzzImage(f *testing.F) {
	good, err := os.ReadFile(compile(f))
	require.NoError(f, err)
	f.Add(good)
	for _, n := range []int{0, 63, 64, 200, len(good) / 2, len(good) - 1} {
		f.Add(good[:n])
	}
	f.Fuzz(func(_ *testing.T, file []byte) {
		if err := native.ReadImage(file); err != nil && strings.ContainsAny(err.Error(), "\n\x00\x1b") {
			panic("an error with control characters: " + err.Error())
		}
	})
}

// TestADamagedFileNeverPanics damages the good library at every byte of its
// headers and of what they point to.
func TestADamagedFileNeverPanics(t *testing.T) {
	good, err := os.ReadFile(compile(t))
	require.NoError(t, err)
	require.NoError(t, native.ReadImage(good))
	headers := int(binary.LittleEndian.Uint64(good[0x28:])) // e_shoff: the section headers are last
	for _, part := range [][2]int{{0, 1024}, {headers, len(good)}} {
		for at := part[0]; at < part[1]; at++ {
			for _, flip := range []byte{0x01, 0x80, 0xff} {
				file := bytes.Clone(good)
				file[at] ^= flip
				_ = native.ReadImage(file)
			}
		}
	}
	for n := 0; n < len(good); n += 97 {
		require.Error(t, native.ReadImage(good[:n]), "%d bytes", n)
	}
}
