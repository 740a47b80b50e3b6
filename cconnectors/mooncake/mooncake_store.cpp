// SPDX-License-Identifier: Apache-2.0
#include "mooncake_store.h"

#include <cstring>

#include "mooncake_batch.h"
#include "mooncake_codes.h"

namespace mooncake {
namespace {

/// Nobody stores it: an answer costs the master a look into a table.
constexpr const char* kProbeKey = "sixcall.probe";

}  // namespace

Settings Settings::Read(const sixcall::Config& config) {
  Settings s;
  s.master = MasterAddress::Parse(config.Require("master_server_address"));
  s.local_hostname = config.GetString("local_hostname");
  s.metadata_server = config.GetString("metadata_server", "P2PHANDSHAKE");
  s.protocol = config.GetString("protocol", "tcp");
  s.device_name = config.GetString("device_name");
  AppendKey(config.GetString("key_prefix"), &s.key_prefix);
  s.global_segment_size = config.GetUint("global_segment_size", 0, 0, uint64_t{1} << 50);
  s.local_buffer_size = config.GetUint("local_buffer_size", 16 << 20, 0, uint64_t{1} << 40);
  s.replica_num = config.GetUint("replica_num", 1, 1, 64);
  s.soft_pin = config.GetBool("soft_pin", false);
  s.hard_pin = config.GetBool("hard_pin", false);
  s.prefer_local_alloc = config.GetBool("prefer_local_alloc", false);
  s.preferred_segments = config.GetStrings("preferred_segments");
  const std::string existing = config.GetChoice("existing", "compare", {"compare", "keep", "replace"});
  s.existing = existing == "compare" ? Existing::kCompare : existing == "keep" ? Existing::kKeep : Existing::kReplace;
  s.force_remove = config.GetBool("force_remove", false);
  s.connect_timeout_ms = config.GetUint("connect_timeout_ms", 2000, 1, 60000);
  s.setup_timeout_ms = config.GetUint("setup_timeout_ms", 10000, 1, 600000);
  const std::vector<std::string> levels = {"info", "warning", "error", "none"};
  const std::string level = config.GetChoice("library_log", "error", levels);
  while (levels[static_cast<size_t>(s.log_level)] != level) s.log_level++;
  return s;
}

Store::Store(const Library& library) : library_(library), handle_(library.api().create()) {
  if (handle_ == nullptr) throw sixcall::Error(SIXCALL_E_NOMEM, "mooncake_store_create returned nothing");
}

Store::~Store() { api().destroy(handle_); }

void Store::Setup(const Settings& s, const std::string& local_hostname) {
  const std::string& host = s.local_hostname.empty() ? local_hostname : s.local_hostname;
  if (host.empty()) {
    throw sixcall::Error(SIXCALL_E_CONFIG, "config key \"local_hostname\" is missing: with the master at " + s.master.text.substr(0, 60) +
                                               " this machine's own address cannot be found out");
  }
  int rc = 0;
  library_.Guarded([&] {
    rc = api().setup(handle_, host.c_str(), s.metadata_server.c_str(), s.global_segment_size, s.local_buffer_size, s.protocol.c_str(),
                     s.device_name.c_str(), s.master.text.c_str());
  });
  library_.SetLogLevel(s.log_level);
  if (rc != 0) {
    throw sixcall::Error(SIXCALL_E_CONNECT, "set up the Mooncake client for the master at " + s.master.text + ": " + CodeText(rc) +
                                                "; the library's own log says why (\"library_log\")", rc);
  }
  SetReplication(s);
}

void Store::SetReplication(const Settings& s) {
  segments_ = s.preferred_segments;
  if (s.prefer_local_alloc) {
    char name[256] = "";
    if (api().get_hostname == nullptr || api().get_hostname(handle_, name, sizeof(name)) < 0 || name[0] == 0) {
      throw sixcall::Error(SIXCALL_E_CONFIG, "config key \"prefer_local_alloc\": the library does not tell the name of the own segment");
    }
    segments_.insert(segments_.begin(), std::string(name, ::strnlen(name, sizeof(name))));
  }
  for (const auto& segment : segments_) segment_names_.push_back(segment.c_str());
  replication_ = {s.replica_num, s.soft_pin, s.hard_pin, segment_names_.data(), segment_names_.size()};
  // A build of another version may have another struct: hand it over only if it says something.
  replicate_ = s.replica_num != 1 || s.soft_pin || s.hard_pin || !segments_.empty();
}

void Store::Probe() const {
  const char* key = kProbeKey;
  int result = 0;
  const int rc = api().batch_is_exist(handle_, &key, 1, &result);
  const int code = rc != 0 ? rc : result;
  if (code < 0) {
    const sixcall::Error e = CodeError("ask the Mooncake master", code);
    throw sixcall::Error(e.code() == SIXCALL_E_TIMEOUT ? SIXCALL_E_TIMEOUT : SIXCALL_E_CONNECT, e.text(), code);
  }
}

void Store::Register(void* base, uint64_t len) {
  const int rc = api().register_buffer(handle_, base, len);
  if (rc != 0) throw CodeError("register memory with the Mooncake client", rc);
}

void Store::Unregister(void* base) noexcept {
  try {
    api().unregister_buffer(handle_, base);
  } catch (...) {  // the library is C++; there is nobody to tell
  }
}

}  // namespace mooncake
