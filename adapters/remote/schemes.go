package remote

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"
)

// makers returns the schemes that every program has. It is a function because an
// external connector may be built in.
func makers() map[string]func(*ConnectorContext) (Connector, error) {
	return map[string]func(*ConnectorContext) (Connector, error){
		"audit":          newAudit,
		"blackhole":      newBlackhole,
		"external":       newExternal,
		"fs":             newFS,
		"infinistore":    newInfinistore,
		"lm":             newLM,
		"mock":           newMock,
		"mooncakestore":  newMooncake,
		"redis":          newRedis,
		"rediss":         newRedis,
		"unix":           newRedis,
		"redis-cluster":  newRedisNodes,
		"redis-sentinel": newRedisNodes,
		"resp":           newRESP,
		"s3":             newS3,
		"sixcall":        newSixcall,
	}
}

type builtinAdapter struct {
	Scheme
	make func(*ConnectorContext) (Connector, error)
}

func (b builtinAdapter) CreateConnector(c *ConnectorContext) (Connector, error) { return b.make(c) }

// builtin returns the adapter of a URL's scheme, or nil.
func builtin(url string) ConnectorAdapter {
	scheme, _, ok := strings.Cut(url, "://")
	scheme = strings.ToLower(scheme)
	if f, known := makers()[scheme]; ok && known {
		return builtinAdapter{Scheme(scheme + "://"), f}
	}
	return nil
}

func builtinSchemes() []string { return slices.Sorted(maps.Keys(makers())) }

// builtinPlugin returns the adapter of a plugin type that needs no class.
func builtinPlugin(typ string) ConnectorAdapter {
	switch typ {
	case "fs", "mooncakestore", "redis":
		return builtinAdapter{Scheme(typ + "://"), makers()[typ]}
	}
	return nil
}

// open opens a library for a connector.
func open(c *ConnectorContext, library string, params map[string]any) (store, error) {
	if c.Open == nil {
		return store{}, fmt.Errorf("%w: this program opens no connector libraries", ErrConfig)
	}
	instance := library
	if c.PluginName != "" {
		instance = c.PluginName
	}
	class := strings.TrimPrefix(library, "go:")
	b, err := c.Open(c.Context, OpenRequest{Connector: library, Class: class, Params: params, Instance: instance})
	return store{b}, err
}

// newRedis serves redis://, rediss:// and unix:// and the plugin redis.
func newRedis(c *ConnectorContext) (Connector, error) {
	url := c.URL
	if c.PluginName != "" {
		for _, u := range []string{c.setting("redis_url"), c.Config.RemoteURL, "redis://localhost:6379"} {
			if url = u; u != "" {
				break
			}
		}
	}
	params, ignored, err := redisParams(url)
	if err != nil {
		return nil, err
	}
	if len(ignored) > 0 {
		c.Logger.Warn("options of a redis URL have no effect here", zap.Strings("options", ignored))
	}
	s, err := open(c, "redis", params)
	if err != nil {
		return nil, err
	}
	return &paired{newBase(c, s, "redis")}, nil
}

func login(params map[string]any, user, password string) {
	if user != "" {
		params["username"] = user
	}
	if password != "" {
		params["password"] = password
	}
}

// newRedisNodes serves redis-cluster:// and redis-sentinel://:
// [user:password@]host:port[,host:port]...
func newRedisNodes(c *ConnectorContext) (Connector, error) {
	scheme, rest, _ := strings.Cut(c.URL, "://")
	params := map[string]any{"lazy": true}
	hosts, _, _ := strings.Cut(rest, "/")
	hosts, _, _ = strings.Cut(hosts, "?")
	if at := strings.LastIndexByte(hosts, '@'); at >= 0 {
		user, password, _ := strings.Cut(hosts[:at], ":")
		login(params, user, password)
		hosts = hosts[at+1:]
	}
	var nodes []string
	for host := range strings.SplitSeq(hosts, ",") {
		if _, err := parseURL(scheme + "://" + host); err != nil {
			return nil, err
		}
		nodes = append(nodes, host)
	}
	if strings.EqualFold(scheme, "redis-cluster") {
		params["cluster"], params["nodes"] = true, nodes
	} else {
		params["sentinels"] = nodes
		params["sentinel_master"] = "redismaster"
		if name := os.Getenv("REDIS_SERVICE_NAME"); name != "" {
			params["sentinel_master"] = name
		}
	}
	s, err := open(c, "redis", params)
	if err != nil {
		return nil, err
	}
	return &paired{newBase(c, s, strings.ToLower(scheme))}, nil
}

