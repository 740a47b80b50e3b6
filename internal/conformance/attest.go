//go:build linux

package conformance

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"
)

// AttestationSchema names the form of an attestation.
const AttestationSchema = "sixcall.attestation/1"

// Attestation states that a library with a certain content passed a level. It is no
// signature: it protects against mistakes (another build, another level), not against
// somebody who writes one by hand. Sign the file where that matters.
type Attestation struct {
	Schema    string            `json:"schema"`
	SHA256    string            `json:"sha256"` // of the library
	Connector string            `json:"connector"`
	ABI       string            `json:"abi"`
	Checker   string            `json:"checker"`
	Level     int               `json:"level"`
	Seeds     []uint64          `json:"seeds"`
	Machine   string            `json:"machine"`
	Date      string            `json:"date"` // UTC, RFC 3339
	Verdicts  map[string]string `json:"verdicts"`
	Waived    map[string]string `json:"waived,omitempty"`
	// Digest is the SHA-256 of all other fields, see digest.
	Digest string `json:"digest"`
}

// Attest makes the statement. A report with a bad verdict, with a check that could
// not run, or of chosen checks only has none.
func (p *Report) Attest() (*Attestation, error) {
	switch {
	case len(p.Only) > 0:
		return nil, errors.New("no attestation: only some checks were run")
	case p.Failed():
		return nil, errors.New("no attestation: the library is not conformant")
	case p.Broken():
		return nil, errors.New("no attestation: a check could not run")
	}
	a := &Attestation{
		Schema: AttestationSchema, SHA256: p.SHA256, Connector: p.Connector, ABI: p.ABI, Checker: p.Checker, Level: p.Level,
		Seeds: []uint64{p.Seed}, Machine: p.Machine, Date: p.Started.Format(time.RFC3339), Verdicts: map[string]string{},
	}
	for _, r := range p.Results {
		a.Verdicts[r.ID] = string(r.Verdict)
		if r.Waived != "" {
			if a.Waived == nil {
				a.Waived = map[string]string{}
			}
			a.Waived[r.ID] = r.Waived
		}
	}
	a.Digest = a.digest()
	return a, nil
}

// digest is the SHA-256 of the JSON of all fields but the digest itself; maps are
// sorted by key there.
func (a *Attestation) digest() string {
	c := *a
	c.Digest = ""
	data, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings and numbers only
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Verify reports why an attestation does not cover a library at a level; nil when it
// does. waivers says whether waived verdicts are accepted.
func (a *Attestation) Verify(library string, level int, waivers bool) error {
	if a.Schema != AttestationSchema {
		return fmt.Errorf("the attestation is of the form %q, want %q", a.Schema, AttestationSchema)
	}
	if a.Digest != a.digest() {
		return errors.New("the attestation was changed after it was made: its digest does not fit")
	}
	if a.Level < level {
		return fmt.Errorf("the attestation is for level %d, want %d", a.Level, level)
	}
	sum, err := hashFile(library)
	if err != nil {
		return err
	}
	if sum != a.SHA256 {
		return fmt.Errorf("the attestation is for another file: %s has sha256 %s, want %s", library, sum, a.SHA256)
	}
	if len(a.Waived) > 0 && !waivers {
		return fmt.Errorf("the attestation waives %s", some(slices.Sorted(maps.Keys(a.Waived)), 8))
	}
	for _, c := range Catalogue() {
		if c.Level > level {
			continue
		}
		v, ok := a.Verdicts[c.ID]
		switch {
		case !ok:
			return fmt.Errorf("the attestation does not have check %s %s", c.ID, c.Name)
		case (Verdict(v).Bad() && a.Waived[c.ID] == "") || Verdict(v) == ToolError:
			return fmt.Errorf("the attestation says %s for check %s %s", v, c.ID, c.Name)
		}
	}
	return nil
}

// AttestationPath is where a host looks for the attestation of a library.
func AttestationPath(library string) string { return library + ".check.json" }

// VerifyFile verifies the attestation in a file; "" is [AttestationPath]. It returns
// the SHA-256 of the library that it covers: pin it, since the file may be replaced
// between this call and the loading.
func VerifyFile(path, library string, level int, waivers bool) (sha256 string, err error) {
	if path == "" {
		path = AttestationPath(library)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	a := &Attestation{}
	if err := json.Unmarshal(data, a); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	if err := a.Verify(library, level, waivers); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return a.SHA256, nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
