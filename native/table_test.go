//go:build linux && (amd64 || arm64)

package native_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/native"
)

func TestATableThatDoesNotFitIsRefusedWithOneSentence(t *testing.T) {
	tests := []struct {
		name    string
		defines []string
		code    kv.Code
		want    string
	}{
		{"NULL instead of a table", []string{"ENTRY_RETURNS=0"}, kv.Version, "returned NULL: the library refuses this host (sixcall, ABI 1.0)"},
		{"address of nothing", []string{"ENTRY_RETURNS=0x1000"}, kv.Internal, "returned the address of no table: 0x1000 is not readable memory"},
		{"odd address", []string{"ENTRY_RETURNS=0x1001"}, kv.Internal, "returned 0x1001, which is not the address of a table"},
		{"another table each time", []string{"ENTRY_RETURNS=malloc(4096)"}, kv.Config, "returned two different tables"},
		{"future major", []string{"ABI_MAJOR=7"}, kv.Version, "implements ABI 7.0, this host speaks ABI 1.0; the host is too old"},
		{"major 0", []string{"ABI_MAJOR=0"}, kv.Version, "implements ABI 0.0, this host speaks ABI 1.0; it is too old"},
		{"table beyond its memory", []string{"TABLE_SIZE=0xFFFFFFFF", "ENTRY_RETURNS=((char*)&table+sizeof table)"}, kv.Version, "implements ABI"},
		{"unknown needs", []string{"NEEDS=(1ull<<3|1ull<<63)"}, kv.Version, "bits [3 63] of needs (0x8000000000000008)"},
		{"NULL open", []string{"OPEN_SLOT=0"}, kv.Internal, "NULL for the required open"},
		{"NULL event_fd", []string{"EVENT_FD_SLOT=0"}, kv.Internal, "NULL for the required event_fd"},
		{"NULL submit_batch_get", []string{"GET_SLOT=0"}, kv.Internal, "NULL for the required submit_batch_get"},
		{"NULL submit_batch_set", []string{"SET_SLOT=0"}, kv.Internal, "NULL for the required submit_batch_set"},
		{"NULL submit_batch_exists", []string{"EXISTS_SLOT=0"}, kv.Internal, "NULL for the required submit_batch_exists"},
		{"NULL drain_completions", []string{"DRAIN_SLOT=0"}, kv.Internal, "NULL for the required drain_completions"},
		{"NULL close", []string{"CLOSE_SLOT=0"}, kv.Internal, "NULL for the required close"},
		{"NULL twice", []string{"OPEN_SLOT=0", "CLOSE_SLOT=0"}, kv.Internal, "NULL for the required open, close"},
		{"NULL name", []string{"NAME=0", "NO_NOTE"}, kv.Internal, "NULL for name"},
		{"name with a blank", []string{`NAME="My Store"`}, kv.Internal, `the name "My Store", want characters of [a-z0-9_-]`},
		{"version at a wrong address", []string{"VERSION=((char*)16)", "NO_NOTE"}, kv.Internal, "version of its table is not a string"},
		{"schema that is not JSON", []string{`SCHEMA="{\"type\":"`}, kv.Internal, "its config_schema is broken: unexpected EOF"},
		{"schema of another type", []string{`SCHEMA="{\"type\":\"array\"}"`}, kv.Internal, `its type is ["array"], want "object"`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			path := compile(t, tc.defines...)
			_, err := native.Open(native.Options{Connector: path})
			require.ErrorIs(t, err, tc.code, "%v", err)
			require.ErrorContains(t, err, tc.want)
			require.ErrorContains(t, err, path)
			require.NotContains(t, err.Error(), "\n")

			report, err := native.Inspect(path, true)
			require.NoError(t, err)
			require.Equal(t, native.VerdictRefused, report.Verdict)
		})
	}
}

func TestATableMayEndAfterAnySlot(t *testing.T) {
	for size := 0; size <= 200; size += 8 {
		t.Run(fmt.Sprintf("bytes=%d", size), func(t *testing.T) {
			path := compile(t, fmt.Sprintf("TABLE_SIZE=%d", size))
			if size < 120 {
				_, err := native.Open(native.Options{Connector: path})
				require.ErrorIs(t, err, kv.Version)
				require.ErrorContains(t, err, fmt.Sprintf("its table has %d bytes, ABI 1 needs at least 120", size))
				return
			}
			c := open(t, native.Options{Connector: path})
			// register_memory counts with unregister_memory only.
			order := []kv.Caps{kv.CapDelete, kv.CapLimits, kv.CapPing, kv.CapCancel, 0, kv.CapRegisterMemory, kv.CapUsage, kv.CapList, kv.CapStatsText}
			want := kv.CapReadYourWrites | kv.CapValueLens
			for _, c := range order[:min(len(order), (size-120)/8)] {
				want |= c
			}
			require.Equal(t, want.Names(), c.Info().Caps.Names(), "a capability whose slot is cut off does not count")
			if !want.Has(kv.CapDelete) {
				require.ErrorIs(t, c.Submit(newBatch(t, kv.OpDelete, 1, 1, 0)), kv.Unsupported)
			}
			require.Equal(t, want.Has(kv.CapLimits), c.Info().Limits.MaxBatch == 4096)
			require.Equal(t, kv.OpExists, run(t, c, newBatch(t, kv.OpExists, 2, 1, 0)).Op)
		})
	}
}

func TestATableThatIsCutInsideASlotLacksThatSlot(t *testing.T) {
	c := open(t, native.Options{Connector: compile(t, "TABLE_SIZE=124")})
	require.False(t, c.Info().Caps.Has(kv.CapDelete))
	require.Contains(t, strings.Join(c.Report().Warnings(), "; "), "claims the capability delete, but its slot submit_batch_delete is missing")
}

func TestATableOfALaterMinorWorks(t *testing.T) {
	path := compile(t, "TABLE_SIZE=sizeof(longer)", "CAPS=(SIXCALL_CAP_DELETE|(1ull<<9)|(1ull<<40))")
	c := open(t, native.Options{Connector: path})
	require.Equal(t, kv.CapDelete, c.Info().Caps, "unknown bits are ignored")
	require.Equal(t, []int{9, 40}, c.Report().Table.UnknownCaps)
	require.EqualValues(t, 232, c.Report().Table.Size)
	require.Contains(t, strings.Join(c.Report().Warnings(), "; "), "has the slot limits, but does not claim the capability limits")
	run(t, c, newBatch(t, kv.OpSet, 1, 4, 64))
}

func TestAnUnknownThreadModelIsServedOneCallAtATime(t *testing.T) {
	c := open(t, native.Options{Connector: compile(t, "THREADS=9")})
	require.Equal(t, "serial", c.Report().Table.ThreadModel)
	require.Contains(t, strings.Join(c.Report().Warnings(), "; "), "thread model 9 is unknown")
	run(t, c, newBatch(t, kv.OpExists, 1, 1, 0))
}
