// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_NIXL_PEER_SERVER_H
#define SIXCALL_NIXL_PEER_SERVER_H

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "pool.h"

namespace nixl_peer {

/// Answers peers that ask for values of a pool, on a thread of its own. A peer that
/// breaks the rules, or holds a lease for longer than the limit, is disconnected.
class Server {
 public:
  /// Listens at host:port; port 0 takes a free one. hello is what clients get first.
  Server(Pool& pool, const std::string& host, uint16_t port, std::string hello, std::chrono::milliseconds lease_limit);
  /// Ends all leases.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  uint16_t port() const { return port_; }
  uint64_t leases() const { return leases_.load(std::memory_order_relaxed); }
  uint64_t connections() const { return connections_.load(std::memory_order_relaxed); }

 private:
  struct Client;
  void Run();
  void Accept();
  bool Read(Client& c);
  bool Serve(Client& c);
  bool Flush(Client& c);
  void Hold(Client& c, Lease lease);

  Pool& pool_;
  const std::string hello_;
  const std::chrono::milliseconds lease_limit_;
  int listener_ = -1, stop_ = -1;
  uint16_t port_ = 0;
  std::atomic<uint64_t> leases_{0}, connections_{0};
  std::vector<std::unique_ptr<Client>> clients_;  // of the thread
  std::thread thread_;
};

/// Splits "host:port" or "[address]:port". Throws sixcall::Error that names the key.
void SplitAddress(const std::string& key, const std::string& text, std::string* host, std::string* port);

}  // namespace nixl_peer

#endif  // SIXCALL_NIXL_PEER_SERVER_H
