// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_PROBE_LIBRARY_H
#define SIXCALL_PROBE_LIBRARY_H

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "memory.h"
#include "sixcall/connector.h"

namespace probe {

struct HostOptions {
  bool log = true;
  int32_t level = SIXCALL_LOG_DEBUG;
  uint16_t minor = SIXCALL_ABI_MINOR;
  uint64_t features = 0;
  uint32_t tail = 0;  ///< bytes of a later host's fields behind ours, not zero
};

/// What the connector is told about its host, in guarded read-only memory, and what
/// it logs. Never freed: a connector that close could not stop may still use it.
class Host {
 public:
  explicit Host(const HostOptions& options = {});
  const sixcall_host* get() const { return reinterpret_cast<const sixcall_host*>(memory_.data()); }

  std::vector<std::string> lines() const;
  uint64_t line_count() const { return count_.load(); }
  /// What was wrong with the lines, "" = nothing.
  std::string violation() const;
  void Closed() { closed_.store(true); }
  /// Every log call from now on takes so long.
  void Block(uint64_t ms) { block_ms_.store(ms); }
  /// Log calls that are inside the callback now.
  int inside() const { return inside_.load(); }
  /// The thread that made the last log call.
  long last_thread() const { return last_thread_.load(); }

 private:
  static void OnLog(void* context, int32_t level, const char* text, uint64_t len);
  void Violate(const std::string& text);

  HostOptions options_;
  Guarded memory_;
  std::atomic<bool> closed_{false};
  std::atomic<uint64_t> block_ms_{0}, count_{0};
  std::atomic<int> inside_{0};
  std::atomic<long> last_thread_{0};
  mutable std::mutex mu_;  // guards the two below
  std::vector<std::string> lines_;
  std::string violation_;
};

/// Loads the library under test once and returns its table; fails the check if that
/// does not work.
const sixcall_api* Load();
/// Loads any library; *error says why NULL was returned.
const sixcall_api* LoadFrom(const std::string& path, std::string* error, void** handle = nullptr);
/// Asks a loaded library for its table.
const sixcall_api* Entry(void* handle, const sixcall_host* host);

/// The field of a table that may be shorter than ours: 0 if it is past struct_size.
#define PROBE_SLOT(api, slot) \
  ((api)->struct_size >= offsetof(sixcall_api, slot) + sizeof((api)->slot) ? (api)->slot : nullptr)

inline bool HasCap(const sixcall_api* api, uint64_t cap) { return (api->caps & cap) == cap; }
/// SKIP unless the library has the capability.
void Require(const sixcall_api* api, uint64_t cap, const char* name);

/// Where an address lies: "libx.so" and whether that is the file that `inside` is in.
std::string ObjectOf(const void* address);

}  // namespace probe

#endif  // SIXCALL_PROBE_LIBRARY_H
