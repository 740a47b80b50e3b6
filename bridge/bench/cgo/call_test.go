//go:build cgo

package cgo

import "testing"

func BenchmarkCall(b *testing.B) {
	b.Run("path=cgo", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if call(1, 2, 3, 4) != 30 {
				b.Fatal("wrong sum")
			}
		}
	})
}
