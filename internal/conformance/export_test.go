//go:build linux

package conformance

// Conclude counts the verdicts.
func (p *Report) Conclude() { p.conclude() }
