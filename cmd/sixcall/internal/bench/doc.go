// Package bench measures an L2 adapter through its event fds, as a host drives
// it: a round submits several tasks, waits until all have ended, and is timed as
// a whole. Operations, keys and meaning are those of LMCache's "lmcache bench l2",
// so that results can be laid side by side.
package bench
