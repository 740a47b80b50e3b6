package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/sixcall/sixcall/adapters/config"
	"github.com/sixcall/sixcall/bridge/goconnector"
	"github.com/sixcall/sixcall/bridge/kv"
)

// shelf is a storage client in Go: here a map. Yours takes its place. Its methods
// handle one key, may block, and are called from several goroutines.
type shelf struct {
	maxKeys int

	mu     sync.RWMutex
	values map[string][]byte // values are never changed, only replaced
}

// Get implements goconnector.Backend.
func (s *shelf) Get(_ context.Context, key string, buf []byte) (bool, error) {
	s.mu.RLock()
	value, ok := s.values[key]
	s.mu.RUnlock()
	if !ok {
		return false, nil
	}
	if len(value) != len(buf) { // never a part of a value
		return false, &goconnector.SizeError{Stored: int64(len(value)), Want: len(buf)}
	}
	copy(buf, value)
	return true, nil
}

// Set implements goconnector.Backend.
func (s *shelf) Set(_ context.Context, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.values[key]; !ok && len(s.values) >= s.maxKeys {
		// This key is refused, the others of its batch are not.
		return fmt.Errorf("the shelf holds %d keys, its max_keys: %w", len(s.values), kv.NoSpace)
	}
	s.values[key] = append([]byte(nil), value...) // value is the host's again when we return
	return nil
}

// Exists implements goconnector.Backend.
func (s *shelf) Exists(_ context.Context, key string) (bool, int64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	value, ok := s.values[key]
	return ok, int64(len(value)), nil
}

// Delete implements goconnector.Deleter.
func (s *shelf) Delete(_ context.Context, key string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.values[key]
	delete(s.values, key)
	return ok, nil
}

// Close implements goconnector.Backend.
func (s *shelf) Close() error { return nil }

// connector is what configurations name with "go:shelf".
var connector = config.GoConnector{
	Schema: `{"type":"object","additionalProperties":false,"properties":{
		"max_keys":{"type":"integer","minimum":1,"default":1000000,"description":"keys that are kept; more are refused"}}}`,
	Open: func(_ context.Context, params json.RawMessage, instance string) (kv.Connector, error) {
		p := struct {
			MaxKeys int `json:"max_keys"`
		}{1000000}
		if err := json.Unmarshal(params, &p); err != nil {
			return nil, err
		}
		return goconnector.New(&shelf{maxKeys: p.MaxKeys, values: map[string][]byte{}}, goconnector.Options{
			Name: "shelf", Version: "0.1.0", Vendor: "Shelf", Caps: kv.CapReadYourWrites,
		})
	},
}