// wholeChunks says why a connector cannot be used when chunks may be partial.
func wholeChunks(c *ConnectorContext) error {
	if c.Config.SaveUnfullChunk {
		return fmt.Errorf("%w: save_unfull_chunk is true, but this connector keeps whole chunks only", ErrConfig)
	}
	return nil
}

// newRESP serves resp://host:port: one key, the whole chunk.
func newRESP(c *ConnectorContext) (Connector, error) {
	a, err := parseURL(c.URL)
	if err == nil {
		err = wholeChunks(c)
	}
	if err != nil {
		return nil, err
	}
	params := map[string]any{"lazy": true, "host": a.host, "port": a.port}
	pick := func(key, env, url string) string {
		for _, v := range []string{c.Config.ExtraString(key), os.Getenv(env), url} {
			if v != "" {
				return v
			}
		}
		return ""
	}
	login(params, pick("username", "LMCACHE_RESP_USERNAME", a.user), pick("password", "LMCACHE_RESP_PASSWORD", a.password))
	if n, err := c.Config.ExtraNumber("resp_num_threads", 0); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	} else if n > 0 {
		params["workers"] = int(n)
	}
	s, err := open(c, "redis", params)
	if err != nil {
		return nil, err
	}
	return &raw{base: newBase(c, s, "resp")}, nil
}

// newFS serves fs://host:port/dir[,dir]..., fs:///dir and the plugin fs.
func newFS(c *ConnectorContext) (Connector, error) {
	var dirs string
	if c.PluginName != "" {
		if dirs = c.setting("base_path"); dirs == "" {
			dirs = c.Config.ExtraString("fs_base_path")
		}
		if dirs == "" {
			return nil, fmt.Errorf("%w: extra_config needs remote_storage_plugin.%s.base_path, or fs_base_path", ErrConfig, c.PluginName)
		}
	} else {
		_, rest, _ := strings.Cut(c.URL, "://")
		if at := strings.IndexByte(rest, '/'); at >= 0 {
			dirs = rest[at:]
		}
		dirs, _, _ = strings.Cut(dirs, "?")
	}
	var stores []store
	closeAll := func() {
		for _, s := range stores {
			_ = s.b.Close()
		}
	}
	for dir := range strings.SplitSeq(dirs, ",") {
		if dir = strings.TrimSpace(dir); dir == "" || dir == "/" {
			closeAll()
			return nil, fmt.Errorf("%w %q: the folder is missing, want fs:///folder", ErrURL, c.URL)
		}
		params := map[string]any{"base_path": dir, "names": "remote"}
		if v := c.Config.ExtraString("fs_connector_relative_tmp_dir"); v != "" {
			params["tmp_dir"] = v
		}
		if n, err := c.Config.ExtraNumber("fs_connector_read_ahead_size", 0); err == nil && n > 0 {
			params["read_ahead_bytes"] = int64(n)
		}
		if c.Config.ExtraBool("fs_connector_use_odirect", false) {
			params["o_direct"] = true
		}
		s, err := open(c, "fs", params)
		if err != nil {
			closeAll()
			return nil, err
		}
		stores = append(stores, s)
	}
	b := newBase(c, stores[0], "fs")
	if len(stores) > 1 {
		return &spread{stores: stores, base: b, headers: c.Config.SavesChunkMeta()}, nil
	}
	return formOf(b, c.Config.SavesChunkMeta(), true), nil
}

// formOf is the form with or without headers.
func formOf(b base, headers, partial bool) Connector {
	if headers {
		return &headed{base: b}
	}
	return &raw{base: b, partial: partial}
}

