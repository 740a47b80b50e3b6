package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/config"
	"github.com/sixcall/sixcall/native"
)

func TestChooseIsolation(t *testing.T) {
	note := func(vendor, product string) *native.Note { return &native.Note{Vendor: vendor, Product: product} }
	for _, tt := range []struct {
		setting config.Isolation
		report  native.Report
		where   config.Isolation
		why     string
	}{
		{config.IsolationAuto, native.Report{Note: note("Sixcall", "mem")}, config.IsolationNone, "bundled connector"},
		{config.IsolationAuto, native.Report{Note: note("Sixcall", "mooncake")}, config.IsolationProcess, `"mooncake" of "Sixcall"`},
		{config.IsolationAuto, native.Report{Note: note("Acme", "mem")}, config.IsolationProcess, `"mem" of "Acme"`},
		{config.IsolationAuto, native.Report{}, config.IsolationProcess, "no note"},
		{config.IsolationAuto, native.Report{Note: note("Sixcall", "mem"), GoRuntime: []native.GoRuntime{{Path: "/x/libgo.so"}}},
			config.IsolationProcess, `"/x/libgo.so" embeds a Go runtime`},
		{config.IsolationNone, native.Report{}, config.IsolationNone, "the configuration says so"},
		{config.IsolationProcess, native.Report{Note: note("Sixcall", "mem")}, config.IsolationProcess, "the configuration says so"},
	} {
		where, why := config.ChooseIsolation(tt.setting, &tt.report)
		require.Equal(t, tt.where, where)
		require.Contains(t, why, tt.why)
	}
}
