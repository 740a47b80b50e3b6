package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sixcall/sixcall/adapters/config/host"
	"github.com/sixcall/sixcall/adapters/config/lmcache"
)

func newConfig(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check LMCache's configuration file",
		Example: `  sixcall config check lmcache.yaml
  sixcall config schema`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error { return errors.New("say what to do: check or schema") },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "check FILE",
		Short: "Check a file and print the effective configuration",
		Long: `Check reads the file and the LMCACHE_ variables of the environment over it, as an
engine would, says what is wrong or has no effect, looks for the plugins that it names
(modules in Python are imported), and prints every setting with its value. Secrets are
masked.`,
		Example: "  sixcall config check lmcache.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := loadConfig(a, args[0])
			if err != nil {
				return err
			}
			if err := c.Validate(); err != nil {
				return failed(err)
			}
			if c.RemoteSerde != "naive" && (c.RemoteURL != "" || len(c.RemoteStoragePlugins) > 0) {
				// A program that links the packages may bring one; this one has none.
				return failed(fmt.Errorf("remote_serde is %q: this program stores chunks as they are; use naive", c.RemoteSerde))
			}
			opts, err := hostOptions(a, c)
			if err != nil {
				return err
			}
			for _, problem := range host.Check(cmd.Context(), opts) {
				fmt.Fprintf(a.stderr, "sixcall: warning: %v\n", problem)
			}
			text, err := c.Masked()
			if err != nil {
				return failed(err)
			}
			_, err = fmt.Fprintf(a.stdout, "%s\n", text)
			return failed(err)
		},
	}, &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of the file",
		Example: "  sixcall config schema > lmcache.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(a.stdout, "%s\n", lmcache.Schema())
			return failed(err)
		},
	})
	return cmd
}
