//go:build !linux

package main

import (
	"runtime"

	"github.com/spf13/cobra"
)

func newCheck(*app) *cobra.Command {
	return &cobra.Command{
		Use:   "check LIB|NAME",
		Short: "Check whether a connector library keeps the contract (Linux only)",
		RunE: func(*cobra.Command, []string) error {
			return failedf("check is not supported on %s", runtime.GOOS)
		},
	}
}
