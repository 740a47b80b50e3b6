package quota

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/sixcall/sixcall/bridge/kv"
)

// GiB is the unit of limits in the configuration.
const GiB = 1 << 30

// Entry is one registered limit.
type Entry struct {
	Salt       string
	LimitBytes int64
}

// Manager maps salts to limits in bytes. The zero value is empty and ready. It
// is not kept over restarts. Safe for concurrent use; no call blocks.
type Manager struct {
	mu     sync.RWMutex // guards what follows
	limits map[string]int64
	// def is the limit of unregistered salts; valid if hasDef.
	def    int64
	hasDef bool
}

// Set registers limit bytes for a salt, or replaces its limit. 0 is a limit: the
// salt may have nothing. A negative limit and a salt that no key can have are
// [kv.Invalid].
func (m *Manager) Set(salt string, limit int64) error {
	if limit < 0 {
		return invalid("the limit of salt %q is %d bytes, want 0 or more", salt, limit)
	}
	if err := (kv.Key{Salt: salt}).Validate(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.limits == nil {
		m.limits = map[string]int64{}
	}
	m.limits[salt] = limit
	return nil
}

// SetGB is Set in GiB, cut to whole bytes. NaN and infinite limits are
// [kv.Invalid] as well.
func (m *Manager) SetGB(salt string, gb float64) error {
	limit, err := Bytes(gb)
	if err != nil {
		return err
	}
	return m.Set(salt, limit)
}

// Delete forgets the limit of a salt and reports whether there was one.
func (m *Manager) Delete(salt string) (existed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, existed = m.limits[salt]
	delete(m.limits, salt)
	return existed
}

// Limit returns the registered limit of a salt in bytes, 0 if it has none. It is
// what eviction goes by.
func (m *Manager) Limit(salt string) int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.limits[salt]
}

// Has reports whether a limit is registered for a salt.
func (m *Manager) Has(salt string) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	_, ok := m.limits[salt]
	return ok
}

// SetDefault sets the limit that [Manager.EffectiveLimit] gives to salts without
// one of their own. A negative limit is [kv.Invalid].
func (m *Manager) SetDefault(limit int64) error {
	if limit < 0 {
		return invalid("the default limit is %d bytes, want 0 or more", limit)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.def, m.hasDef = limit, true
	return nil
}

// ClearDefault exempts salts without a limit of their own, as in the beginning.
func (m *Manager) ClearDefault() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.def, m.hasDef = 0, false
}

// EffectiveLimit returns the limit of a salt in bytes, or the default; limited is
// false when there is neither, which exempts the salt.
func (m *Manager) EffectiveLimit(salt string) (limit int64, limited bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if limit, ok := m.limits[salt]; ok {
		return limit, true
	}
	return m.def, m.hasDef
}

// List returns a detached copy of the registered limits, sorted by salt.
func (m *Manager) List() []Entry {
	m.mu.RLock()
	defer m.mu.RUnlock()
	entries := make([]Entry, 0, len(m.limits))
	for salt, limit := range m.limits {
		entries = append(entries, Entry{salt, limit})
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Salt, b.Salt) })
	return entries
}

// Bytes converts GiB to bytes and cuts the fraction off. NaN, infinite, negative
// and larger numbers than an int64 holds are [kv.Invalid].
func Bytes(gb float64) (int64, error) {
	switch {
	case math.IsNaN(gb) || math.IsInf(gb, 0):
		return 0, invalid("limit_gb is %v, want a finite number", gb)
	case gb < 0:
		return 0, invalid("limit_gb is %v, want 0 or more", gb)
	case gb >= math.MaxInt64/GiB:
		return 0, invalid("limit_gb is %v, want less than %d", gb, int64(math.MaxInt64/GiB))
	}
	return int64(gb * GiB), nil
}

func invalid(format string, args ...any) error {
	return &kv.Error{Op: "quota", Code: kv.Invalid, Err: fmt.Errorf(format, args...)}
}
