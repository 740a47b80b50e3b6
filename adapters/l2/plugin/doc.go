// Package plugin makes whole L2 adapters that others wrote: LMCache's "plugin"
// adapter type in Go.
//
// A plugin registers a [Factory] under a module path and a class name, and the
// types of its configuration beside it, in a [Registry] that the program owns:
//
//	registry := plugin.NewRegistry()
//	err := registry.Register("my_plugin.adapter", "MyL2Adapter", newAdapter,
//		plugin.SafeForConcurrentUse(),
//		plugin.ConfigType("MyL2AdapterConfig", defaultConfig))
//
// Then a configuration that names them makes an adapter:
//
//	{"type": "plugin", "module_path": "my_plugin.adapter", "class_name": "MyL2Adapter",
//	 "adapter_params": {"host": "localhost"}}
//
// Package plugintest has the tests that every such adapter should pass. A storage
// system that brings a connector library needs no plugin: it gets a full adapter
// from package l2.
package plugin