// newInfinistore serves infinistore://host:port[?device=name].
func newInfinistore(c *ConnectorContext) (Connector, error) {
	if err := single(c.URL); err != nil {
		return nil, err
	}
	a, err := parseURL(c.URL)
	if err != nil {
		return nil, err
	}
	// LMCache's values have no trailer.
	params := map[string]any{"host": a.host, "port": a.port, "trailer": false, "lazy": true}
	if device := a.query.Get("device"); device != "" {
		params["device"] = device
	}
	switch link := strings.ToUpper(c.Config.ExtraString("infinistore_link_type")); link {
	case "":
	case "LINK_ETHERNET", "LINK_IB":
		params["link_type"] = link
	default:
		return nil, fmt.Errorf("%w: infinistore_link_type is %q, want LINK_ETHERNET or LINK_IB", ErrConfig, link)
	}
	s, err := open(c, "infinistore", params)
	if err != nil {
		return nil, err
	}
	// LMCache sends the memory of a chunk, which is whole pages.
	const page, most = 4096, 40 << 20
	return &headed{base: newBase(c, s, "infinistore"), pad: page, most: most}, nil
}

// newS3 serves s3://bucket.host[:port].
func newS3(c *ConnectorContext) (Connector, error) {
	_, host, _ := strings.Cut(c.URL, "://")
	host = strings.TrimSuffix(host, "/")
	bucket, server, ok := strings.Cut(host, ".")
	if !ok || bucket == "" || server == "" {
		return nil, fmt.Errorf("%w %q: want s3://bucket.host", ErrURL, c.URL)
	}
	region := c.Config.ExtraString("s3_region")
	if region == "" {
		return nil, fmt.Errorf("%w: extra_config needs s3_region", ErrConfig)
	}
	if err := wholeChunks(c); err != nil {
		return nil, err
	}
	scheme := "https://"
	if c.Config.ExtraBool("disable_tls", false) {
		scheme = "http://"
	}
	params := map[string]any{"endpoint": scheme + server, "bucket": bucket, "region": region, "layout": "remote", "lazy": true}
	for key, from := range map[string]string{"access_key": "aws_access_key_id", "secret_key": "aws_secret_access_key"} {
		if v := c.Config.ExtraString(from); v != "" {
			params[key] = v
		}
	}
	if n, err := c.Config.ExtraNumber("s3_num_io_threads", 0); err == nil && n > 0 {
		params["workers"] = int(n)
	}
	s, err := open(c, "go:s3", params)
	if err != nil {
		return nil, err
	}
	return &raw{base: newBase(c, s, "s3")}, nil
}

// mooncakeKeys are LMCache's settings that go to the library as they are.
var mooncakeKeys = []string{"local_hostname", "metadata_server", "global_segment_size", "local_buffer_size", "protocol", "device_name", "master_server_address"}

// newMooncake serves mooncakestore:// and the plugin mooncakestore. Its settings are
// in the file that MOONCAKE_CONFIG_PATH names, else in extra_config.
func newMooncake(c *ConnectorContext) (Connector, error) {
	settings := map[string]any{}
	if path := os.Getenv("MOONCAKE_CONFIG_PATH"); path != "" {
		text, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(text, &settings)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: MOONCAKE_CONFIG_PATH: %w", ErrConfig, err)
		}
	} else {
		maps.Copy(settings, c.Config.Extra)
		for key, v := range c.Config.Extra {
			for _, prefix := range []string{"remote_storage_plugin.mooncakestore.", "remote_storage_plugin." + c.PluginName + "."} {
				if name, ok := strings.CutPrefix(key, prefix); ok {
					settings[name] = v
				}
			}
		}
	}
	params := mooncakeParams(settings)
	if params["master_server_address"] == nil {
		return nil, fmt.Errorf("%w: extra_config needs master_server_address", ErrConfig)
	}
	s, err := open(c, "mooncake", params)
	if err != nil {
		return nil, err
	}
	return formOf(newBase(c, s, "mooncakestore"), c.Config.SavesChunkMeta(), false), nil
}

// mooncakeParams returns the library's parameters: LMCache's own names, and all
// that begins with mooncake_, which wins. LMCache has sizes as numbers or as texts; two
// names are LMCache's own and mean nothing to the library.
func mooncakeParams(settings map[string]any) map[string]any {
	params := map[string]any{}
	set := func(name string, v any) {
		if text, ok := v.(string); ok && strings.HasSuffix(name, "_size") {
			if n, err := strconv.ParseInt(text, 10, 64); err == nil {
				v = n
			}
		}
		if v != nil && v != "" {
			params[name] = v
		}
	}
	for _, key := range mooncakeKeys {
		set(key, settings[key])
	}
	for key, v := range settings {
		name, ok := strings.CutPrefix(key, "mooncake_")
		if ok && name != "transfer_timeout" && name != "storage_root_dir" {
			set(name, v)
		}
	}
	// The library's own word for it.
	if v, ok := params["master_server_addr"]; ok {
		params["master_server_address"] = v
		delete(params, "master_server_addr")
	}
	return params
}

