package kv

import (
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

const (
	fileExt     = ".data"
	slashEscape = "-SEP-"
	// maxFileName is NAME_MAX of the Linux file systems in use, in bytes.
	maxFileName = 255
)

// FileName returns the name under which file connectors keep the key:
// model@0xRANK@group@hash[@salt].data, with '/' of the model written as -SEP-.
// It is LMCache's name for every model in which that escape can be undone; for
// the others (a literal "-SEP-", '%' or NUL in the model) LMCache's names
// collide, and '-', '%' and NUL are written as %2D, %25 and %00, so that
// different keys never share a file.
//
// A name above 255 bytes is an error that matches [Invalid].
func (k Key) FileName() (string, error) {
	if err := k.Validate(); err != nil {
		return "", err
	}
	sign, rank := "", appendHexPadded(nil, k.KVRank)
	if k.KVRank < 0 {
		sign, rank = "-", rank[1:]
	}
	name := fmt.Sprintf("%s@%s0x%s@%x@%x", escapeModel(k.Model), sign, rank, k.ObjectGroup, k.ChunkHash)
	if k.Salt != "" {
		name += "@" + k.Salt
	}
	name += fileExt
	if len(name) > maxFileName {
		return "", invalidKey("file name of %.64q... has %d bytes, want at most %d", k.String(), len(name), maxFileName)
	}
	return name, nil
}

func escapeModel(model string) string {
	plain := strings.ReplaceAll(model, "/", slashEscape)
	if !strings.ContainsAny(model, "%\x00") && strings.ReplaceAll(plain, slashEscape, "/") == model {
		return plain
	}
	return strings.NewReplacer("/", slashEscape, "-", "%2D", "%", "%25", "\x00", "%00").Replace(model)
}

// ParseFileName undoes [Key.FileName]. ok is false for any other name: another
// extension, bad hex, a negative group, a wrong number of fields. As in LMCache
// the rank may lack its 0x and an empty trailing salt field means no salt.
func ParseFileName(name string) (key Key, ok bool) {
	stem, found := strings.CutSuffix(name, fileExt)
	if !found {
		return Key{}, false
	}
	fields := strings.Split(stem, "@")
	if len(fields) != 4 && len(fields) != 5 {
		return Key{}, false
	}
	model, err := url.PathUnescape(strings.ReplaceAll(fields[0], slashEscape, "/"))
	if err != nil || escapeModel(model) != fields[0] {
		return Key{}, false
	}
	rankText, negative := strings.CutPrefix(fields[1], "-")
	rank, err := strconv.ParseUint(strings.TrimPrefix(rankText, "0x"), 16, 63)
	if err != nil {
		return Key{}, false
	}
	group, err := strconv.ParseUint(fields[2], 16, 63)
	if err != nil {
		return Key{}, false
	}
	hash, err := hex.DecodeString(fields[3])
	if err != nil {
		return Key{}, false
	}
	key = Key{ChunkHash: string(hash), Model: model, KVRank: int64(rank), ObjectGroup: int64(group)}
	if negative {
		key.KVRank = -key.KVRank
	}
	if len(fields) == 5 {
		key.Salt = fields[4]
	}
	return key, key.Validate() == nil
}
