package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/config"
)

// LMCache's own words reach the connector under its names.
func TestBundledTypes(t *testing.T) {
	for _, tt := range []struct {
		text, module, params string
		capacity             float64
	}{
		{`{"type":"fs_native","base_path":"/cache"}`, "fs", `{"base_path":"/cache","names":"fs_native"}`, 0},
		{`{"type":"fs_native","base_path":"/cache","adapter_params":{"names":"fs"}}`, "fs", `{"base_path":"/cache","names":"fs"}`, 0},
		{`{"type":"fs_native","base_path":"/cache","num_workers":8,"relative_tmp_dir":"tmp","use_odirect":true,"read_ahead_size":4096,"max_capacity_gb":2}`,
			"fs", `{"base_path":"/cache","workers":8,"tmp_dir":"tmp","o_direct":true,"read_ahead_bytes":4096,"names":"fs_native"}`, 2},
		{`{"type":"fs","base_path":"/cache","relative_tmp_dir":"tmp","adapter_params":{"shards":16}}`,
			"fs", `{"base_path":"/cache","tmp_dir":"tmp","shards":16}`, 0},
		{`{"type":"resp","host":"h","port":6379}`, "redis", `{"host":"h","port":6379}`, 0},
		{`{"type":"resp","host":"h","port":6379,"num_workers":3,"username":"u","password":{"$env":"SECRET"},"max_capacity_gb":1.5,"adapter_params":{"tls":true}}`,
			"redis", `{"host":"h","port":6379,"workers":3,"username":"u","password":{"$env":"SECRET"},"tls":true}`, 1.5},
		{`{"type":"mooncake_store","master_server_address":"m:50051"}`, "mooncake", `{"master_server_address":"m:50051"}`, 0},
		{`{"type":"mooncake_store","num_workers":3,"per_op_workers":{"lookup":2,"retrieve":4,"store":1},"local_hostname":"h","metadata_server":"http://m:8080/metadata",
		   "master_server_address":"m:50051","protocol":"rdma","device_name":"mlx5_0","global_segment_size":"3355443200","local_buffer_size":1073741824,"max_capacity_gb":3,
		   "adapter_params":{"existing":"keep"}}`,
			"mooncake", `{"workers":8,"lookup_workers":2,"local_hostname":"h","metadata_server":"http://m:8080/metadata","master_server_address":"m:50051","protocol":"rdma",
			"device_name":"mlx5_0","global_segment_size":3355443200,"local_buffer_size":1073741824,"existing":"keep"}`, 3},
		{`{"type":"mooncake_store","per_op_workers":{"lookup":2},"master_server_address":"m:1"}`, "mooncake", `{"lookup_workers":2,"master_server_address":"m:1"}`, 0},
		{`{"type":"nixl_native","backend":"POSIX","backend_params":{"file_path":"/cache","use_direct_io":"true"},"num_workers":2,"max_capacity_gb":1}`,
			"nixl", `{"backend":"POSIX","backend_params":{"file_path":"/cache","use_direct_io":"true"},"workers":2}`, 1},
		{`{"type":"nixl_native","backend":"OBJ","backend_params":{"bucket":"b","secret_key":{"$env":"S3_SECRET"}}}`,
			"nixl", `{"backend":"OBJ","backend_params":{"bucket":"b","secret_key":{"$env":"S3_SECRET"}}}`, 0},
		{`{"type":"infinistore","host":"h","port":12345,"device":"mlx5_0","link_type":"LINK_IB","num_workers":8,"max_capacity_gb":2}`,
			"infinistore", `{"host":"h","port":12345,"device":"mlx5_0","link_type":"LINK_IB","workers":8}`, 2},
		{`{"type":"s3","s3_endpoint":"s3://kv.minio.local:9000","s3_region":"us-east-1","disable_tls":true,"s3_num_io_threads":8,"s3_prefer_http2":false,"s3_enable_s3express":false,
		   "aws_access_key_id":"k","aws_secret_access_key":{"$file":"/run/key"},"adapter_params":{"style":"path"}}`,
			"go:s3", `{"bucket":"kv","endpoint":"http://minio.local:9000","region":"us-east-1","workers":8,"access_key":"k","secret_key":{"$file":"/run/key"},"style":"path"}`, 0},
	} {
		a := parse(t, tt.text)[0]
		require.Equal(t, tt.module, a.NativePlugin.ModulePath)
		require.JSONEq(t, tt.params, string(a.NativePlugin.AdapterParams))
		require.InDelta(t, tt.capacity, a.NativePlugin.MaxCapacityGB, 0)
		require.Equal(t, a.Type, a.ClassName())
		require.NoError(t, a.Supported())
	}
}

// LMCache takes the login of type resp from its environment where it is not
// given; so does this, as a reference, so that the secret is in no message.
func TestRESPLoginFromTheEnvironment(t *testing.T) {
	t.Setenv("LMCACHE_RESP_USERNAME", "operator")
	t.Setenv("LMCACHE_RESP_PASSWORD", "s3cret")
	a := parse(t, `{"type":"resp","host":"h","port":1}`)[0]
	require.JSONEq(t, `{"host":"h","port":1,"username":{"$env":"LMCACHE_RESP_USERNAME"},"password":{"$env":"LMCACHE_RESP_PASSWORD"}}`,
		string(a.NativePlugin.AdapterParams))
	a = parse(t, `{"type":"resp","host":"h","port":1,"username":"other","password":"p"}`)[0]
	require.JSONEq(t, `{"host":"h","port":1,"username":"other","password":"p"}`, string(a.NativePlugin.AdapterParams))
}

