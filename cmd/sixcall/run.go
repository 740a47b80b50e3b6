package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sixcall/sixcall/adapters/config/host"
	"github.com/sixcall/sixcall/adapters/launcher"
	"github.com/sixcall/sixcall/adapters/remote"
	"github.com/sixcall/sixcall/adapters/storage"
)

type runFlags struct {
	config   string
	listen   string
	role     string
	workerID int
	workers  int
	block    int
}

func newRun(a *app) *cobra.Command {
	f := &runFlags{}
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the storage of an engine and its plugin scripts",
		Long: `Run builds the backends of LMCache's configuration file, starts its plugin scripts,
and serves their state until SIGINT or SIGTERM:

  /status   JSON: backends, remotes, scripts
  /healthz  200 while all remotes are well, else 503 with the reason
  /metrics  counters in Prometheus' text format`,
		Example: "  sixcall run --config lmcache.yaml --listen 127.0.0.1:9464",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), a) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "LMCache's configuration `file` (default $LMCACHE_CONFIG_FILE)")
	flags.StringVar(&f.listen, "listen", "127.0.0.1:0", "`address` for status and metrics; port 0 takes a free one")
	flags.StringVar(&f.role, "role", launcher.RoleWorker, "role of the process: worker or scheduler")
	flags.IntVar(&f.workerID, "worker-id", 0, "number of the worker")
	flags.IntVar(&f.workers, "workers", 1, "number of workers")
	flags.IntVar(&f.block, "block-bytes", 1<<20, "size of a chunk in bytes")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml", "json")
	return cmd
}

func (f *runFlags) run(ctx context.Context, a *app) (err error) {
	if f.role != launcher.RoleWorker && f.role != launcher.RoleScheduler {
		return fmt.Errorf("--role is %q, want worker or scheduler", f.role)
	}
	if err := errors.Join(inRange("workers", f.workers, 1, 1<<20), inRange("worker-id", f.workerID, 0, f.workers-1), inRange("block-bytes", f.block, 1, 1<<30)); err != nil {
		return err
	}
	c, err := loadConfig(a, f.config)
	if err != nil {
		return err
	}
	meta := metadataOf(c, f.block)
	meta.Role, meta.WorkerID, meta.LocalWorkerID, meta.WorldSize = f.role, f.workerID, f.workerID, f.workers
	h, err := openHost(ctx, a, c, meta)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, failed(h.Close())) }()
	listener, err := net.Listen("tcp", f.listen)
	if err != nil {
		return failed(err)
	}
	server := &http.Server{Handler: statusHandler(h), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		_ = server.Close()
		<-served
	}()
	if err := h.Launch(); err != nil {
		return failed(err)
	}
	fmt.Fprintf(a.stdout, "backends: %s\nstatus: http://%s/status\n", strings.Join(h.Manager.Names(), ", "), listener.Addr())
	select {
	case <-ctx.Done():
		return nil
	case err := <-served:
		served <- err
		return failed(err)
	}
}

// hostStatus is what /status shows.
type hostStatus struct {
	Healthy  bool                  `json:"healthy"`
	Reason   string                `json:"reason,omitempty"`
	Problems []string              `json:"problems"`
	Backends []string              `json:"backends"`
	Remotes  map[string]remoteView `json:"remotes"`
	CPU      *memoryView           `json:"cpu,omitempty"`
	DiskUsed *int64                `json:"disk_used_bytes,omitempty"`
	Plugins  []launcher.Status     `json:"plugins"`
}

type remoteView struct {
	Connected bool            `json:"connected"`
	Err       string          `json:"error,omitempty"`
	Counters  remote.Counters `json:"counters"`
}

type memoryView struct {
	Keys     int   `json:"keys"`
	InUse    int64 `json:"in_use_bytes"`
	Capacity int64 `json:"capacity_bytes"`
}

