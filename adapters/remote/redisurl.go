package remote

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// redisParams reads a URL as Redis clients write it: redis://, rediss:// with TLS, or
// unix:///socket. User and password are percent-encoded. In the query are db, username,
// password, and for rediss:// ssl_ca_certs, ssl_certfile, ssl_keyfile and ssl_cert_reqs.
//
// Other options of the query are for clients in Python; their names are returned.
func redisParams(text string) (params map[string]any, ignored []string, err error) {
	params = map[string]any{"lazy": true}
	scheme, rest, _ := strings.Cut(text, "://")
	scheme = strings.ToLower(scheme)
	place, query, _ := strings.Cut(rest, "?")
	database := ""
	var a address
	if scheme == "unix" {
		at := strings.IndexByte(place, '/')
		if at < 0 {
			return nil, nil, fmt.Errorf("%w %q: want unix:///path/of/socket", ErrURL, masked(text))
		}
		params["unix_socket"] = place[at:]
		a.user, a.password, _ = strings.Cut(strings.TrimSuffix(place[:at], "@"), ":")
		if a.query, err = url.ParseQuery(query); err != nil {
			return nil, nil, fmt.Errorf("%w %q: its query cannot be read", ErrURL, masked(text))
		}
	} else {
		if a, err = parseURL(scheme + "://" + withPort(place) + "?" + query); err != nil {
			return nil, nil, err
		}
		params["host"], params["port"] = a.host, a.port
		database = strings.Trim(a.path, "/")
	}
	login(params, unescaped(a.user), unescaped(a.password))
	if scheme == "rediss" {
		params["tls"] = true
	}
	for _, key := range slices.Sorted(maps.Keys(a.query)) {
		value := a.query.Get(key)
		tls, isTLS := map[string]string{"ssl_ca_certs": "tls_ca_file", "ssl_certfile": "tls_cert_file", "ssl_keyfile": "tls_key_file"}[key]
		switch {
		case key == "db":
			database = value
		case key == "username" || key == "password":
			params[key] = value
		case isTLS:
			params[tls] = value
		case key == "ssl_cert_reqs" && value == "none":
			params["tls_verify"] = false
		case key == "ssl_cert_reqs" && (value == "required" || value == "optional"):
			params["tls_verify"] = true
		case strings.HasPrefix(key, "ssl_"):
			return nil, nil, fmt.Errorf("%w %q: %s=%s is not known here; for TLS there are ssl_ca_certs, ssl_certfile, ssl_keyfile and ssl_cert_reqs (none, required)", ErrURL, masked(text), key, value)
		default:
			ignored = append(ignored, key)
		}
	}
	if database != "" {
		n, err := strconv.ParseUint(database, 10, 31)
		if err != nil {
			return nil, nil, fmt.Errorf("%w %q: the database is %q, want a number", ErrURL, masked(text), database)
		}
		params["database"] = n
	}
	return params, ignored, nil
}

// withPort is host[:port][/path] with Redis' port where there is none.
func withPort(place string) string {
	host, path, _ := strings.Cut(place, "/")
	name := host[strings.LastIndexByte(host, '@')+1:]
	if strings.LastIndexByte(name, ':') <= strings.LastIndexByte(name, ']') {
		host += ":6379"
	}
	return host + "/" + path
}

// unescaped undoes percent-encoding; a text that is none stays as it is.
func unescaped(text string) string {
	if plain, err := url.PathUnescape(text); err == nil {
		return plain
	}
	return text
}
