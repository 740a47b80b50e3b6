// Package config turns a host's configuration into checked Go values and builds
// adapters from them.
//
// The words are those of LMCache 0.5.6, so a configuration that works there
// works here: [ParseL2Adapters] reads the values of the repeatable --l2-adapter
// flag. What LMCache accepts by accident is refused here: unknown and repeated
// keys, the string "false" for a boolean, numbers out of range. All problems are
// reported at once, each with the field, its value and what is accepted.
//
// Parsing needs nothing but the text. [Build] opens the connector.
package config
