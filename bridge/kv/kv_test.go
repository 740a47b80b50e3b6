package kv_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/kv"
)

func TestStoreResultRows(t *testing.T) {
	for _, tc := range []struct {
		ok      bool
		bytes   int64
		encoded int64
	}{{true, 0, 0}, {true, 5, 5}, {false, 5, -1}} {
		r, err := kv.NewStoreResult(tc.ok, tc.bytes)
		require.NoError(t, err)
		require.Equal(t, tc.ok, r.OK, "row 19")
		require.Equal(t, tc.encoded, r.Encoded(), "row 19")
	}
	for _, ok := range []bool{true, false} {
		_, err := kv.NewStoreResult(ok, -1)
		require.ErrorIs(t, err, kv.Invalid, "row 20")
	}
}

func TestRow21UsageFraction(t *testing.T) {
	require.Equal(t, -1.0, kv.Usage{BytesUsed: 5}.Fraction())
	require.Equal(t, 0.5, kv.Usage{BytesUsed: 5, BytesCapacity: 10}.Fraction())
}

func TestLayoutLengths(t *testing.T) {
	_, err := kv.NewLayout(make([][]int64, 2), []string{"half"})
	require.ErrorIs(t, err, kv.Invalid)
}

func TestErrorsMatchCodesAndCauses(t *testing.T) {
	err := error(&kv.Error{Op: "load", Connector: "mem", Code: kv.IO, VendorCode: 5, Err: io.ErrUnexpectedEOF})
	require.ErrorIs(t, err, kv.IO)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.False(t, errors.Is(err, kv.Busy))
	require.Equal(t, `sixcall: load "mem": i/o error (vendor code 5): unexpected EOF`, err.Error())
	require.Equal(t, kv.Internal, kv.CodeOf(-99), "an unknown code is a bug of the connector")
	require.Equal(t, kv.OK, kv.CodeOf(7))
	require.True(t, (&kv.Error{Code: kv.Busy}).Retryable())
}

func TestErrBlockKeepsTheFirstErrorAndItsBounds(t *testing.T) {
	e := kv.ErrBlock(make([]byte, kv.ErrBlockSize))
	e.Reset()
	require.Equal(t, kv.OK, e.Code())
	e.Set(kv.IO, 7, strings.Repeat("x", 500))
	e.Set(kv.Auth, 8, "later")
	require.Equal(t, kv.IO, e.Code())
	require.Equal(t, int32(7), e.VendorCode())
	require.Len(t, e.Message(), 239)
	for i := range e[12:16] {
		e[12+i] = 0xFF // a connector that lies about the length
	}
	require.LessOrEqual(t, len(e.Message()), 240)
	kv.ErrBlock(nil).Set(kv.IO, 0, "ignored")
	require.Equal(t, kv.OK, kv.ErrBlock(nil).Code())
}

func TestBatchKeys(t *testing.T) {
	b := kv.Batch{Keys: []byte("abcde"), Ends: []uint32{2, 2, 5}}
	require.Equal(t, []string{"ab", "", "cde"}, []string{string(b.Key(0)), string(b.Key(1)), string(b.Key(2))})
}
