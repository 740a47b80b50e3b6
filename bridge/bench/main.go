// Command bench compares the bridge with a plain C++ program and with LMCache's own
// bridge on the same connector library, side by side in one run: their rounds
// alternate, and what counts is the ratio of their medians.
//
//	make bench
//
// README.md says what the parts are and what they cost.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

type settings struct {
	build, libraries, driver, python, peer string
	parts, connectors, placements, rows    string
	programs, only, record                 string
	seconds                                float64
	rounds                                 int
	quick, report                          bool
	out                                    string

	use   []string            // the programs
	peers map[string]*lmcache // by placement
	atEnd []func()
	data  data
}

// data is what a run leaves behind as JSON.
type data struct {
	Machine machine    `json:"machine"`
	Command string     `json:"command"`
	Rows    []row      `json:"rows,omitempty"`
	Calls   []call     `json:"calls,omitempty"`
	Keys    *keysTrack `json:"keys,omitempty"`
}

func main() {
	var s settings
	var child childSettings
	flag.StringVar(&s.build, "build", "", "folder with libsixcall_null.so")
	flag.StringVar(&s.libraries, "libraries", "", "folder of the bundled connectors")
	flag.StringVar(&s.driver, "driver", "", "the sixcall-driver program")
	flag.StringVar(&s.python, "python", "python3.11", "the Python that runs LMCache")
	flag.StringVar(&s.peer, "peer", "", "peer.py; empty: without LMCache")
	flag.StringVar(&s.parts, "parts", "calls,rows,busy,curves,keys,sim", "what to run, comma-separated: calls, rows, busy, curves, keys, sim, guard")
	flag.StringVar(&s.connectors, "connectors", "mem", "connectors of the rows: null, mem, fs, redis")
	flag.StringVar(&s.placements, "placements", "same,free", "placements of the rows: same, cross, free")
	flag.StringVar(&s.rows, "rows", "core", "which rows: short, core, full")
	flag.StringVar(&s.programs, "programs", strings.Join(programs, ","), "columns")
	flag.StringVar(&s.only, "only", "", "only rows whose name contains one of these, comma-separated, such as lookup/1/,load/")
	flag.Float64Var(&s.seconds, "seconds", 0.2, "length of a round")
	flag.IntVar(&s.rounds, "rounds", 3, "rounds of each program")
	flag.BoolVar(&s.quick, "quick", false, "-rows short -placements same -rounds 3 -seconds 0.1")
	flag.StringVar(&s.out, "out", "", "write FILE.json and FILE.html")
	flag.StringVar(&s.record, "record", "", "guard: write the ratios of this run to this file instead of checking")
	flag.BoolVar(&s.report, "report", false, "run nothing: read the JSON files in the arguments, and write table, goals and -out of all")
	child.register()
	// The names under which a round gets its library.
	flag.StringVar(&child.lib, "lib", "", "internal: the connector library of a round")
	flag.StringVar(&child.params, "params", "{}", "internal: its configuration")
	flag.Parse()
	run := s.run
	if child.op != "" {
		child.seconds = s.seconds
		run = child.run
		if child.op == "keys" {
			run = child.trackKeys
		}
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (s *settings) run() error {
	if s.report {
		return s.merge(flag.Args())
	}
	if s.build == "" || s.libraries == "" || s.driver == "" {
		return fmt.Errorf("-build, -libraries and -driver are needed; `make bench` gives them")
	}
	if s.quick {
		s.rows, s.placements, s.rounds, s.seconds = "short", same, 3, 0.1
	}
	s.peers = map[string]*lmcache{}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM, syscall.SIGPIPE)
	go func() {
		<-interrupted
		s.stop()
		os.Exit(130)
	}()
	defer s.stop()
	for _, p := range strings.Split(s.programs, ",") {
		if !slices.Contains(programs, p) {
			return fmt.Errorf("-programs has %q, want one of %s", p, strings.Join(programs, ", "))
		}
		if p != peer || s.peer != "" {
			s.use = append(s.use, p)
		}
	}
	s.data.Command = strings.Join(os.Args[1:], " ")
	s.data.Machine = describe()
	fmt.Println(s.data.Machine)
	start := time.Now()
	for _, part := range strings.Split(s.parts, ",") {
		if err := s.part(part); err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
	}
	printGoals(os.Stdout, &s.data)
	fmt.Printf("\n%s\n", time.Since(start).Round(time.Second))
	return s.data.write(s.out)
}

func (s *settings) part(part string) error {
	switch part {
	case "calls":
		return s.calls()
	case "rows":
		return s.table()
	case "busy":
		return s.busyTable()
	case "curves":
		return s.curves()
	case "keys":
		return s.keys()
	case "sim":
		return s.simulate()
	case "guard":
		return s.guard()
	}
	return fmt.Errorf("-parts has %q, want calls, rows, busy, curves, keys, sim or guard", part)
}

// merge joins the results of several runs.
func (s *settings) merge(files []string) error {
	for i, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var d data
		if err := json.Unmarshal(text, &d); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if i == 0 {
			s.data.Machine = d.Machine
		}
		s.data.Command += d.Command + "\n"
		s.data.Rows = append(s.data.Rows, d.Rows...)
		s.data.Calls = append(s.data.Calls, d.Calls...)
		if d.Keys != nil {
			s.data.Keys = d.Keys
		}
	}
	fmt.Println(s.data.Machine)
	last := ""
	for i := range s.data.Rows {
		r := &s.data.Rows[i]
		if at := r.Part + ", " + r.Connector + ", " + r.Placement; at != last {
			fmt.Printf("\n%s\n%s\n", at, heading)
			last = at
		}
		r.print(os.Stdout)
	}
	printGoals(os.Stdout, &s.data)
	return s.data.write(s.out)
}

// write leaves the results as JSON and as a page.
func (d *data) write(name string) error {
	if name == "" {
		return nil
	}
	text, err := json.MarshalIndent(d, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(name+".json", append(text, '\n'), 0o644); err != nil {
		return err
	}
	f, err := os.Create(name + ".html")
	if err != nil {
		return err
	}
	defer f.Close()
	return d.page(f)
}
