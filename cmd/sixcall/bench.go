package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

func newBench(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "bench",
		Short:   "Measure adapters",
		Example: "  sixcall bench l2 --help",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error { return errors.New("say what to measure: l2") },
	}
	cmd.AddCommand(newBenchL2(a))
	return cmd
}
