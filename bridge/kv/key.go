package kv

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxSaltRunes is the longest cache salt, in code points.
const MaxSaltRunes = 128

// Key names one value: the KV cache of one chunk of text, for one model, at one
// place of a parallel group. Keys are comparable; equality is over all fields.
//
// A Key can be built as a literal; [Key.Validate] says whether it is legal, and
// every submit checks it. The rules are those of LMCache's ObjectKey.
type Key struct {
	// ChunkHash is the content hash as raw bytes (a string so that keys are
	// comparable and immutable). Any length, never interpreted.
	ChunkHash string
	// Model is the model name; it must not contain '@'.
	Model string
	// KVRank is the packed place in the parallel group; see [ComputeKVRank].
	KVRank int64
	// ObjectGroup is the index of the layout group inside the model, at least 0.
	ObjectGroup int64
	// Salt isolates tenants and names the quota bucket. At most [MaxSaltRunes]
	// code points without '@', '/', '\' and NUL; "" is the shared space.
	Salt string
}

// ComputeKVRank packs four parallelism numbers of 8 bits each. As in LMCache a
// value above 255 is not masked and bleeds into its neighbour.
func ComputeKVRank(worldSize, globalRank, localWorldSize, localRank int64) int64 {
	return worldSize<<24 | globalRank<<16 | localWorldSize<<8 | localRank
}

// WorldSizeFromKVRank returns the world size packed into rank.
func WorldSizeFromKVRank(rank int64) int64 { return rank >> 24 & 0xff }

// Validate reports the first broken rule, naming the field, its value and what
// would be right. The error matches [Invalid].
func (k Key) Validate() error {
	if strings.IndexByte(k.Model, '@') >= 0 {
		return invalidKey("model_name is %q: '@' separates the fields of a key and cannot be part of one", k.Model)
	}
	if k.ObjectGroup < 0 {
		return invalidKey("object_group_id is %d, want 0 or more", k.ObjectGroup)
	}
	if k.Salt == "" {
		return nil
	}
	if i := strings.IndexAny(k.Salt, "@/\\\x00"); i >= 0 {
		return invalidKey("cache_salt is %q: %q is not allowed in it", k.Salt, k.Salt[i])
	}
	if n := utf8.RuneCountInString(k.Salt); n > MaxSaltRunes {
		return invalidKey("cache_salt has %d characters, want at most %d", n, MaxSaltRunes)
	}
	return nil
}

func invalidKey(format string, args ...any) error {
	return &Error{Op: "key", Code: Invalid, Err: fmt.Errorf(format, args...)}
}

// AppendText appends the key's text form to dst and returns the extended
// slice. The form is LMCache's: model@rank@group@hash[@salt], rank in lower-case
// hex of at least 8 digits, group and hash in lower-case hex. It allocates only
// when dst has no room.
func (k Key) AppendText(dst []byte) []byte {
	dst = k.AppendPrefix(dst)
	return k.AppendSuffix(dst)
}

// AppendPrefix appends the part of the text form before the chunk hash. Keys of
// one batch mostly share it, so a caller can build it once.
func (k Key) AppendPrefix(dst []byte) []byte {
	dst = append(dst, k.Model...)
	dst = append(dst, '@')
	dst = appendHexPadded(dst, k.KVRank)
	dst = append(dst, '@')
	dst = strconv.AppendInt(dst, k.ObjectGroup, 16)
	return append(dst, '@')
}

// AppendSuffix appends the part of the text form from the chunk hash on.
func (k Key) AppendSuffix(dst []byte) []byte {
	dst = appendHex(dst, k.ChunkHash)
	if k.Salt != "" {
		dst = append(dst, '@')
		dst = append(dst, k.Salt...)
	}
	return dst
}

// SamePrefix reports whether k and o share the text before the chunk hash.
func (k Key) SamePrefix(o Key) bool {
	return k.KVRank == o.KVRank && k.ObjectGroup == o.ObjectGroup && k.Model == o.Model
}

