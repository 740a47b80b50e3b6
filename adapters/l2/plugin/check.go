package plugin

import (
	"errors"
	"fmt"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/eventfd"
)

// Check reports what is wrong with an open adapter, all at once, as far as it
// shows without a task: its three event fds must be open, pollable, stable, and
// different from each other and from those of others. A host tells finished tasks
// apart by these numbers alone: a shared one loses results.
//
// Distinct numbers are not proof: descriptors duplicated from one event have
// them too. Package plugintest finds those.
func Check(a l2.Adapter, others ...l2.Adapter) error {
	var errs []error
	owners := map[int]string{}
	for i, other := range others {
		for _, e := range eventFDs(other) {
			if e.fd >= 0 {
				owners[e.fd] = fmt.Sprintf("%s of adapter %d", e.name, i)
			}
		}
	}
	again := eventFDs(a)
	for i, e := range eventFDs(a) {
		if e.fd != again[i].fd {
			errs = append(errs, fmt.Errorf("%s was %d and is %d now; it must stay the same until Close", e.name, again[i].fd, e.fd))
		}
		if e.fd < 0 {
			errs = append(errs, fmt.Errorf("%s is %d, want an open descriptor", e.name, e.fd))
			continue
		}
		if owner, taken := owners[e.fd]; taken {
			errs = append(errs, fmt.Errorf("%s is %d, which is %s; each needs its own", e.name, e.fd, owner))
			continue
		}
		owners[e.fd] = e.name
		poller, err := eventfd.NewPoller(e.fd)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", e.name, err))
			continue
		}
		poller.Close()
	}
	if err := errors.Join(errs...); err != nil {
		return oneLine(err)
	}
	return nil
}

type namedFD struct {
	name string
	fd   int
}

func eventFDs(a l2.Adapter) []namedFD {
	return []namedFD{
		{"StoreEventFD", a.StoreEventFD()},
		{"LookupAndLockEventFD", a.LookupAndLockEventFD()},
		{"LoadEventFD", a.LoadEventFD()},
	}
}
