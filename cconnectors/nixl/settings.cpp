// SPDX-License-Identifier: Apache-2.0
#include "settings.h"

namespace nixl {

namespace {

/// Takes a parameter that is ours out of those of the plugin.
std::string TakeParam(std::map<std::string, std::string>& params, const char* name) {
  const auto it = params.find(name);
  if (it == params.end()) return "";
  std::string value = it->second;
  params.erase(it);
  return value;
}

bool AsBool(const std::string& name, const std::string& value) {
  if (value == "true" || value == "True" || value == "1") return true;
  if (value.empty() || value == "false" || value == "False" || value == "0") return false;
  throw sixcall::Error(SIXCALL_E_CONFIG, "config key \"backend_params." + name + "\" is \"" + value.substr(0, 40) + "\", want \"true\" or \"false\"");
}

bool TakeBool(std::map<std::string, std::string>& params, const char* name) { return AsBool(name, TakeParam(params, name)); }

std::string Value(const std::map<std::string, std::string>& params, const char* name) {
  const auto it = params.find(name);
  return it == params.end() ? "" : it->second;
}

void CheckName(const std::string& name) {
  const bool ok = !name.empty() && name.size() <= 64 && name[0] >= 'A' && name[0] <= 'Z' &&
                  name.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == std::string::npos;
  if (!ok) {
    throw sixcall::Error(SIXCALL_E_CONFIG,
                         "config key \"backend\" is \"" + name.substr(0, 64) + "\", want the upper-case name of a NIXL plugin, such as POSIX or OBJ");
  }
}

/// POSIX: which of the kernel's interfaces the plugin uses.
void CheckPosix(std::map<std::string, std::string>& params) {
  if (AsBool("use_posix_aio", Value(params, "use_posix_aio"))) {
    throw sixcall::Error(SIXCALL_E_CONFIG,
                         "config key \"backend_params.use_posix_aio\" is true: refused, because after one failed read every later request of that queue fails; "
                         "want \"use_aio\" (libaio, the default) or \"use_uring\"");
  }
  const bool uring = AsBool("use_uring", Value(params, "use_uring"));
  if (uring && AsBool("use_aio", Value(params, "use_aio"))) {
    throw sixcall::Error(SIXCALL_E_CONFIG, "config keys \"backend_params.use_aio\" and \"backend_params.use_uring\" are both true, want one of them");
  }
  params[uring ? "use_uring" : "use_aio"] = "true";
}

}  // namespace

Settings ReadSettings(const sixcall::Config& config, sixcall::Options& options) {
  Settings s;
  s.library = config.GetString("library");
  s.backend.name = config.GetString("backend", "POSIX");
  CheckName(s.backend.name);
  if (config.Has("storage_type")) {
    throw sixcall::Error(SIXCALL_E_CONFIG, "config key \"storage_type\" cannot be set: the backend says whether it stores files or objects");
  }
  auto& params = s.backend.params;
  params = config.GetMap("backend_params");

  const std::string file_path = TakeParam(params, "file_path");
  s.files.base_path = config.GetString("base_path", file_path);
  if (!file_path.empty() && s.files.base_path != file_path) {
    throw sixcall::Error(SIXCALL_E_CONFIG, "config keys \"base_path\" and \"backend_params.file_path\" differ, want one of them");
  }
  s.files.direct_io = config.GetBool("direct_io", TakeBool(params, "use_direct_io"));
  s.files.shards = config.GetBool("shard_dirs", TakeBool(params, "shard_dirs"));
  s.files.sync = config.GetBool("sync", false);
  s.key_prefix = config.GetString("key_prefix");
  s.seal = config.GetBool("seal", true);
  s.probe = config.GetBool("probe", true);
  if (s.backend.name == "POSIX") {
    CheckPosix(params);
    s.backend.memory_is_free = true;
    s.files.libaio = params.count("use_aio") != 0 && params["use_aio"] == "true";
  }
  if (s.backend.name == "POSIX" && s.files.base_path.empty()) {
    throw sixcall::Error(SIXCALL_E_CONFIG, "config key \"base_path\" is missing, want the folder of the cache");
  }
  const bool object = s.files.base_path.empty();
  if (s.backend.name == "OBJ") {
    s.endpoint = Value(params, "endpoint_override");
    s.scheme = Value(params, "scheme");
    // NIXL's default is half of the CPUs, which on small machines means one
    // request at a time.
    params.emplace("num_threads", "8");
  }
  s.queue_depth = static_cast<uint32_t>(config.GetUint("queue_depth", 64, 1, 4096));
  s.bounce_bytes = config.GetUint("bounce_bytes", uint64_t{256} << 20, 1 << 20);
  s.request_timeout_ns = config.GetUint("request_timeout_ms", object ? 10000 : 30000, 100, 3600000) * 1000000;

  options.workers = static_cast<uint32_t>(config.GetUint("workers", 4, 1, 256));
  options.lookup_workers = static_cast<uint32_t>(config.GetUint("lookup_workers", object ? 2 : 1, 1, 64));
  options.max_inflight = static_cast<uint32_t>(config.GetUint("max_inflight", options.max_inflight, 1, 65536));  // before any agent is made
  options.lazy = config.GetBool("lazy", false);
  options.best_batch = 64;
  options.tile_keys = 32;
  // Names grow to three times the key; a path has 4095 bytes, an object's name 1024.
  options.max_key_len = object ? 300 : 1024;
  if (object && s.key_prefix.size() > 64) throw sixcall::Error(SIXCALL_E_CONFIG, "config key \"key_prefix\" has " + std::to_string(s.key_prefix.size()) + " bytes, want at most 64");
  if (s.key_prefix.find('\0') != std::string::npos || s.key_prefix.find("..") != std::string::npos) {
    throw sixcall::Error(SIXCALL_E_CONFIG, "config key \"key_prefix\" has a NUL or \"..\", want plain text such as \"kv/\"");
  }
  return s;
}

}  // namespace nixl
