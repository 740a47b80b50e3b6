package launcher

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"
)

// RestartMode says after which exits a plugin is started again.
type RestartMode string

// The modes.
const (
	RestartNever     RestartMode = "never"
	RestartOnFailure RestartMode = "on-failure" // a code other than 0, or a signal
	RestartAlways    RestartMode = "always"
)

// Restart is the restart policy. The zero value never restarts.
type Restart struct {
	Mode    RestartMode   // default never
	Initial time.Duration // pause before the first restart; it doubles. Default 1s
	Max     time.Duration // longest pause. Default 1m. A run that lasted longer begins anew
	Limit   int           // restarts of one plugin, 0 = no limit
}

// Options configures [Start]. The zero value runs nothing.
type Options struct {
	// Locations are scripts and folders; see [Discover].
	Locations []string
	// Role is [RoleWorker], [RoleScheduler], or "" when the host does not know:
	// all plugins run then.
	Role string
	// WorkerID is -1 for a process that is no worker.
	WorkerID    int
	WorkerCount int
	// Config is given to plugins as JSON. It may hold secrets: plugins are trusted.
	Config json.RawMessage
	// Grace is the time between SIGTERM and SIGKILL. Default 5s, negative = none.
	Grace   time.Duration
	Restart Restart
	// LinesPerSecond bounds what one plugin writes to the log; twice as many may
	// come at once. Lines beyond are read, dropped and counted. Default 200.
	LinesPerSecond int
	// Logger receives each line at level info with the field "plugin", and starts
	// and ends. Default: discard.
	Logger *zap.Logger
}

func (o Options) ready() (Options, error) {
	var errs []error
	switch strings.ToLower(o.Role) {
	case "", RoleWorker, RoleScheduler:
	default:
		errs = append(errs, fmt.Errorf("option Role is %q, want %q, %q or empty", o.Role, RoleWorker, RoleScheduler))
	}
	switch o.Restart.Mode {
	case "", RestartNever, RestartOnFailure, RestartAlways:
	default:
		errs = append(errs, fmt.Errorf("option Restart.Mode is %q, want %q, %q or %q", o.Restart.Mode, RestartNever, RestartOnFailure, RestartAlways))
	}
	if o.LinesPerSecond < 0 || o.Restart.Limit < 0 || o.Restart.Initial < 0 || o.Restart.Max < 0 {
		errs = append(errs, errors.New("LinesPerSecond and the numbers of Restart must not be negative"))
	}
	if o.Grace == 0 {
		o.Grace = 5 * time.Second
	}
	o.Grace = max(o.Grace, 0)
	if o.Restart.Initial == 0 {
		o.Restart.Initial = time.Second
	}
	if o.Restart.Max == 0 {
		o.Restart.Max = time.Minute
	}
	if o.LinesPerSecond == 0 {
		o.LinesPerSecond = 200
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return o, errors.Join(errs...)
}
