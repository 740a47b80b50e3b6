//go:build linux

package conformance

import (
	"fmt"
	"slices"
	"strings"
)

// Check is one entry of the catalogue.
type Check struct {
	ID    string `json:"id"`   // a letter and two digits
	Name  string `json:"name"` // group.word
	Level int    `json:"level"`
	// Does says what is tried, Means what a failure means for a host, Fix what the
	// vendor should do about it. One sentence each.
	Does  string `json:"does"`
	Means string `json:"means"`
	Fix   string `json:"fix"`

	how how
}

// how a check is carried out.
type how int

const (
	byProbe   how = iota // the probe has a check of this id
	byFile               // from the file alone, see static.go
	byCommand            // the command and the probe together, see runners
	notYet               // listed, reported as SKIP
)

// Catalogue lists every check in the order in which they run.
func Catalogue() []Check {
	return slices.Concat(staticChecks, loadChecks, openChecks, eventChecks, doneChecks, dataChecks, memoryChecks, threadChecks,
		closeChecks, optionalChecks, faultChecks, fuzzChecks, toolChecks, soakChecks, hostChecks, latencyChecks)
}

// Lookup returns the check with the id.
func Lookup(id string) (Check, bool) {
	for _, c := range Catalogue() {
		if c.ID == id {
			return c, true
		}
	}
	return Check{}, false
}

// ParseIDs reads a list of check ids: "B01,F04", or a letter for a whole group.
func ParseIDs(values []string) ([]string, error) {
	var ids, bad []string
	for _, value := range values {
		for _, word := range strings.Split(value, ",") {
			word = strings.ToUpper(strings.TrimSpace(word))
			if word == "" {
				continue
			}
			found := false
			for _, c := range Catalogue() {
				if c.ID == word || len(word) == 1 && strings.HasPrefix(c.ID, word) {
					ids = append(ids, c.ID)
					found = true
				}
			}
			if !found {
				bad = append(bad, word)
			}
		}
	}
	if len(bad) > 0 {
		return nil, fmt.Errorf("unknown check %s; want an id such as B01, or a letter for its group", strings.Join(bad, ", "))
	}
	return ids, nil
}

// ProbeChecks lists the ids of the checks that the probe carries out alone.
func ProbeChecks() (ids []string) {
	for _, c := range Catalogue() {
		if c.how == byProbe {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// CatalogueMarkdown is the catalogue as a table, for the documentation.
func CatalogueMarkdown() string {
	var b strings.Builder
	b.WriteString("| Id | Name | Level | What it does | What a failure means | What to do |\n|---|---|---|---|---|---|\n")
	for _, c := range Catalogue() {
		does := c.Does
		if c.how == notYet {
			does += " Not in this version."
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %s | %s | %s |\n", c.ID, c.Name, c.Level, cell(does), cell(c.Means), cell(c.Fix))
	}
	return b.String()
}
