package lmcache

// kind is how a value is read.
type kind int

const (
	kindText kind = iota
	kindBool
	kindInt
	kindFloat
	kindList   // texts, or one text with commas
	kindInts   // the same with whole numbers
	kindFloats // the same with numbers
	kindPaths  // texts, or one text as it is
	kindDisk   // folders with commas, each with file:// or not
	kindMap    // a map, or JSON text
)

// field is one setting of LMCache 0.5.6.
type field struct {
	name string
	kind kind
	def  any // nil = none
	// used says that it has an effect here.
	used bool
}

// fields are all settings, in LMCache's order.
var fields = []field{
	{"chunk_size", kindInt, int64(256), true},
	{"local_cpu", kindBool, true, true},
	{"max_local_cpu_size", kindFloat, float64(5), true},
	{"local_cpu_use_hugepages", kindBool, false, false},
	{"reserve_local_cpu_size", kindFloat, float64(0), false},
	{"local_disk", kindDisk, nil, true},
	{"local_disk_path_sharding", kindText, "by_gpu", true},
	{"max_local_disk_size", kindFloat, float64(0), true},
	{"remote_url", kindText, nil, true},
	{"remote_serde", kindText, "naive", true},
	{"use_layerwise", kindBool, false, true},
	{"save_decode_cache", kindBool, false, false},
	{"pre_caching_hash_algorithm", kindText, "builtin", false},
	{"enable_blending", kindBool, false, false},
	{"blend_recompute_ratios", kindFloats, nil, false},
	{"blend_thresholds", kindFloats, nil, false},
	{"blend_check_layers", kindInts, nil, false},
	{"blend_min_tokens", kindInt, int64(256), false},
	{"blend_special_str", kindText, " # # ", false},
	{"retrieve_locations", kindList, nil, true},
	{"store_location", kindText, nil, true},
	{"enable_p2p", kindBool, false, true},
	{"p2p_host", kindText, nil, true},
	{"p2p_init_ports", kindInts, nil, true},
	{"p2p_lookup_ports", kindInts, nil, false},
	{"mp_host", kindText, nil, false},
	{"mp_port", kindInt, int64(5555), false},
	{"enable_controller", kindBool, false, false},
	{"lmcache_instance_id", kindText, nil, false},
	{"controller_pull_url", kindText, nil, false},
	{"controller_reply_url", kindText, nil, false},
	{"lmcache_worker_ports", kindInts, nil, false},
	{"lmcache_worker_ids", kindInts, nil, false},
	{"lmcache_worker_heartbeat_delay_time", kindInt, int64(10), false},
	{"lmcache_worker_heartbeat_time", kindInt, nil, false},
	{"enable_pd", kindBool, false, true},
	{"pd_role", kindText, nil, false},
	{"pd_buffer_size", kindInt, nil, false},
	{"pd_buffer_device", kindText, nil, false},
	{"pd_peer_host", kindText, nil, false},
	{"pd_peer_init_port", kindInts, nil, false},
	{"pd_peer_alloc_port", kindInts, nil, false},
	{"pd_peer_query_port", kindInts, nil, false},
	{"pd_proxy_host", kindText, nil, false},
	{"pd_proxy_port", kindInt, nil, false},
	{"pd_allocation_timeout_sec", kindFloat, nil, false},
	{"pd_shutdown_timeout_sec", kindFloat, float64(5), false},
	{"pd_condition_poll_interval_sec", kindFloat, float64(0.005), false},
	{"pd_max_prefill_len", kindInt, int64(0), false},
	{"pd_backend_mode", kindText, "async", false},
	{"pd_skip_proxy_notification", kindBool, false, false},
	{"pd_bidirectional", kindBool, false, false},
	{"transfer_channel", kindText, nil, true},
	{"nixl_backends", kindList, nil, false},
	{"nixl_buffer_size", kindInt, nil, false},
	{"nixl_buffer_device", kindText, nil, false},
	{"gds_path", kindText, nil, false},
	{"gds_path_sharding", kindText, "by_gpu", false},
	{"gds_buffer_size", kindInt, nil, false},
	{"maru_path", kindText, nil, false},
	{"maru_pool_size", kindFloat, float64(4), false},
	{"use_gds", kindBool, true, false},
	{"gds_backend", kindText, "cufile", false},
	{"audit_actual_remote_url", kindText, nil, true},
	{"internal_api_server_host", kindText, "127.0.0.1", false},
	{"extra_config", kindMap, nil, true},
	{"save_unfull_chunk", kindBool, false, true},
	{"blocking_timeout_secs", kindInt, int64(10), true},
	{"external_lookup_client", kindText, nil, false},
	{"py_enable_gc", kindBool, true, false},
	{"cache_policy", kindText, "LRU", true},
	{"numa_mode", kindText, nil, false},
	{"enable_async_loading", kindBool, false, false},
	{"internal_api_server_enabled", kindBool, false, false},
	{"internal_api_server_port_start", kindInt, int64(6999), false},
	{"priority_limit", kindInt, nil, false},
	{"internal_api_server_include_index_list", kindInts, nil, false},
	{"internal_api_server_socket_path_prefix", kindText, nil, false},
	{"runtime_plugin_locations", kindPaths, nil, true},
	{"storage_plugins", kindList, nil, true},
	{"remote_storage_plugins", kindList, nil, true},
	{"lookup_timeout_ms", kindInt, int64(3000), false},
	{"min_retrieve_tokens", kindInt, int64(0), false},
	{"hit_miss_ratio", kindFloat, nil, false},
	{"lookup_server_worker_ids", kindInts, nil, false},
	{"enable_scheduler_bypass_lookup", kindBool, false, false},
	{"script_allowed_imports", kindList, nil, false},
	{"run_script_api_enabled", kindBool, false, false},
	{"enable_lazy_memory_allocator", kindBool, false, false},
	{"lazy_memory_initial_ratio", kindFloat, float64(0.2), false},
	{"lazy_memory_expand_trigger_ratio", kindFloat, float64(0.5), false},
	{"lazy_memory_step_ratio", kindFloat, float64(0.1), false},
	{"lazy_memory_safe_size", kindFloat, float64(0), false},
	{"enable_chunk_statistics", kindBool, false, false},
	{"chunk_statistics_auto_start_statistics", kindBool, false, false},
	{"chunk_statistics_auto_exit_timeout_hours", kindFloat, float64(0), false},
	{"chunk_statistics_auto_exit_target_unique_chunks", kindInt, int64(0), false},
	{"chunk_statistics_strategy", kindText, "memory_bloom_filter", false},
	{"enable_kv_events", kindBool, false, false},
	{"use_gpu_connector_v3", kindBool, false, false},
	{"pin_timeout_sec", kindInt, int64(300), false},
	{"pin_check_interval_sec", kindInt, int64(30), false},
	{"remote_config_url", kindText, nil, false},
	{"app_id", kindText, nil, false},
	{"enable_hidden_state_cache", kindBool, false, false},
	{"max_hidden_state_cpu_size", kindFloat, float64(2), false},
	{"hidden_state_layers", kindInts, nil, false},
	{"hidden_states_retrieve_mode", kindText, "prefix_strict", false},
}

// renamed are older names and what they are called today.
var renamed = map[string]string{
	"plugin_locations":  "runtime_plugin_locations",
	"external_backends": "storage_plugins",
}

var byName = func() map[string]*field {
	m := map[string]*field{}
	for i := range fields {
		m[fields[i].name] = &fields[i]
	}
	return m
}()
