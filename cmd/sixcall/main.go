// Command sixcall exercises KV-cache storage connectors: it replays serving
// traffic through them, measures them, and shows what a library is.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], systemApp()))
}
