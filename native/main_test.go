//go:build linux && (amd64 || arm64)

package native_test

import (
	"os"
	"testing"
)

// buildsEnv tells a child where the parent keeps the libraries that it compiled.
const buildsEnv = "SIXCALL_TEST_BUILDS"

func TestMain(m *testing.M) {
	if dir := os.Getenv(buildsEnv); dir != "" { // in a child of a test
		buildCache.dir = dir
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "sixcall-native-")
	if err != nil {
		panic(err)
	}
	buildCache.dir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}