// newSixcall serves sixcall://NAME[/][?key=value...]: any connector library, by name.
// Query values that are JSON numbers or booleans are that, all others texts; more
// parameters come from extra_config sixcall.NAME.<key>.
func newSixcall(c *ConnectorContext) (Connector, error) {
	_, rest, _ := strings.Cut(c.URL, "://")
	rest, query, _ := strings.Cut(rest, "?")
	name := strings.Trim(rest, "/")
	if name == "" {
		return nil, fmt.Errorf("%w %q: want sixcall://NAME", ErrURL, c.URL)
	}
	a, err := parseURL("sixcall://h:0/?" + query)
	if err != nil {
		return nil, fmt.Errorf("%w %q: its query cannot be read", ErrURL, masked(c.URL))
	}
	params := map[string]any{}
	for key, v := range c.Config.Extra {
		if param, ok := strings.CutPrefix(key, "sixcall."+name+"."); ok {
			params[param] = v
		}
	}
	class := ""
	for key, values := range a.query {
		if key == "class_name" {
			class = values[0]
			continue
		}
		params[key] = scalar(values[0])
	}
	if class == "" {
		class = strings.TrimSuffix(strings.TrimPrefix(name[strings.LastIndexByte(name, '/')+1:], "libsixcall_"), ".so")
	}
	return openLibrary(c, name, strings.TrimPrefix(class, "go:"), params)
}

// scalar reads a number or a boolean, or takes the text as it is.
func scalar(text string) any {
	var v any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if d.Decode(&v) == nil && !d.More() {
		switch v.(type) {
		case bool, json.Number:
			return v
		}
	}
	return text
}

// libraryParams are the keys of a plugin that are not about loading.
func libraryParams(c *ConnectorContext) map[string]any {
	params := map[string]any{}
	for key, v := range c.Config.Extra {
		name, ok := strings.CutPrefix(key, "remote_storage_plugin."+c.PluginName+".")
		if ok && c.PluginName != "" && name != "module_path" && name != "class_name" {
			params[name] = v
		}
	}
	return params
}

// openLibrary makes a connector on a library of a vendor.
func openLibrary(c *ConnectorContext, library, class string, params map[string]any) (Connector, error) {
	if c.Open == nil {
		return nil, errors.New("this program opens no connector libraries")
	}
	instance := class
	if c.PluginName != "" {
		instance = c.PluginName
	}
	b, err := c.Open(c.Context, OpenRequest{Connector: library, Class: class, Params: params, Instance: instance})
	if err != nil {
		return nil, err
	}
	return formOf(newBase(c, store{b}, class), c.Config.SavesChunkMeta(), true), nil
}

// newExternal serves external://host:port/module/?connector_name=Class.
func newExternal(c *ConnectorContext) (Connector, error) {
	if err := single(c.URL); err != nil {
		return nil, err
	}
	a, err := parseURL(c.URL)
	if err != nil {
		return nil, err
	}
	class := a.query.Get("connector_name")
	module := strings.Trim(a.path, "/")
	switch {
	case class == "":
		return nil, fmt.Errorf("%w %q: connector_name is missing, want external://host:port/module/?connector_name=Class", ErrURL, masked(c.URL))
	case module == "":
		return nil, fmt.Errorf("%w %q: the module is missing, want external://host:port/module/?connector_name=Class", ErrURL, masked(c.URL))
	}
	adapter, direct, err := c.Factory.resolve(module, class, "external.")
	if err != nil {
		return nil, err
	}
	if !direct {
		return nil, fmt.Errorf("%w: %q of module %q is a ConnectorAdapter", ErrType, class, module)
	}
	c.Logger.Info("external connector: module " + module + ", class " + class)
	return adapter.CreateConnector(c)
}
