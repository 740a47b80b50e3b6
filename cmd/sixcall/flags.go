package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sixcall/sixcall/adapters/config"
	"github.com/sixcall/sixcall/cmd/sixcall/internal/term"
)

// choice is a flag with a fixed set of values.
type choice struct {
	value    string
	accepted []string
}

func (c *choice) String() string { return c.value }
func (c *choice) Type() string   { return strings.Join(c.accepted, "|") }
func (c *choice) Set(s string) error {
	if !slices.Contains(c.accepted, s) {
		return fmt.Errorf("want one of %s", strings.Join(c.accepted, ", "))
	}
	c.value = s
	return nil
}

// addChoice adds a choice flag; the first accepted value is the default unless
// optional is set.
func addChoice(cmd *cobra.Command, name, usage string, optional bool, accepted ...string) *choice {
	c := &choice{accepted: accepted}
	if !optional {
		c.value = accepted[0]
	}
	cmd.Flags().Var(c, name, usage)
	_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(accepted, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// addNoFlag adds --no-name, which sets a boolean flag to false. The last of the
// two on the command line wins.
func addNoFlag(flags *pflag.FlagSet, name string, value *bool) {
	flags.BoolFunc("no-"+name, "the opposite of --"+name, func(s string) error {
		switch s {
		case "true":
			*value = false
		case "false":
			*value = true
		default:
			return fmt.Errorf("takes no value")
		}
		return nil
	})
}

// output says in which form and where a result is written.
type output struct {
	format *choice
	file   string
}

func addOutput(cmd *cobra.Command) *output {
	o := &output{format: addChoice(cmd, "format", "form of the result", false, "terminal", "json")}
	cmd.Flags().StringVar(&o.file, "output", "", "also write the result to this file, in the same form, whole or not at all")
	return o
}

// write writes a result: text is the terminal form, value the JSON form. quiet
// leaves the standard output empty.
func (o *output) write(a *app, quiet bool, text string, value any) error {
	if o.format.value == "json" {
		data, err := json.MarshalIndent(value, "", "  ")
		if err != nil {
			return failed(err)
		}
		text = string(data) + "\n"
	}
	if !quiet {
		if _, err := fmt.Fprint(a.stdout, text); err != nil {
			return failed(err)
		}
	}
	if o.file != "" {
		if err := term.WriteFile(o.file, []byte(text)); err != nil {
			return failedf("write the result: %w", err)
		}
	}
	return nil
}

// parseAdapters parses --l2-adapter values and reports, at once, what is wrong
// with them and what this version does not carry out.
func parseAdapters(values []string) ([]config.L2Adapter, error) {
	adapters, err := config.ParseL2Adapters(values)
	if err != nil {
		return nil, err
	}
	var lines []string
	for i, cfg := range adapters {
		if err := cfg.Supported(); err != nil {
			for _, line := range strings.Split(err.Error(), "\n") {
				lines = append(lines, fmt.Sprintf("--l2-adapter #%d ('%s'): %s", i+1, cfg.Type, line))
			}
		}
	}
	if len(lines) > 0 {
		return nil, fmt.Errorf("%s", strings.Join(lines, "\n"))
	}
	return adapters, nil
}

// inRange reports a flag that is out of its range.
func inRange(flag string, value, least, most int) error {
	if value >= least && value <= most {
		return nil
	}
	return fmt.Errorf("--%s is %d, want %d to %d", flag, value, least, most)
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
