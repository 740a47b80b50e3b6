package launcher

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// longestShebang is how much of a first line counts, bytes. The kernel takes 255.
const longestShebang = 255

// Command returns what runs the script: the program of its "#!" line with its
// argument, else the one for its extension, else, for an executable file, the file
// itself. As the kernel does it, all that follows the program in a "#!" line is
// one argument; "env" is run like any other program, and looks its argument up.
func Command(path string) ([]string, error) {
	var tried []string
	if line := firstLine(path); line != "" {
		program, arg, _ := strings.Cut(line, " ")
		if tab, rest, ok := strings.Cut(line, "\t"); ok && len(tab) < len(program) {
			program, arg = tab, rest
		}
		arg = strings.TrimSpace(arg)
		found, err := exec.LookPath(program)
		if err == nil && filepath.Base(program) == "env" {
			err = envFinds(arg)
		}
		if err == nil {
			command := []string{found}
			if arg != "" {
				command = append(command, arg)
			}
			return append(command, path), nil
		}
		tried = append(tried, "#!"+line)
	}
	for _, program := range map[string][]string{".py": {"python", "python3"}, ".sh": {"bash"}}[filepath.Ext(path)] {
		if found, err := exec.LookPath(program); err == nil {
			return []string{found, path}, nil
		}
		tried = append(tried, program)
	}
	if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 && len(tried) == 0 {
		if real, err := filepath.Abs(path); err == nil {
			return []string{real}, nil
		}
	}
	if len(tried) == 0 {
		return nil, fmt.Errorf("nothing says how to run %q: it has no #! line, its extension is neither .py nor .sh, and it is not executable", path)
	}
	return nil, fmt.Errorf("nothing can run %q: tried %s", path, strings.Join(tried, ", "))
}

// envFinds reports whether env would find the program that arg names. Flags and
// assignments are left to env.
func envFinds(arg string) error {
	if arg == "" || strings.HasPrefix(arg, "-") || strings.Contains(arg, "=") {
		return nil
	}
	_, err := exec.LookPath(arg)
	return err
}

// firstLine returns what follows "#!" in the first line of the file, "" if that is
// not how it begins. Blanks around it do not count.
func firstLine(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	buf := make([]byte, longestShebang)
	n, err := io.ReadFull(f, buf)
	if err != nil && err != io.ErrUnexpectedEOF {
		return ""
	}
	line, _, _ := strings.Cut(string(buf[:n]), "\n")
	rest, ok := strings.CutPrefix(strings.TrimSpace(line), "#!")
	if !ok {
		return ""
	}
	return strings.TrimSpace(rest)
}
