package remote

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// address is a URL of the form scheme://[user[:password]@]host:port[/path][?query].
type address struct {
	scheme, user, password string
	host                   string
	port                   int
	path                   string // with its slash
	query                  url.Values
}

// parseURL reads a URL whose host and port must be there. Errors hold no password.
func parseURL(text string) (a address, err error) {
	fail := func(format string, args ...any) (address, error) {
		return address{}, fmt.Errorf("%w %q: %s", ErrURL, masked(text), fmt.Sprintf(format, args...))
	}
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return fail("it has no scheme, want scheme://host:port")
	}
	a.scheme = strings.ToLower(scheme)
	rest, query, _ := strings.Cut(rest, "?")
	if a.query, err = url.ParseQuery(query); err != nil {
		return fail("its query cannot be read")
	}
	host := rest
	if at := strings.IndexByte(rest, '/'); at >= 0 {
		host, a.path = rest[:at], rest[at:]
	}
	if at := strings.LastIndexByte(host, '@'); at >= 0 {
		a.user, a.password, _ = strings.Cut(host[:at], ":")
		host = host[at+1:]
	}
	name, port := host, ""
	if at := strings.LastIndexByte(host, ':'); at >= 0 && at > strings.LastIndexByte(host, ']') {
		name, port = host[:at], host[at+1:]
	}
	a.host = strings.ToLower(strings.Trim(name, "[]"))
	if a.host == "" {
		return fail("the host is missing")
	}
	if port == "" {
		return fail("the port is missing")
	}
	if a.port, err = strconv.Atoi(port); err != nil || a.port < 0 || a.port > 65535 {
		return fail("the port is %q, want 0 to 65535", port)
	}
	return a, nil
}

var passwords = regexp.MustCompile(`([?&]password=)[^&]*`)

// masked is a URL without its password.
func masked(text string) string {
	text = passwords.ReplaceAllString(text, "$1***")
	start := strings.Index(text, "://")
	if start < 0 {
		return text
	}
	start += 3
	end := strings.IndexAny(text[start:], "/?")
	if end < 0 {
		end = len(text) - start
	}
	if at := strings.LastIndexByte(text[start:start+end], '@'); at >= 0 {
		return text[:start] + "***" + text[start+at:]
	}
	return text
}

// single refuses lists of hosts.
func single(text string) error {
	if strings.Contains(text, ",") {
		return fmt.Errorf("%w %q: only a single host is possible, it has %s", ErrURL, masked(text), strings.Join(strings.Split(masked(text), ","), " and "))
	}
	return nil
}
