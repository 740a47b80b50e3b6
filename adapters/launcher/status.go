package launcher

// State is where a plugin is in its life.
type State string

// The states.
const (
	StateRunning    State = "running"
	StateExited     State = "exited"     // and is not started again
	StateRestarting State = "restarting" // waits for its next start
	StateFailed     State = "failed"     // could not be started
	StateStopped    State = "stopped"
)

// Status is a snapshot of one plugin.
type Status struct {
	Path     string
	State    State
	Pid      int // 0 when it does not run
	Restarts int
	// ExitCode is that of the last run, 128 plus the signal's number after one, -1
	// when no run has ended.
	ExitCode int
	Dropped  int64 // lines that were not shown
	Err      string
}
