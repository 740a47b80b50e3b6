package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// machine describes where a run took place.
type machine struct {
	Date     string  `json:"date"`
	CPU      string  `json:"cpu"`
	CPUs     int     `json:"cpus"`
	MemoryGB int     `json:"memory_gb"`
	Kernel   string  `json:"kernel"`
	Virtual  bool    `json:"virtual"`
	Go       string  `json:"go"`
	Compiler string  `json:"compiler"`
	Load     string  `json:"load"`        // when the run began
	Memcpy   float64 `json:"memcpy_gb_s"` // one thread, 1 MiB pieces of a set of 256 MiB
}

func (m machine) String() string {
	where := ""
	if m.Virtual {
		where = ", virtual"
	}
	return fmt.Sprintf("%s: %s, %d CPUs%s, %d GiB, Linux %s, %s, gcc %s, memcpy %.1f GB/s, load %s",
		m.Date, m.CPU, m.CPUs, where, m.MemoryGB, m.Kernel, m.Go, m.Compiler, m.Memcpy, m.Load)
}

func describe() machine {
	m := machine{Date: time.Now().UTC().Format("2006-01-02 15:04 UTC"), CPUs: runtime.NumCPU(), Go: runtime.Version(), Memcpy: memcpyRate()}
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		name, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(name) {
		case "model name":
			m.CPU = strings.TrimSpace(value)
		case "flags":
			m.Virtual = strings.Contains(value, " hypervisor")
		}
	}
	memory, _ := os.ReadFile("/proc/meminfo")
	var kb int
	_, _ = fmt.Sscanf(string(memory), "MemTotal: %d kB", &kb)
	m.MemoryGB = kb >> 20
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	m.Kernel = strings.TrimSpace(string(kernel))
	compiler, _ := exec.Command("g++", "-dumpfullversion").Output()
	m.Compiler = strings.TrimSpace(string(compiler))
	load, _ := os.ReadFile("/proc/loadavg")
	m.Load, _, _ = strings.Cut(string(load), " ")
	return m
}

// memcpyRate copies as the connector in memory does: from a large set into one
// buffer. The best of a few passes, since any disturbance only slows it.
func memcpyRate() float64 {
	const piece = 1 << 20
	from, to := make([]byte, setBytes), make([]byte, piece)
	for i := range from {
		from[i] = byte(i)
	}
	best := 0.0
	for range 5 {
		start := time.Now()
		for at := 0; at < len(from); at += piece {
			copy(to, from[at:at+piece])
		}
		best = max(best, float64(len(from))/time.Since(start).Seconds()/1e9)
	}
	return best
}
