module github.com/sixcall/sixcall/bridge/bench/cgo

go 1.26.0
