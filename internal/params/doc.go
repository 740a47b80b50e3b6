// Package params reads the configuration of a connector: it resolves secrets,
// checks the rest against the library's config_schema, and encodes what the
// library gets. It also has what keeps secrets and odd bytes out of texts.
package params
