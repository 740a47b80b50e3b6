package kv

// AppendTexts appends the text form of each key to dst and writes to ends[i] where
// key i ends in the result. The part before the chunk hash is made once for a row
// of keys that share it. It returns the error of the first key that is not legal;
// ends has to be as long as keys. It allocates only when dst has no room.
func AppendTexts(dst []byte, keys []Key, ends []uint32) ([]byte, error) {
	var prev *Key
	prefix, text := 0, 0 // where the prefix of the row lies, and its length
	ends = ends[:len(keys)]
	for i := range keys {
		k := &keys[i]
		if prev == nil || k.KVRank != prev.KVRank || k.ObjectGroup != prev.ObjectGroup || k.Model != prev.Model {
			if err := k.Validate(); err != nil {
				return dst, err
			}
			prefix = len(dst)
			dst = k.AppendPrefix(dst)
			text = len(dst) - prefix
		} else {
			if k.Salt != prev.Salt {
				if err := k.Validate(); err != nil {
					return dst, err
				}
			}
			dst = append(dst, dst[prefix:prefix+text]...)
		}
		dst = appendHex(dst, k.ChunkHash)
		if k.Salt != "" {
			dst = append(dst, '@')
			dst = append(dst, k.Salt...)
		}
		ends[i] = uint32(len(dst))
		prev = k
	}
	return dst, nil
}

// appendHex appends s in lower-case hex.
func appendHex(dst []byte, s string) []byte {
	start, n := len(dst), 2*len(s)
	if cap(dst)-start < n {
		dst = append(dst, make([]byte, n)...)
	}
	dst = dst[:start+n]
	out := dst[start:]
	whole := len(s) &^ (hexBlock - 1)
	hexBlocks(out, s)
	const digits = "0123456789abcdef"
	for i := whole; i < len(s); i++ {
		out[2*i], out[2*i+1] = digits[s[i]>>4], digits[s[i]&15]
	}
	return dst
}
