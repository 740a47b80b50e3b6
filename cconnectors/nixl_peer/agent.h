// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_NIXL_PEER_AGENT_H
#define SIXCALL_NIXL_PEER_AGENT_H

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "nixl_api.h"

namespace nixl_peer {

/// An agent of NIXL with one backend that moves memory between processes, and a piece
/// of memory. Not for more than one thread at a time. Errors are sixcall::Error with
/// NIXL's number as vendor code.
class Agent {
 public:
  /// With a progress thread its memory can be read while nobody of this process calls
  /// NIXL; progress_us is how long that sleeps when there is nothing to do, 0 = none.
  Agent(std::shared_ptr<const nixl::Api> api, const std::string& backend, const std::map<std::string, std::string>& params, std::string name,
        uint64_t progress_us);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  /// Registers memory, which has to stay until Unregister or the end of the agent.
  void Register(void* memory, uint64_t len);
  void Unregister(void* memory, uint64_t len) noexcept;

  const std::string& name() const { return name_; }
  /// What another agent needs to reach the memory of this one. Ask after Register.
  std::string Metadata() const;
  /// Learns of another agent; Forget before it is learned of anew.
  void Learn(const std::string& name, const std::string& metadata);
  void Forget(const std::string& name) noexcept;

  /// Starts reading len bytes at an address of another agent into registered memory.
  /// Ends with Finish when Poll says anything but nixl::kInProgress.
  void* StartRead(const std::string& from, uint64_t address, void* to, uint64_t len, int* status);
  int Poll(void* request) noexcept { return api_->get_xfer_status(agent_, request); }
  void Finish(void* request) noexcept;

 private:
  void Destroy() noexcept;

  std::shared_ptr<const nixl::Api> api_;
  const std::string name_;
  void *agent_ = nullptr, *backend_ = nullptr, *args_ = nullptr;
};

}  // namespace nixl_peer

#endif  // SIXCALL_NIXL_PEER_AGENT_H
