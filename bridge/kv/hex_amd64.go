package kv

// hexBlock is how many bytes hexBlocks converts at a time.
const hexBlock = 16

// hexBlocks writes to dst the digits of as many whole blocks as src has. dst has
// room for them.
//
//go:noescape
func hexBlocks(dst []byte, src string)
