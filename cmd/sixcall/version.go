package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// abiVersion is the version of the connector ABI that this program speaks.
const abiVersion = "1.0"

// buildVersion is what the version command shows.
type buildVersion struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"` // of the revision
	Modified bool   `json:"modified,omitempty"`
	ABI      string `json:"abi"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersion(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Show the version, the ABI and the platform",
		Example: "  sixcall version --format json",
		Args:    cobra.NoArgs,
	}
	format := addChoice(cmd, "format", "form of the result", false, "terminal", "json")
	cmd.RunE = func(*cobra.Command, []string) error {
		v := readVersion()
		text := fmt.Sprintf("sixcall %s\nconnector ABI %s, %s, %s\n", v.Version, v.ABI, v.Go, v.Platform)
		if v.Revision != "" {
			text += fmt.Sprintf("built from %s of %s\n", v.Revision, v.Time)
		}
		return (&output{format: format}).write(a, false, text, v)
	}
	return cmd
}

func readVersion() buildVersion {
	v := buildVersion{
		Version:  "unknown",
		ABI:      abiVersion,
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}
