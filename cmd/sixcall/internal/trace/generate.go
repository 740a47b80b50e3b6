package trace

// The shape of the traffic that a Generator makes.
const (
	systemPrompts = 8
	conversations = 48 // that are going on at a time
	longestPrompt = 96 // blocks; then a conversation ends
	newPercent    = 30 // requests that start a conversation
	shortPermille = 5  // requests without blocks
)

// Generator is a Source of synthetic chat traffic. The same n and seed give the
// same requests on every machine, and the first requests are the same whatever n
// is.
//
// Many users share a few system prompts, popular ones more than others. Each
// request either starts a conversation after one of those prompts or is the
// next turn of one that is going on: the prompt so far, then the answer and the
// new question. Now and then a prompt is shorter than a block and has no blocks.
type Generator struct {
	left  int
	state uint64 // of SplitMix64: its numbers are the same everywhere, for ever
	ids   uint64 // a counter; the ids are its values, mixed

	system [systemPrompts][]BlockID
	open   [conversations][]BlockID // the last prompt of each
}

// NewGenerator returns a source of n requests.
func NewGenerator(n int, seed uint64) *Generator {
	g := &Generator{left: n, state: mix(seed), ids: mix(seed + golden)}
	for i := range g.system {
		g.system[i] = g.extend(nil, 1+g.below(6))
	}
	return g
}

// Generate returns the n requests of a Generator.
func Generate(n int, seed uint64) []Request {
	var list []Request
	g := NewGenerator(n, seed)
	for r, ok := g.Next(); ok; r, ok = g.Next() {
		list = append(list, r)
	}
	return list
}

// Next implements [Source].
func (g *Generator) Next() (Request, bool) {
	if g.left <= 0 {
		return Request{}, false
	}
	g.left--
	if g.below(1000) < shortPermille {
		return Request{}, true
	}
	i := g.below(conversations)
	before := g.open[i]
	if before == nil || len(before) > longestPrompt || g.below(100) < newPercent {
		// The smaller of two draws: prompt 0 is the most popular.
		before = g.system[min(g.below(systemPrompts), g.below(systemPrompts))]
	}
	g.open[i] = g.extend(before, 1+g.below(5))
	return Request{Blocks: g.open[i]}, true
}

func (g *Generator) below(n int) int {
	g.state += golden
	return int(mix(g.state) >> 33 % uint64(n))
}

// extend returns a new slice with n blocks that occur nowhere else after before.
func (g *Generator) extend(before []BlockID, n int) []BlockID {
	blocks := make([]BlockID, len(before), len(before)+n)
	copy(blocks, before)
	for range n {
		g.ids++
		blocks = append(blocks, BlockID(mix(g.ids))) // mix is a bijection
	}
	return blocks
}

const golden = 0x9e3779b97f4a7c15

func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
