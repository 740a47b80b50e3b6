// Package faultinject is LMCache's fault_inject L2 adapter: it makes an adapter
// lose keys on load, always the same ones, so that a host can be tested for the
// holes it has to live with. Lookups still find these keys.
package faultinject
