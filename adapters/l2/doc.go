// Package l2 serves LMCache's L2-adapter contract (multi-process mode, 0.5.6) on
// any [kv.Connector].
//
// It has two faces: [Adapter], the contract itself with its three event fds, for
// hosts that poll; and [Client], with contexts, for Go programs. [NativeAdapter]
// has both; [NewClient] gives the second one to any adapter.
//
// Those who write an adapter of their own, for package plugin, find its parts
// here: [Notifiers], [Tasks] and [Accounting].
package l2