// appendHexPadded writes v as Python's %08x does: the width counts the sign.
func appendHexPadded(dst []byte, v int64) []byte {
	var buf [20]byte
	text := strconv.AppendUint(buf[:0], magnitude(v), 16)
	width := 8
	if v < 0 {
		dst = append(dst, '-')
		width--
	}
	for i := len(text); i < width; i++ {
		dst = append(dst, '0')
	}
	return append(dst, text...)
}

func magnitude(v int64) uint64 {
	if v < 0 {
		return uint64(-(v + 1)) + 1
	}
	return uint64(v)
}

// MaxTextLen returns a length in bytes that the text form does not exceed.
func (k Key) MaxTextLen() int {
	const numbers = 40 // rank and group with signs, separators
	return len(k.Model) + 2*len(k.ChunkHash) + len(k.Salt) + numbers
}

// String returns the text form.
func (k Key) String() string { return string(k.AppendText(nil)) }

// ParseKey parses the text form of a key. It accepts only what [Key.AppendText]
// writes: lower-case hex, minimal padding.
func ParseKey(text string) (Key, error) {
	fields := strings.Split(text, "@")
	if len(fields) != 4 && len(fields) != 5 {
		return Key{}, invalidKey("%q has %d fields, want model@rank@group@hash or model@rank@group@hash@salt", text, len(fields))
	}
	k := Key{Model: fields[0]}
	var err error
	if k.KVRank, err = strconv.ParseInt(fields[1], 16, 64); err != nil {
		return Key{}, invalidKey("%q: rank is %q, want hex", text, fields[1])
	}
	if k.ObjectGroup, err = strconv.ParseInt(fields[2], 16, 64); err != nil {
		return Key{}, invalidKey("%q: group is %q, want hex", text, fields[2])
	}
	hash, err := hex.DecodeString(fields[3])
	if err != nil {
		return Key{}, invalidKey("%q: hash is %q, want hex", text, fields[3])
	}
	k.ChunkHash = string(hash)
	if len(fields) == 5 {
		k.Salt = fields[4]
	}
	if err := k.Validate(); err != nil {
		return Key{}, err
	}
	if k.String() != text {
		return Key{}, invalidKey("%q is not in canonical form, want %q", text, k.String())
	}
	return k, nil
}

// encodedKey is LMCache's JSON form of a key (EncodedObjectKey).
type encodedKey struct {
	ChunkHashHex string `json:"chunk_hash_hex"`
	ModelName    string `json:"model_name"`
	KVRank       int64  `json:"kv_rank"`
	ObjectGroup  int64  `json:"object_group_id"`
	CacheSalt    string `json:"cache_salt"`
}

// MarshalJSON writes LMCache's JSON form of the key.
func (k Key) MarshalJSON() ([]byte, error) {
	return json.Marshal(encodedKey{hex.EncodeToString([]byte(k.ChunkHash)), k.Model, k.KVRank, k.ObjectGroup, k.Salt})
}

// UnmarshalJSON reads LMCache's JSON form. As there, the hash may be in upper
// case and have blanks between its byte pairs, and the key's rules apply.
func (k *Key) UnmarshalJSON(data []byte) error {
	var e encodedKey
	if err := json.Unmarshal(data, &e); err != nil {
		return err
	}
	hash, err := decodeSpacedHex(e.ChunkHashHex)
	if err != nil {
		return invalidKey("chunk_hash_hex is %q: %v", e.ChunkHashHex, err)
	}
	decoded := Key{ChunkHash: string(hash), Model: e.ModelName, KVRank: e.KVRank, ObjectGroup: e.ObjectGroup, Salt: e.CacheSalt}
	if err := decoded.Validate(); err != nil {
		return err
	}
	*k = decoded
	return nil
}

// decodeSpacedHex decodes hex in which blanks may stand between byte pairs.
func decodeSpacedHex(s string) ([]byte, error) {
	var out []byte
	for i := 0; i < len(s); {
		switch s[i] {
		case ' ', '\t', '\n', '\v', '\f', '\r':
			i++
			continue
		}
		if i+1 >= len(s) {
			return nil, errors.New("odd number of hex digits")
		}
		b, err := hex.DecodeString(s[i : i+2])
		if err != nil {
			return nil, errors.New("want pairs of hex digits")
		}
		out = append(out, b[0])
		i += 2
	}
	return out, nil
}
