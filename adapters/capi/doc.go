// Command capi is libsixcall.so: the bridge and LMCache's L2 adapter behind C
// functions, for hosts in Python.
//
//	CGO_ENABLED=1 go build -buildmode=c-shared -o libsixcall.so ./adapters/capi
//
// Its one user is the package sixcall for Python (adapters/python), so its functions
// are no public interface: both change together, and sixcall_interface tells them
// apart. python.c translates Python's objects through the stable part of CPython's C
// API, which it looks up in the process: one library serves every version of Python,
// and nothing runs in the interpreter per key.
//
// A process that was forked does not have the threads of Go's runtime. Every call says
// so there instead of hanging.
package main

func main() {}
