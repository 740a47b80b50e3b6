package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strings"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/adapters/python"
	"github.com/sixcall/sixcall/adapters/remote"
	"github.com/sixcall/sixcall/adapters/storage"
	"github.com/sixcall/sixcall/bridge/engine"
)

// nixl adds the storage backend on NIXL: the connector nixl behind a remote backend.
func (h *Host) nixl(ctx context.Context, cpu *storage.CPU) {
	c := h.opts.Config.Config
	extra, err := nixlParams(c.Extra, h.opts.Metadata.LocalWorkerID)
	switch {
	case err != nil:
	case c.SaveUnfullChunk:
		err = errors.New("save_unfull_chunk must be false")
	case cpu == nil:
		err = errors.New("it needs memory for what it reads: a worker with max_local_cpu_size above 0")
	}
	if err != nil {
		h.problem(fmt.Errorf("enable_nixl_storage: %w", err))
		return
	}
	for key := range c.Extra {
		if nixlIgnored[key] {
			h.opts.Logger.Warn("a setting of NIXL storage has no effect here", zap.String("setting", key))
		}
	}
	h.library(ctx, cpu, storage.NameNixl, "sixcall://nixl", extra)
}

// library adds a backend of LMCache's on a connector library.
func (h *Host) library(ctx context.Context, cpu *storage.CPU, name, url string, extra map[string]any) {
	c := h.opts.Config.Config
	c.Extra, c.RemoteStoragePlugins, c.RemoteSerde = extra, nil, "naive"
	factory, _ := h.factory(&c, cpu, python.Remote)
	h.add(name, func() (storage.Backend, error) {
		b, err := remote.NewBackend(ctx, remote.BackendOptions{Remote: remote.Remote{Backend: name, URL: url}, Factory: factory})
		if err != nil {
			return nil, err
		}
		return b, nil
	})
}

// peers adds the backend that shares chunks with other hosts over NIXL: the connector
// nixl_peer behind a remote backend.
func (h *Host) peers(ctx context.Context, cpu *storage.CPU) {
	extra, err := peerParams(&h.opts.Config.Config, h.opts.Metadata.LocalWorkerID)
	if err == nil && cpu == nil {
		err = errors.New("it needs memory for what it reads: a worker with max_local_cpu_size above 0")
	}
	if err != nil {
		h.problem(fmt.Errorf("enable_p2p: %w", err))
		return
	}
	h.library(ctx, cpu, storage.NameP2P, "sixcall://nixl_peer", extra)
}

// peerParams returns extra_config with LMCache's settings of peers as those of the
// connector. A peer without a port has this worker's.
func peerParams(c *engine.Config, worker int) (map[string]any, error) {
	ports, _ := c.All["p2p_init_ports"].([]any)
	if worker >= len(ports) {
		return nil, fmt.Errorf("p2p_init_ports has %d ports, none for the worker %d of this machine", len(ports), worker)
	}
	port := fmt.Sprint(ports[worker])
	var peers []string
	switch v := c.Extra["sixcall.nixl_peer.peers"].(type) {
	case []any:
		for _, e := range v {
			peers = append(peers, fmt.Sprint(e))
		}
	case string:
		peers = strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' })
	default:
		return nil, fmt.Errorf("sixcall.nixl_peer.peers is %v, want a list of hosts", v)
	}
	for i, p := range peers {
		if strings.LastIndexByte(p, ':') <= strings.LastIndexByte(p, ']') {
			peers[i] = p + ":" + port
		}
	}
	out := maps.Clone(c.Extra)
	out["sixcall.nixl_peer.peers"] = peers
	out["sixcall.nixl_peer.listen"] = fmt.Sprint(c.All["p2p_host"]) + ":" + port
	return out, nil
}

// nixlIgnored are settings about slots, caches and threads of LMCache's own code.
var nixlIgnored = map[string]bool{
	"nixl_pool_size": true, "nixl_presence_cache": true, "nixl_presence_cache_only": true, "nixl_async_put": true,
	"nixl_enable_prog_thread": true, "nixl_sync_mode": true, "nixl_use_hugepages": true,
}

// nixlParams returns extra_config with LMCache's settings of NIXL storage as those of
// the connector.
func nixlParams(extra map[string]any, worker int) (map[string]any, error) {
	out := maps.Clone(extra)
	for from, to := range map[string]string{"nixl_backend": "backend", "nixl_path": "base_path", "nixl_backend_params": "backend_params", "use_direct_io": "direct_io"} {
		if v := extra[from]; v != nil {
			out["sixcall.nixl."+to] = v
		}
	}
	if extra["nixl_backend"] == nil {
		return nil, errors.New("extra_config needs nixl_backend, such as POSIX or OBJ")
	}
	if by := extra["nixl_path_sharding"]; by != nil && by != "by_gpu" {
		return nil, fmt.Errorf("nixl_path_sharding is %v, want by_gpu", by)
	}
	list := extra["nixl_endpoint_list"]
	if list == nil {
		return out, nil
	}
	// Each worker has one of the endpoints.
	endpoints, ok := list.([]any)
	if !ok || len(endpoints) == 0 {
		return nil, fmt.Errorf("nixl_endpoint_list is %v, want a list of http:// or https:// URLs", list)
	}
	var urls []string
	for _, e := range endpoints {
		text, _ := e.(string)
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("nixl_endpoint_list has %v, want http:// or https:// URLs", e)
		}
		urls = append(urls, text)
	}
	params, _ := extra["nixl_backend_params"].(map[string]any)
	params = maps.Clone(params)
	if params == nil {
		params = map[string]any{}
	}
	params["endpoint_override"] = urls[worker%len(urls)]
	out["sixcall.nixl.backend_params"] = params
	return out, nil
}
