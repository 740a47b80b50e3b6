// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_MOONCAKE_STORE_H
#define SIXCALL_MOONCAKE_STORE_H

#include <cstdint>
#include <string>
#include <vector>

#include "mooncake_library.h"
#include "mooncake_master.h"
#include "sixcall/connector.hpp"

namespace mooncake {

/// What a SET does with a key that is stored already, with the store's write-once
/// values.
enum class Existing { kCompare, kKeep, kReplace };

/// The configuration of one connection.
struct Settings {
  MasterAddress master;
  std::string local_hostname;  ///< empty: the address on the way to the master
  std::string metadata_server;
  std::string protocol;
  std::string device_name;
  std::string key_prefix;  ///< as the library takes it
  uint64_t global_segment_size = 0;  ///< bytes that this process gives to the store
  uint64_t local_buffer_size = 0;    ///< bytes
  uint64_t replica_num = 1;
  bool soft_pin = false;
  bool hard_pin = false;
  bool prefer_local_alloc = false;
  std::vector<std::string> preferred_segments;
  Existing existing = Existing::kCompare;
  bool force_remove = false;
  uint64_t connect_timeout_ms = 0;
  uint64_t setup_timeout_ms = 0;
  int log_level = 0;  ///< for Library::SetLogLevel

  /// Reads every key. Throws SIXCALL_E_CONFIG.
  static Settings Read(const sixcall::Config& config);
};

/// One client of the store: a handle of the library. All calls block, for half a
/// minute if the master is frozen. Safe for concurrent use once Setup returned.
class Store {
 public:
  explicit Store(const Library& library);
  Store(const Store&) = delete;
  /// Destroys the handle, which takes up to a second and more.
  ~Store();

  /// Connects. local_hostname is used if the settings have none. Throws.
  void Setup(const Settings& settings, const std::string& local_hostname);
  /// Asks the master for a key that nobody stores. Throws when it does not answer.
  void Probe() const;

  void Register(void* base, uint64_t len);
  void Unregister(void* base) noexcept;

  const Api& api() const { return library_.api(); }
  Handle handle() const { return handle_; }
  /// For puts; NULL means the library's defaults.
  const ReplicateConfig* replication() const { return replicate_ ? &replication_ : nullptr; }

 private:
  void SetReplication(const Settings& settings);

  const Library& library_;
  Handle handle_ = nullptr;
  bool replicate_ = false;
  ReplicateConfig replication_ = {};
  std::vector<std::string> segments_;
  std::vector<const char*> segment_names_;
};

}  // namespace mooncake

#endif  // SIXCALL_MOONCAKE_STORE_H
