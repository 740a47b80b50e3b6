package engine

import (
	"errors"
	"fmt"
)

// DType is a data type, as it is written in keys. "" stands for bytes without one.
type DType string

// The data types.
const (
	NoDType  DType = ""
	Float16  DType = "half"
	BFloat16 DType = "bfloat16"
	Float32  DType = "float"
	Float64  DType = "double"
	Uint8    DType = "uint8"
	FP8E4M3  DType = "fp8_e4m3"
	FP8E5M2  DType = "fp8_e5m2"
	FP8E4M3Z DType = "fp8_e4m3fnuz"
	FP8E5M2Z DType = "fp8_e5m2fnuz"
	Int8     DType = "int8"
	Int16    DType = "int16"
	Int32    DType = "int32"
	Int64    DType = "int64"
	Bool     DType = "bool"
)

// What can be wrong with data types. Errors match one of these.
var (
	ErrUnknownDType     = errors.New("unknown data type")
	ErrUnsupportedDType = errors.New("data type has no code in headers")
)

// dtypes has the size in bytes and the code in headers, 0 = none.
var dtypes = map[DType]struct{ size, code int32 }{
	NoDType: {1, 0}, Float16: {2, 2}, BFloat16: {2, 3}, Float32: {4, 4}, Float64: {8, 5}, Uint8: {1, 6},
	FP8E4M3: {1, 7}, FP8E5M2: {1, 8}, FP8E4M3Z: {1, 0}, FP8E5M2Z: {1, 0},
	Int8: {1, 0}, Int16: {2, 0}, Int32: {4, 0}, Int64: {8, 0}, Bool: {1, 0},
}

// ParseDType returns the type of that name.
func ParseDType(name string) (DType, error) {
	if _, ok := dtypes[DType(name)]; !ok || name == "" {
		return "", fmt.Errorf("%w %q", ErrUnknownDType, name)
	}
	return DType(name), nil
}

// Size returns the bytes of one element, 0 for an unknown type.
func (d DType) Size() int { return int(dtypes[d].size) }

// code is what a header has for the type.
func (d DType) code() (int32, error) {
	t, ok := dtypes[d]
	if !ok {
		return 0, fmt.Errorf("%w %q", ErrUnknownDType, string(d))
	}
	if t.code == 0 && d != NoDType {
		return 0, fmt.Errorf("%w: %q", ErrUnsupportedDType, string(d))
	}
	return t.code, nil
}

func dtypeOf(code int32) (DType, error) {
	if code == 1 { // an alias that is only read
		return Float16, nil
	}
	for d, t := range dtypes {
		if t.code == code && (code != 0 || d == NoDType) {
			return d, nil
		}
	}
	return "", fmt.Errorf("%w: code %d", ErrUnknownDType, code)
}

// Format says what the dimensions of an object mean.
type Format int32

// The formats.
const (
	FormatUndefined    Format = 0
	KV2LTD             Format = 1 // [2, layers, tokens, hidden]
	KVT2D              Format = 2 // [tokens, 2, hidden]
	KV2TD              Format = 3 // [2, tokens, hidden]
	FormatBinary       Format = 4
	FormatBinaryBuffer Format = 5
	KVMLA              Format = 6 // [1, layers, tokens, head]
	ECTD               Format = 7 // [tokens, hidden]
	HSTD               Format = 8 // [tokens, hidden]
)

// TokenDim returns the dimension that counts tokens.
func (f Format) TokenDim() int {
	switch f {
	case KV2LTD, KVMLA:
		return 2
	case KV2TD:
		return 1
	}
	return 0
}

// keepsDims reports whether trailing zeros are dimensions.
func (f Format) keepsDims() bool { return f == FormatBinary || f == FormatBinaryBuffer }

func (f Format) known() bool { return f >= FormatUndefined && f <= HSTD }
