package engine

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// ErrKey is matched by errors about keys and their text.
var ErrKey = errors.New("bad key")

// tagPrefix begins the request settings that are part of a key.
const tagPrefix = "lmcache.tag."

// Key names one chunk. Keys are comparable; two are the same key when they are
// equal, and that is when their texts are.
type Key struct {
	Model     string
	WorldSize int
	WorkerID  int
	Hash      Hash
	DType     DType
	// Layer is the number of the layer if HasLayer, for engines that store layers
	// one by one.
	Layer    int
	HasLayer bool
	// Tags is the text of the tags, as it ends the key's: "@name%value" each, ""
	// = none. [Key.WithTags] makes it.
	Tags string
}

// Hash is a chunk's hash as a key has it: lower-case hex, with a sign if negative.
type Hash string

// HashInt returns the hash of a number: no padding, a sign if it is negative.
func HashInt(n int64) Hash { return Hash(strconv.FormatInt(n, 16)) }

// HashBytes returns the hash of a digest, leading zeros included.
func HashBytes(digest []byte) Hash { return Hash(hex.EncodeToString(digest)) }

// Mod returns |hash| modulo n.
func (h Hash) Mod(n int) int {
	v, ok := new(big.Int).SetString(strings.TrimPrefix(string(h), "-"), 16)
	if !ok || n <= 0 {
		return 0
	}
	return int(new(big.Int).Mod(v, big.NewInt(int64(n))).Int64())
}

func (h Hash) valid() bool {
	digits := strings.TrimPrefix(string(h), "-")
	return digits != "" && strings.Trim(digits, "0123456789abcdef") == ""
}

// Tag is one tag of a key.
type Tag struct{ Name, Value string }

// TagsOf returns the tags among the settings of a request, in their order.
func TagsOf(settings []Tag) (tags []Tag) {
	for _, s := range settings {
		if name, ok := strings.CutPrefix(s.Name, tagPrefix); ok {
			tags = append(tags, Tag{name, s.Value})
		}
	}
	return tags
}

// WithTags returns the key with these tags. '@' separates tags, and the first '%'
// ends a name.
func (k Key) WithTags(tags []Tag) (Key, error) {
	k.Tags = ""
	for _, t := range tags {
		if strings.ContainsAny(t.Name, "@%") || strings.Contains(t.Value, "@") {
			return Key{}, fmt.Errorf("%w: tag %q has '@' in it, or '%%' in its name", ErrKey, t.Name+"%"+t.Value)
		}
		k.Tags += "@" + t.Name + "%" + t.Value
	}
	return k, nil
}

// TagList returns the tags.
func (k Key) TagList() (tags []Tag) {
	for text := range strings.SplitSeq(k.Tags, "@") {
		if name, value, ok := strings.Cut(text, "%"); ok {
			tags = append(tags, Tag{name, value})
		}
	}
	return tags
}

// WithWorkerID returns the key of another worker.
func (k Key) WithWorkerID(id int) Key {
	k.WorkerID = id
	return k
}

// SplitLayers returns the keys of layers 0 to n-1.
func (k Key) SplitLayers(n int) []Key {
	keys := make([]Key, n)
	for i := range keys {
		keys[i] = k
		keys[i].Layer, keys[i].HasLayer = i, true
	}
	return keys
}

// String returns the text form, model@world@worker@hash@dtype[@layer][@name%value]...
func (k Key) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s@%d@%d@%s@%s", k.Model, k.WorldSize, k.WorkerID, k.Hash, k.DType)
	if k.HasLayer {
		fmt.Fprintf(&b, "@%d", k.Layer)
	}
	b.WriteString(k.Tags)
	return b.String()
}

// ParseKey reads the text form. A model may contain '@': the numbers, the hash and
// the data type behind it are found from the right.
func ParseKey(text string) (Key, error) {
	fields := strings.Split(strings.TrimSpace(text), "@")
	if len(fields) < 5 {
		return Key{}, fmt.Errorf("%w: %q has %d fields, want model@world@worker@hash@dtype", ErrKey, text, len(fields))
	}
	at := 1
	for i := len(fields) - 4; i > 1; i-- {
		if _, err := parseFields(text, fields, i); err == nil {
			at = i
			break
		}
	}
	return parseFields(text, fields, at)
}

// parseFields reads a key whose model ends before field at.
func parseFields(text string, fields []string, at int) (k Key, err error) {
	k.Model = strings.Join(fields[:at], "@")
	fields = fields[at:]
	var first, second error
	k.WorldSize, first = strconv.Atoi(fields[0])
	k.WorkerID, second = strconv.Atoi(fields[1])
	if k.Hash = Hash(fields[2]); first != nil || second != nil || !k.Hash.valid() {
		return Key{}, fmt.Errorf("%w: %q: world size, worker and hash are %q, %q and %q, want two numbers and hex", ErrKey, text, fields[0], fields[1], fields[2])
	}
	if k.DType, err = ParseDType(fields[3]); err != nil {
		return Key{}, fmt.Errorf("%w: %q: %w", ErrKey, text, err)
	}
	fields = fields[4:]
	if len(fields) > 0 && fields[0] != "" && strings.Trim(fields[0], "0123456789") == "" {
		if k.Layer, err = strconv.Atoi(fields[0]); err != nil {
			return Key{}, fmt.Errorf("%w: %q: layer is %q", ErrKey, text, fields[0])
		}
		k.HasLayer = true
		fields = fields[1:]
	}
	for _, tag := range fields {
		if !strings.Contains(tag, "%") {
			return Key{}, fmt.Errorf("%w: %q: %q is no tag, want name%%value", ErrKey, text, tag)
		}
		k.Tags += "@" + tag
	}
	return k, nil
}
