// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_NIXL_PEER_SESSION_H
#define SIXCALL_NIXL_PEER_SESSION_H

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent.h"
#include "peer.h"
#include "pool.h"

namespace nixl_peer {

/// What all sessions of a connector share.
struct Shared {
  std::shared_ptr<const nixl::Api> api;
  std::string backend;
  std::map<std::string, std::string> params;             ///< of the plugin
  std::vector<std::pair<std::string, std::string>> peers;  ///< host and port
  PeerLimits limits;
  std::function<void(const std::string&)> log;
  std::atomic<uint64_t> remote_hits{0}, remote_bytes{0}, remote_corrupt{0}, peer_failures{0}, abandoned{0};
};

/// A worker's connections to the peers, with an agent and memory of its own that values
/// are read into. For one thread.
class Session {
 public:
  explicit Session(Shared& shared);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Reads a value of a peer. kMiss: no peer that can be asked has it.
  sixcall::Result Get(std::string_view key, sixcall::MutableBytes buffer);
  sixcall::Result Exists(std::string_view key);
  /// How many peers are connected, trying those whose time has come.
  size_t Connected();

 private:
  struct Link {
    Link(const std::pair<std::string, std::string>& at, PeerLimits limits) : peer(at.first, at.second, limits) {}
    Peer peer;
    std::string learned;  ///< the agent's name, if NIXL knows it
  };

  bool Ready(Link& link);
  void Lost(Link& link, const sixcall::Error& why) noexcept;
  bool Read(Link& link, std::string_view key, const Answer& there, sixcall::MutableBytes buffer);
  uint8_t* Memory(uint64_t len);
  void MakeAgent();
  void Abandon() noexcept;

  Shared& shared_;
  std::unique_ptr<Agent> agent_;  ///< made when a value is read for the first time
  uint8_t* memory_ = nullptr;
  uint64_t memory_bytes_ = 0;
  std::vector<std::unique_ptr<Link>> links_;
  size_t first_ = 0;  ///< the peer that had a value last is asked first
};

/// A name that no other agent has.
std::string AgentName();

}  // namespace nixl_peer

#endif  // SIXCALL_NIXL_PEER_SESSION_H
