// Package python runs plug-ins of LMCache that are written in Python, in a worker
// process with an interpreter, and shows them as connectors.
//
// The worker is sixcall.worker of the Python package beside this one. It is part of
// this program: the interpreter needs nothing of ours installed. It speaks the
// protocol of sixcall-worker (native/worker/PROTOCOL.md), so package bridge/worker
// starts it, watches it and starts it again.
package python
