package launcher

import (
	"errors"
	"os"
	"path/filepath"
	"sync"

	"go.uber.org/zap"
)

// Launcher is a set of running plugins. Safe for concurrent use.
type Launcher struct {
	opts    Options
	env     []string
	file    string // configuration file, "" = none
	guard   *guard
	plugins []*plugin
	once    sync.Once
	err     error
}

// Start starts the plugins that belong on this process. What goes wrong with a
// location or a plugin is logged, shown in [Launcher.Status] and stops nothing
// else; an error is one of the options or of the machine.
func Start(opts Options) (*Launcher, error) {
	opts, err := opts.ready()
	if err != nil {
		return nil, err
	}
	l := &Launcher{opts: opts}
	scripts, err := Discover(opts.Locations)
	if err != nil {
		opts.Logger.Warn("plugin locations", zap.Error(err))
	}
	for _, path := range scripts {
		if RunsOn(path, opts.Role, opts.WorkerID) {
			l.plugins = append(l.plugins, newPlugin(l, path))
		}
	}
	if len(l.plugins) == 0 {
		return l, nil
	}
	if l.env, l.file, err = environment(opts); err != nil {
		return nil, err
	}
	if l.guard, err = startGuard(opts.Grace, l.file); err != nil {
		l.removeFile()
		return nil, err
	}
	for _, p := range l.plugins {
		p.launch()
	}
	return l, nil
}

// Status returns a snapshot, in the order in which the plugins were started.
func (l *Launcher) Status() []Status {
	out := make([]Status, 0, len(l.plugins))
	for _, p := range l.plugins {
		out = append(out, p.snapshot())
	}
	return out
}

// Stop terminates every plugin with all that it started, waits for Grace, and
// kills what is left. It returns when all are gone. Further calls do nothing.
func (l *Launcher) Stop() error {
	l.once.Do(func() {
		var (
			all  sync.WaitGroup
			mu   sync.Mutex
			errs []error
		)
		for _, p := range l.plugins {
			all.Go(func() {
				if err := p.stop(); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if l.guard != nil {
			l.guard.close()
		}
		l.removeFile()
		l.err = errors.Join(errs...)
	})
	return l.err
}

func (l *Launcher) removeFile() {
	if l.file != "" {
		_ = os.RemoveAll(filepath.Dir(l.file))
	}
}
