package config

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/sixcall/sixcall/internal/conformance"
)

// pinned returns the content that the library at path must have, "" = any. With
// RequireCheck that is the content which the attestation beside it covers.
func (p *NativePlugin) pinned(path string) (sha256 string, err error) {
	if p.RequireCheck == 0 {
		return p.SHA256, nil
	}
	sum, err := conformance.VerifyFile("", path, p.RequireCheck, false)
	if err == nil && p.SHA256 != "" && p.SHA256 != sum {
		err = fmt.Errorf("sha256 pins %s, but the library, which the attestation covers, has %s", p.SHA256, sum)
	}
	if err == nil {
		return sum, nil
	}
	attestation := conformance.AttestationPath(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("there is no %s", attestation)
	}
	return "", fmt.Errorf("require_check is %d: %w; check the library with: sixcall check %s --level %d --attest %s --params '{...}'",
		p.RequireCheck, err, path, p.RequireCheck, attestation)
}