func statusOf(h *host.Host) hostStatus {
	s := hostStatus{Healthy: true, Problems: []string{}, Backends: h.Manager.Names(), Remotes: map[string]remoteView{}, Plugins: []launcher.Status{}}
	if err := h.Monitor.Healthy(); err != nil {
		s.Healthy, s.Reason = false, err.Error()
	}
	for _, err := range h.Problems {
		s.Problems = append(s.Problems, err.Error())
	}
	for _, name := range s.Backends {
		switch b := h.Manager.Backend(name).(type) {
		case *remote.Backend:
			v := remoteView{Connected: b.Connected(), Counters: b.Counters()}
			if err := b.Err(); err != nil {
				v.Err = err.Error()
			}
			s.Remotes[name] = v
		case *storage.Disk:
			used := b.Used()
			s.DiskUsed = &used
		case *storage.CPU:
			s.CPU = &memoryView{Keys: b.Keys(), InUse: b.Pool().InUse(), Capacity: b.Pool().Capacity()}
		}
	}
	if h.Launcher != nil {
		s.Plugins = h.Launcher.Status()
	}
	return s
}

func statusHandler(h *host.Host) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		_ = enc.Encode(statusOf(h))
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if err := h.Monitor.Healthy(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		writeMetrics(w, statusOf(h))
	})
	return mux
}

// writeMetrics writes the counters of a status in Prometheus' text format.
func writeMetrics(w io.Writer, s hostStatus) {
	metric := func(name, kind, help string, samples map[string]float64) {
		fmt.Fprintf(w, "# HELP sixcall_host_%s %s\n# TYPE sixcall_host_%s %s\n", name, help, name, kind)
		for _, labels := range sortedKeys(samples) {
			fmt.Fprintf(w, "sixcall_host_%s%s %v\n", name, labels, samples[labels])
		}
	}
	truth := func(ok bool) float64 {
		if ok {
			return 1
		}
		return 0
	}
	metric("healthy", "gauge", "1 while all backends are well.", map[string]float64{"": truth(s.Healthy)})
	remotes := func(f func(remoteView) float64) map[string]float64 {
		out := map[string]float64{}
		for name, v := range s.Remotes {
			out[fmt.Sprintf("{backend=%q}", name)] = f(v)
		}
		return out
	}
	metric("remote_connected", "gauge", "1 while the remote has a connector.", remotes(func(v remoteView) float64 { return truth(v.Connected) }))
	metric("remote_get_failures_total", "counter", "Reads that failed; misses are none.", remotes(func(v remoteView) float64 { return float64(v.Counters.GetFailures) }))
	metric("remote_put_failures_total", "counter", "Keys that were not stored.", remotes(func(v remoteView) float64 { return float64(v.Counters.PutFailures) }))
	metric("remote_read_bytes_total", "counter", "Bytes that were read.", remotes(func(v remoteView) float64 { return float64(v.Counters.Connector.BytesRead) }))
	metric("remote_written_bytes_total", "counter", "Bytes that were stored.", remotes(func(v remoteView) float64 { return float64(v.Counters.Connector.BytesWritten) }))
	metric("remote_puts", "gauge", "Keys that are being stored.", remotes(func(v remoteView) float64 { return float64(v.Counters.InPut) }))
	if s.CPU != nil {
		metric("cpu_in_use_bytes", "gauge", "Memory of chunks.", map[string]float64{"": float64(s.CPU.InUse)})
		metric("cpu_keys", "gauge", "Chunks in memory.", map[string]float64{"": float64(s.CPU.Keys)})
	}
	if s.DiskUsed != nil {
		metric("disk_used_bytes", "gauge", "Files of chunks.", map[string]float64{"": float64(*s.DiskUsed)})
	}
	restarts := map[string]float64{}
	for _, p := range s.Plugins {
		restarts[fmt.Sprintf("{plugin=%q}", p.Path)] = float64(p.Restarts)
	}
	metric("plugin_restarts_total", "counter", "Restarts of plugin scripts.", restarts)
}