func TestBundledTypesTakeOurKeysToo(t *testing.T) {
	a := parse(t, `{"type":"fs","base_path":"/c","isolation":"process","deadlines":{"load_ms":7},"eviction":{"eviction_policy":"LRU"}}`)[0]
	require.Equal(t, config.IsolationProcess, a.NativePlugin.Isolation)
	require.EqualValues(t, 7, a.NativePlugin.Deadlines.Load.Milliseconds())
	require.Equal(t, "LRU", a.Eviction.Policy)
}

func TestBundledTypesRefuse(t *testing.T) {
	for text, want := range map[string]string{
		`{"type":"fs_native"}`:                                                                  `('fs_native'): base_path is missing, want the folder for the files`,
		`{"type":"fs_native","base_path":"/c","num_workers":0}`:                                 `num_workers is 0, want 1 or more`,
		`{"type":"fs","base_path":"/c","num_workers":4}`:                                        `num_workers is an unknown key`,
		`{"type":"fs","base_path":"/c","use_odirect":"true"}`:                                   `use_odirect is the string "true", want true or false`,
		`{"type":"resp","host":"h"}`:                                                            `port is missing, want a port`,
		`{"type":"resp","host":"h","port":65536}`:                                               `port is 65536, want 1 to 65535`,
		`{"type":"resp","host":"h","port":1,"adapter_params":{"host":"i"}}`:                     `host is given, and adapter_params.host as well: want one of them`,
		`{"type":"mooncake_store"}`:                                                             `master_server_address is missing, want HOST:PORT of the master`,
		`{"type":"mooncake_store","master_server_address":"m:1","num_workers":0}`:               `num_workers is 0, want 1 or more`,
		`{"type":"mooncake_store","master_server_address":"m:1","per_op_workers":{"lookup":0}}`: `per_op_workers.lookup is 0, want 1 or more`,
		`{"type":"mooncake_store","master_server_address":"m:1","per_op_workers":{"look":1}}`:   `per_op_workers.look is an unknown key`,
		`{"type":"mooncake_store","master_server_address":"m:1","per_op_workers":4}`:            `per_op_workers is 4, want an object`,
		`{"type":"mooncake_store","master_server_address":"m:1","global_segment_size":"4 GB"}`:  `global_segment_size is the string "4 GB", want a count of bytes`,
		`{"type":"nixl_native","backend":"POSIX","storage_type":"file"}`:                        `storage_type is not for this type`,
		`{"type":"nixl_native","backend":"POSIX","backend_params":{"use_direct_io":true}}`:      `backend_params.use_direct_io is true, want a string`,
		`{"type":"nixl_native"}`:                                                                `backend is missing, want a backend of NIXL`,
		`{"type":"infinistore"}`:                                                                `host is missing, want a name or an address`,
		`{"type":"s3","s3_endpoint":"bucket","s3_region":"r"}`:                                  `s3_endpoint is "bucket", want s3://BUCKET.HOST[:PORT]`,
		`{"type":"s3","s3_endpoint":"b.h","s3_region":"r","s3_enable_s3express":true}`:          `S3 Express is not supported`,
	} {
		require.Contains(t, refused(t, text)[0], want, text)
	}
}

func TestWorkerSettings(t *testing.T) {
	a := parse(t, with(`"isolation":"process","worker":{"program":"/opt/sixcall-worker","wrapper":["valgrind","-q"],"user":7,"group":8,"memory_limit_gb":2.5,
		"core_dumps":true,"allow_exec":true,"start_timeout_ms":1,"hang_timeout_ms":2,"restart_initial_ms":3,"restart_max_ms":4,"restarts_per_minute":5}`))[0]
	w := a.NativePlugin.Worker
	require.Equal(t, []string{"valgrind", "-q"}, w.Wrapper)
	require.EqualValues(t, []uint32{7, 8}, []uint32{w.User, w.Group})
	require.EqualValues(t, []int64{1, 2, 3, 4, 5}, []int64{w.StartTimeout.Milliseconds(), w.HangTimeout.Milliseconds(),
		w.RestartInitial.Milliseconds(), w.RestartMax.Milliseconds(), int64(w.RestartsPerMinute)})
	require.InDelta(t, 2.5, w.MemoryLimitGB, 0)
	require.True(t, w.CoreDumps && w.AllowExec)

	for member, want := range map[string]string{
		`"program":"worker"`:   `worker.program is "worker", want an absolute path`,
		`"wrapper":[1]`:        `worker.wrapper has 1 at position 0, want strings`,
		`"user":5`:             `worker.group is 0 and worker.user is 5, want both or none`,
		`"memory_limit_gb":-1`: `worker.memory_limit_gb is -1, want 0 to`,
		`"restart_initial_ms":50,"restart_max_ms":10`: `worker.restart_max_ms is 10, want at least restart_initial_ms, 50`,
		`"hang_timeout_ms":0`:                         `worker.hang_timeout_ms is 0, want 1 or more`,
		`"memory_limit":1`:                            `worker.memory_limit is an unknown key, did you mean "memory_limit_gb"?`,
	} {
		require.Contains(t, refused(t, with(`"worker":{`+member+`}`))[0], want)
	}
}
