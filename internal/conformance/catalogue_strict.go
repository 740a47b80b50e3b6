//go:build linux

package conformance

var faultChecks = []Check{
	{"R01", "net.cut", 3, "Cuts connections at random bytes, with --endpoint.",
		"One broken connection ends the service.", "Fail the batch, drop the connection, connect again with back-off.", byCommand},
	{"R02", "net.blackhole", 3, "Drops everything for a while, then heals, with --endpoint.",
		"Sockets stay stuck for ever.", "Set a timeout on every receive, and keep-alives.", byCommand},
	{"R03", "net.slow", 3, "Delays replies and passes them in small pieces, with --endpoint.",
		"One slow reply blocks the others.", "Read replies as a stream; expect any piece size.", byCommand},
	{"R04", "net.corrupt", 3, "Flips bits in replies, with --endpoint.",
		"A damaged reply crashes the host or is served.", "Check every length and type that comes from outside.", byCommand},
	{"R05", "net.restart", 3, "Stops and starts the backend under load, with --fixture-start and --fixture-stop.",
		"The host must be restarted with the backend.", "Connect again with back-off, for ever.", byCommand},
	{"R06", "sys.errno", 3, "Lets system calls fail with EIO, ENOSPC, EMFILE, ENOMEM, EINTR, EAGAIN and short results.",
		"A full disk or table of files crashes the host or damages data.", "Check the result of every call.", byCommand},
	{"R07", "sys.oom", 3, "Lets the k-th allocation fail, for many k.",
		"The host dies where it could have gone on.", "Check malloc, catch bad_alloc, return SIXCALL_E_NOMEM.", byCommand},
	{"R08", "sys.threadfail", 3, "Lets pthread_create and eventfd fail in open.",
		"A crash instead of an error when the machine is full.", "Check the results, undo, return an error.", byCommand},
	{"R09", "sys.clock", 3, "Moves the realtime clock by an hour under load.",
		"Deadlines fire early or never when the clock is set.", "Use CLOCK_MONOTONIC for waiting.", byCommand},
	{"R10", "flood", 3, "Keeps the queue full on one CPU.",
		"Batches starve or wake-ups are lost under load.", "Take turns; signal when the queue was empty.", byProbe},
	{"R11", "disk.full", 3, "Lets files grow to a small limit.",
		"A full disk wedges the connector.", "Answer REFUSED or NOSPACE, keep reading, remove the partial file.", byCommand},
}

var fuzzChecks = []Check{
	{"Z01", "fuzz.api", 3, "A seeded random walk over all calls with a model of the store; a failure is shortened and can be repeated.",
		"Some order of legal calls gives wrong results.", "Repeat it with the seed that is printed.", byCommand},
	{"Z02", "fuzz.config", 3, "Opens with mutated configurations.",
		"Some configuration crashes the host.", "Repeat it with the seed that is printed.", byProbe},
	{"Z03", "fuzz.wire", 4, "Mutates the bytes of the server, with --endpoint.",
		"A hostile server owns the host.", "Check every length and type that comes from outside.", byCommand},
	{"Z04", "fuzz.sched", 3, "Random pauses at lock, condition, eventfd and read calls, on one CPU and on all.",
		"A rare order of threads hangs or loses a batch.", "Look for state that is read outside of its lock.", byCommand},
}

var toolChecks = []Check{
	{"N01", "tool.memcheck", 3, "Runs the important checks under valgrind memcheck.",
		"Invalid accesses that have no effect today, and leaks.", "Read valgrind's report below.", byCommand},
	{"N02", "tool.helgrind", 3, "Runs parallel load under valgrind helgrind.",
		"A data race in the shipped library.", "Read valgrind's report below.", byCommand},
	{"N03", "tool.asan", 3, "Runs the important checks with the _asan twin of the library.",
		"A memory error or undefined behaviour.", "Read the sanitizer's report below.", byCommand},
	{"N04", "tool.tsan", 3, "Runs parallel load with the _tsan twin of the library, 5 seeds.",
		"A data race.", "Read the sanitizer's report below.", byCommand},
	{"N05", "tool.lsan_plain", 2, "Runs the shipped library in a probe with LeakSanitizer and looks for heap that is lost after close.",
		"Each connection leaks memory.", "Free in close what open and work have made.", byCommand},
}

var soakChecks = []Check{
	{"K01", "soak.rss", 4, "Steady load for --soak: memory, file descriptors, threads stay flat.",
		"A slow leak ends the host after days.", "Look at what grows with batches or keys.", byProbe},
	{"K02", "soak.latency", 4, "Steady load for --soak: p50 and p99 at the end are at most 1.3 times those at the start.",
		"Serving becomes slower the longer it runs.", "Look for lists and tables that grow.", byProbe},
	{"K03", "soak.churn", 4, "Opens and closes handles under load on others for --soak.",
		"Closing one connection damages another.", "Keep all state in the handle.", byProbe},
}

var hostChecks = []Check{
	{"V01", "compat.hosts", 3, "Runs level 2 as every older host.",
		"The library needs a newer host than it says.", "Build with the oldest header that you promise.", notYet},
	{"V02", "compat.twins", 3, "Compares results in this process and in the isolated worker.",
		"The library depends on the process it lives in.", "Keep state in the handle and use the memory that was given.", notYet},
}

var latencyChecks = []Check{
	{"Q01", "latency.submit", 3, "Measures submit by batch size.",
		"The host's serving thread spends its time in submit.", "Copy the descriptor and return.", byProbe},
	{"Q02", "latency.ops", 3, "Measures get, set and exists by size and batches in flight.",
		"For comparison.", "Compare with the backend's own tools.", byProbe},
	{"Q03", "latency.wakeup", 3, "Measures the time from done_ns to the drain.",
		"Work that is done waits.", "Signal right after publishing.", byProbe},
	{"Q04", "throughput", 3, "Measures bytes and operations per second.",
		"For comparison.", "Compare with the backend's own tools.", byProbe},
	{"Q05", "cost", 3, "Measures CPU time, system calls and context switches per operation.",
		"The connector costs more than it should.", "Batch system calls; avoid copies.", byProbe},
	{"Q06", "latency.first", 3, "Measures open, the first operation, and close.",
		"For comparison.", "Connect in open.", byProbe},
	{"Q07", "fairness", 3, "Measures the slowest of 64 tickets, and GET while a flood of SET runs.",
		"One request waits far longer than its neighbours.", "Take turns between batches; give lookups their own lane.", byProbe},
}
