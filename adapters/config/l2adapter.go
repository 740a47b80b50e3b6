package config

import "time"

// L2Adapter is one checked --l2-adapter value. Start from [NewNativePlugin] to
// make one in Go; the zero value is not valid.
//
// Printing an L2Adapter in any way masks secrets.
type L2Adapter struct {
	// Type is the adapter type; it says which of the pointers below is set.
	Type string

	// AffinityTag names the L1 that the adapter serves. Default "_default".
	AffinityTag string
	// Shared says that other instances use the same storage. Default false.
	Shared bool
	// PersistEnabled asks backends that can choose to keep data over restarts. Default true.
	PersistEnabled bool
	// Eviction is nil when the adapter's keys are never evicted.
	Eviction *Eviction
	// Serde is nil when values are stored as they are.
	Serde *Serde

	// NativePlugin is set for [TypeNativePlugin] and for the types that stand for
	// a connector of ours, such as [TypeFS].
	NativePlugin *NativePlugin
	// Plugin is set for [TypePlugin].
	Plugin *Plugin
	// Mock is set for [TypeMock].
	Mock *Mock
	// FaultInject is set for [TypeFaultInject].
	FaultInject *FaultInject
}

// Eviction says when and how much to evict.
type Eviction struct {
	Policy           string  // one of EvictionPolicies, case-sensitive
	TriggerWatermark float64 // used/capacity at which eviction starts, (0, 1]. Default 0.8
	Ratio            float64 // part of the keys that one cycle evicts, [0, 1]. Default 0.2
}

// EvictionPolicies are the accepted names, which are case-sensitive.
var EvictionPolicies = [...]string{"LRU", "ARC", "IsolatedLRU", "noop"}

// Serde asks for a transformation of values.
type Serde struct {
	Type   string
	Params Params // the other keys of the object
}

// NativePlugin configures a connector library.
type NativePlugin struct {
	// ModulePath is the path of the library, or a bare name for the search path.
	ModulePath string
	// ClassName is the name that the library declares; another name is an error.
	ClassName string
	// AdapterParams is the connector's own configuration.
	AdapterParams Params
	// MaxCapacityGB is the capacity in GiB, 0 = not bounded. Default 0.
	MaxCapacityGB float64

	// Isolation says in which process the library runs. Default IsolationAuto.
	Isolation Isolation
	// Worker configures that process, when it is not this one.
	Worker Worker
	// Deadlines bound each operation.
	Deadlines Deadlines
	// Limits bound what is given to the connector at a time.
	Limits Limits
	// Buffers says who may reuse memory early. Default BuffersCopy.
	Buffers Buffers
	// Breaker says when a connector that fails is left alone.
	Breaker Breaker
	// Integrity is the check that values carry. Default IntegrityOff.
	Integrity Integrity
	// SHA256 pins the library's content: 64 hex digits, "" = any.
	SHA256 string
	// RequireCheck is the level of `sixcall check` that the file LIBRARY.check.json
	// must attest for exactly this library, 1 to 4. Default 0: none.
	RequireCheck int
	// OpenTimeout bounds the opening of the connector. Default 10s.
	OpenTimeout time.Duration
}

// Isolation says in which process a connector runs.
type Isolation string

// The isolation settings.
const (
	IsolationAuto    Isolation = "auto"    // decided per library
	IsolationProcess Isolation = "process" // in a worker process
	IsolationNone    Isolation = "none"    // in this process
)

// Worker configures the process of an isolated connector.
type Worker struct {
	// Program is the path of sixcall-worker. Default "": it is searched.
	Program string
	// Wrapper is put before the program, such as valgrind. Default: nothing.
	Wrapper []string
	// User and Group are the ids that it runs as, both or none. Default 0: ours.
	User, Group uint32
	// MemoryLimitGB is the private memory, in GiB, at which it is killed. Default
	// 0: no limit.
	MemoryLimitGB float64
	CoreDumps     bool // a crash may leave a core file. Default false
	AllowExec     bool // the library may start programs. Default false

	StartTimeout   time.Duration // until it has loaded the library. Default 10s
	HangTimeout    time.Duration // without progress, until it is killed. Default 10s
	RestartInitial time.Duration // first pause before a restart; it doubles. Default 100ms
	RestartMax     time.Duration // longest pause. Default 30s
	// RestartsPerMinute is the number beyond which only one attempt is made per
	// RestartMax. Default 20.
	RestartsPerMinute int
}

// Buffers says how an adapter treats memory that it does not own.
type Buffers string

// The buffer settings.
const (
	BuffersCopy   Buffers = "copy"   // through the adapter's own memory
	BuffersDirect Buffers = "direct" // given to the connector as it is
)

// Breaker configures the circuit breakers, one per class of operation.
type Breaker struct {
	Failures    int           // in a row that open it, 0 = no breaker. Default 5
	Cooldown    time.Duration // until one operation may try. Default 1s
	MaxCooldown time.Duration // bound of the doubling. Default 60s
}

// Integrity is the check that values carry.
type Integrity string

// The integrity settings.
const (
	IntegrityOff  Integrity = "off"
	IntegrityXXH3 Integrity = "xxh3" // a checksum behind each value, verified on load
)

// Deadlines are the longest times until an operation is answered; 0 = no bound.
type Deadlines struct {
	Lookup time.Duration // default 5s
	Load   time.Duration // default 30s
	Store  time.Duration // default 60s
	Delete time.Duration // default 30s
}

// Limits bound what is given to a connector at a time.
type Limits struct {
	MaxInFlight int // tasks, 1 to 65536. Default 1024
	MaxBatch    int // keys in a batch, 0 = the connector's own limit
}

// NewNativePlugin returns the configuration of a connector with all defaults.
func NewNativePlugin(modulePath, className string) L2Adapter {
	a := defaults(TypeNativePlugin)
	a.NativePlugin.ModulePath = modulePath
	a.NativePlugin.ClassName = className
	return a
}

// defaults returns an adapter of the type with every default set. An unknown
// type gets the common fields only.
func defaults(typ string) L2Adapter {
	a := L2Adapter{Type: typ, AffinityTag: "_default", PersistEnabled: true}
	a.newSettings()
	return a
}

func defaultNativePlugin() *NativePlugin {
	return &NativePlugin{
		AdapterParams: Params("{}"),
		Isolation:     IsolationAuto,
		Worker: Worker{
			StartTimeout: 10 * time.Second, HangTimeout: 10 * time.Second,
			RestartInitial: 100 * time.Millisecond, RestartMax: 30 * time.Second, RestartsPerMinute: 20,
		},
		Deadlines: Deadlines{
			Lookup: 5 * time.Second,
			Load:   30 * time.Second,
			Store:  60 * time.Second,
			Delete: 30 * time.Second,
		},
		Limits:      Limits{MaxInFlight: 1024},
		Buffers:     BuffersCopy,
		Breaker:     Breaker{Failures: 5, Cooldown: time.Second, MaxCooldown: time.Minute},
		Integrity:   IntegrityOff,
		OpenTimeout: 10 * time.Second,
	}
}

// MaxCapacityBytes returns the capacity in bytes, cut to a whole number.
func (p *NativePlugin) MaxCapacityBytes() int64 {
	return int64(p.MaxCapacityGB * bytesPerGB)
}
