// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_NIXL_AGENT_H
#define SIXCALL_NIXL_AGENT_H

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "nixl_api.h"

namespace nixl {

/// What makes agents alike.
struct BackendSpec {
  std::string name;                           ///< "POSIX"
  std::map<std::string, std::string> params;  ///< handed to the plugin; may hold secrets
  /// Registration is bookkeeping only, so one that spans the address space does
  /// for all memory. Measured for POSIX: registering buffers per transfer works as
  /// well, but one registration inside another makes NIXL miss the outer one.
  bool memory_is_free = false;
};

/// One descriptor of something stored: a file or an object.
struct Stored {
  uint64_t device;   ///< file: its descriptor; object: a number that no other has
  uint64_t len;      ///< bytes
  std::string meta;  ///< object: its name; file: empty
};

/// Memory of our own, registered with one agent.
struct Bounce {
  uint8_t* data = nullptr;
  uint64_t size = 0;  ///< bytes
};

/// An agent of NIXL with one backend, its registrations and its bounce memory.
///
/// Belongs to one thread, but for RegisterArena and UnregisterArena, which any
/// thread may call. Errors are sixcall::Error with NIXL's number as vendor code.
class Agent {
 public:
  /// Makes the agent and the backend. Blocks for as long as the plugin needs.
  Agent(std::shared_ptr<const Api> api, const BackendSpec& spec, const std::string& name);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  /// What kind of things the backend stores: kFile or kObject.
  Memory kind() const { return kind_; }

  /// Whether NIXL may be given this memory as it is.
  bool Covers(const void* data, uint64_t len) const;
  void RegisterArena(const void* base, uint64_t len);
  void UnregisterArena(const void* base, uint64_t len);

  /// A registered list of stored things; it ends with Forget.
  void* Register(const std::vector<Stored>& stored);
  void Forget(void* list) noexcept;

  /// Starts moving len bytes between data and the beginning of a stored thing that
  /// is registered. Returns the request that is in progress, or NULL when there is
  /// none: it was done at once or refused, as *status says.
  void* Start(Direction direction, const void* data, uint64_t len, uint64_t device, int* status) noexcept;
  /// Asks for the status, which also drives the backend's queue.
  int Poll(void* request) noexcept { return api_->get_xfer_status(agent_, request); }
  /// Frees a request. Never call it for one that is in progress: the backend
  /// would go on with freed memory.
  void Finish(void* request) noexcept;

  /// Asks which objects exist; blocks. Returns NIXL's result; 0 = *exists is filled.
  int Query(const std::vector<std::string>& names, std::vector<bool>* exists) noexcept;

  /// Bounce memory of at least len bytes; it ends with Give.
  Bounce Take(uint64_t len);
  void Give(Bounce block) noexcept;

  uint64_t NextDevice() { return ++device_; }

  /// Bytes of bounce memory of all agents of the process.
  static uint64_t BounceBytes() { return bounce_bytes_.load(std::memory_order_relaxed); }

 private:
  void MakeBackend(const BackendSpec& spec);
  void DropBounce(Bounce block) noexcept;
  int RegisterMemory(uintptr_t address, uint64_t len, bool undo) noexcept;
  void Destroy() noexcept;

  std::shared_ptr<const Api> api_;
  std::string name_;
  void* agent_ = nullptr;
  void* backend_ = nullptr;
  void* args_ = nullptr;
  Memory kind_ = kFile;
  bool all_memory_ = false;
  uint64_t device_ = 0;
  std::multimap<uint64_t, Bounce> spare_;  // by size
  uint64_t spare_bytes_ = 0;
  static std::atomic<uint64_t> bounce_bytes_;

  mutable std::mutex arenas_mu_;  // guards arenas_
  std::map<uintptr_t, uint64_t> arenas_;
};

}  // namespace nixl

#endif  // SIXCALL_NIXL_AGENT_H
