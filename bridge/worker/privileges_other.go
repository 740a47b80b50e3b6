//go:build !linux

package worker

func secureExecution() bool { return false }
