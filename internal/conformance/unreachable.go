//go:build linux

package conformance

import (
	"net"
	"slices"
)

// putUnreachable adds configurations whose endpoint does not answer, and keeps the
// one that swallows connections open until the check has ended.
func (r *run) putUnreachable(put func(name, value string), id string) (closeAll func(), err error) {
	if !slices.Contains([]string{"O05", "O06", "O08"}, id) {
		return func() {}, nil
	}
	refusing, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	closed := refusing.Addr().(*net.TCPAddr).Port
	refusing.Close()
	silent, err := net.Listen("tcp4", "127.0.0.1:0") // nobody accepts: the kernel does, and nothing answers
	if err != nil {
		return nil, err
	}
	for _, v := range []struct {
		text, host string
		port       int
	}{
		{"refuses connections", "127.0.0.1", closed},
		{"accepts connections and never answers", "127.0.0.1", silent.Addr().(*net.TCPAddr).Port},
		{"does not resolve", "no-such-host.invalid", closed},
	} {
		config, err := r.params.withEndpoint(r.EndpointParam, r.Endpoint, v.host, v.port)
		if err != nil {
			silent.Close()
			return nil, err
		}
		put("unreachable", config.text())
		put("unreachable_text", v.text)
	}
	return func() { silent.Close() }, nil
}
