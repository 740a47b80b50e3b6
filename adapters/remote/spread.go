package remote

import (
	"context"
	"errors"

	"github.com/sixcall/sixcall/bridge/engine"
)

// spread keeps chunks in several folders, by their hash.
type spread struct {
	base
	stores  []store
	headers bool
}

// of returns the connector of one folder.
func (s *spread) of(key engine.Key) Connector {
	b := s.base
	b.store = s.stores[key.Hash.Mod(len(s.stores))]
	return formOf(b, s.headers, true)
}

func (s *spread) Exists(ctx context.Context, key engine.Key) (bool, error) {
	return s.of(key).Exists(ctx, key)
}

func (s *spread) ExistsSync(key engine.Key) (bool, error) { return s.of(key).ExistsSync(key) }

func (s *spread) Get(ctx context.Context, key engine.Key) (*engine.Object, error) {
	return s.of(key).Get(ctx, key)
}

func (s *spread) Put(ctx context.Context, key engine.Key, obj *engine.Object) error {
	return s.of(key).Put(ctx, key, obj)
}

func (s *spread) RemoveSync(key engine.Key) (bool, error) { return s.of(key).(Remover).RemoveSync(key) }

func (s *spread) List(ctx context.Context) (names []string, err error) {
	for _, one := range s.stores {
		part, err := one.list(ctx)
		if err != nil {
			return nil, err
		}
		names = append(names, part...)
	}
	return names, nil
}

func (s *spread) Close(context.Context) error {
	var errs []error
	for _, one := range s.stores {
		errs = append(errs, one.b.Close())
	}
	return errors.Join(errs...)
}
