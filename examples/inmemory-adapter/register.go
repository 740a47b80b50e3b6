package inmemory

import (
	"fmt"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/adapters/l2/plugin"
	"github.com/sixcall/sixcall/bridge/kv"
)

// What configurations call this adapter.
const (
	ModulePath = "examples.inmemory"
	ClassName  = "InMemoryL2Adapter"
	ConfigName = ClassName + "Config" // found by this convention
)

// Register makes the adapter known to a program.
func Register(r *plugin.Registry) error {
	return r.Register(ModulePath, ClassName, create,
		plugin.SafeForConcurrentUse(),
		plugin.ConfigType(ConfigName, DefaultConfig))
}

// create is the factory. It uses what it knows of host and ignores the rest.
func create(config any, host plugin.HostInfo) (l2.Adapter, error) {
	c, ok := config.(*Config)
	if !ok {
		return nil, &kv.Error{Op: "create", Connector: ClassName, Code: kv.Config,
			Err: fmt.Errorf("the configuration is a %T, want that of %s", config, ConfigName)}
	}
	return New(*c, host.Logger)
}
