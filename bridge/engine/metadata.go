package engine

// Metadata describes the model and the place of this process, as LMCache gives it
// to plugins.
type Metadata struct {
	Model          string
	WorldSize      int
	LocalWorldSize int
	WorkerID       int
	LocalWorkerID  int
	KVDType        DType
	// KVShape is layers, 2 (or 1 with MLA), tokens of a chunk, heads, head size.
	KVShape     [5]int
	UseMLA      bool
	Role        string // "worker", "scheduler" or ""
	ServedModel string
	ChunkSize   int // tokens
	EngineID    string
	// Groups are the shapes and types of a chunk where layers differ; empty = one
	// group, from KVShape.
	Groups []Group
}

// Group is a set of layers that share shape and type.
type Group struct {
	Shape Shape // of a whole chunk
	DType DType
}

// Layout returns the layout of a whole chunk.
func (m *Metadata) Layout() Layout {
	l := Layout{Format: KV2LTD}
	if m.UseMLA {
		l.Format = KVMLA
	}
	for _, g := range m.Groups {
		l.Shapes, l.DTypes = append(l.Shapes, g.Shape), append(l.DTypes, g.DType)
	}
	if len(m.Groups) == 0 {
		s := m.KVShape
		l.Shapes = []Shape{{s[1], s[0], m.ChunkSize, s[3] * s[4]}}
		l.DTypes = []DType{m.KVDType}
	}
	return l
}

// ChunkBytes returns the size of a whole chunk.
func (m *Metadata) ChunkBytes() int { return m.Layout().Bytes() }

// FirstRank reports whether this is worker 0.
func (m *Metadata) FirstRank() bool { return m.WorkerID == 0 }

// Scheduler reports whether this process only looks up.
func (m *Metadata) Scheduler() bool { return m.Role == "scheduler" }
