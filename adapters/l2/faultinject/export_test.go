package faultinject

import "github.com/sixcall/sixcall/bridge/kv"

// Bucket is bucket, for the vectors of the contract.
func Bucket(seed int64, key kv.Key) uint64 { return bucket(newHash(), seed, key) }
