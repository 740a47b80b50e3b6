package launcher

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// guardScript ends the process groups that it was told of when its input ends,
// which is when the host has died: the kernel closes the pipe whatever happened. It
// is a script because the program that links this package has no other program to
// run. Arguments: seconds of grace, configuration file to remove.
const guardScript = `
trap '' HUP INT TERM
groups=' '
while read -r what id; do
	case $what in
	add) groups="$groups$id " ;;
	del) groups="${groups%% $id *} ${groups#* $id }" ;;
	bye) exit 0 ;;
	esac
done
[ "$groups" = ' ' ] || {
	for id in $groups; do kill -s TERM -- "-$id" 2>/dev/null; done
	sleep "$1"
	for id in $groups; do kill -s KILL -- "-$id" 2>/dev/null; done
}
[ -z "$2" ] || rm -rf -- "${2%/*}"
`

// guard is the process that outlives the host.
type guard struct {
	mu  sync.Mutex // guards in
	in  io.WriteCloser
	cmd *exec.Cmd
}

func startGuard(grace time.Duration, file string) (*guard, error) {
	g := &guard{cmd: exec.Command("/bin/sh", "-c", guardScript, "sixcall-guard", fmt.Sprintf("%.3f", grace.Seconds()), file)}
	g.cmd.Dir = "/"
	g.cmd.SysProcAttr = ownGroup() // a Ctrl-C is not for it
	in, err := g.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	g.in = in
	if err := g.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the guard of the plugins: %w", err)
	}
	return g, nil
}

// tell writes one word and a group. Without a guard, because somebody killed it,
// plugins still die with the host by their death signal.
func (g *guard) tell(what string, group int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, _ = fmt.Fprintf(g.in, "%s %d\n", what, group)
}

// close lets the guard go; all groups are gone.
func (g *guard) close() {
	g.mu.Lock()
	_, _ = io.Copy(g.in, strings.NewReader("bye 0\n"))
	_ = g.in.Close()
	g.mu.Unlock()
	_ = g.cmd.Wait()
}

// gate is a shell that waits for a line on descriptor 3 and then becomes the
// plugin: by then the guard knows the group. Without a line the host has died.
const gate = `read -r _ <&3 || exit 125; exec 3<&-; exec "$@"`

// gated returns the command behind the gate, and the end that opens it.
func gated(command []string) (*exec.Cmd, *os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command("/bin/sh", append([]string{"-c", gate, "sixcall-plugin"}, command...)...)
	cmd.ExtraFiles = []*os.File{r}
	return cmd, w, nil
}
