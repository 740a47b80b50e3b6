package config

import (
	"go.uber.org/zap"

	"github.com/sixcall/sixcall/adapters/l2"
)

var (
	Nearest      = nearest
	EditDistance = editDistance
	LogTo        = func(l *zap.Logger) func(int, string) { return logTo(l) }
	LMCacheTypes = lmcacheTypes
)

// OptionsOf returns what Build gives the adapter.
func OptionsOf(a L2Adapter) l2.Options { return Builder{}.adapterOptions(a.NativePlugin, "x") }
