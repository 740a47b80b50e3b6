// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_NIXL_PEER_PEER_H
#define SIXCALL_NIXL_PEER_PEER_H

#include <chrono>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>

#include "wire.h"

namespace nixl_peer {

struct PeerLimits {
  std::chrono::milliseconds connect{500};
  std::chrono::milliseconds request{5000};
};

/// One connection to the server of a peer. For one thread. What fails throws
/// sixcall::Error and ends the connection; the next attempt comes after a pause of
/// 100 ms, doubling up to 10 s.
class Peer {
 public:
  Peer(std::string host, std::string port, PeerLimits limits) : host_(std::move(host)), port_(std::move(port)), limits_(limits) {}
  ~Peer() { Close(); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  bool connected() const { return fd_ >= 0; }
  /// Whether it is worth trying: connected, or the pause is over.
  bool Due() const { return connected() || std::chrono::steady_clock::now() >= retry_at_; }
  /// Connects and takes the hello.
  void Connect();
  void Failed() noexcept;  ///< ends the connection and begins a pause
  void Close() noexcept;

  Answer Ask(Op op, std::string_view key);
  void Release();

  const std::string& agent() const { return agent_; }        ///< of the hello
  const std::string& metadata() const { return metadata_; }  ///< of the hello
  std::string address() const { return host_ + ":" + port_; }

 private:
  void Send(const std::string& bytes);
  void Receive(char* to, size_t len);
  void Await(short events, std::chrono::steady_clock::time_point until);

  const std::string host_, port_;
  const PeerLimits limits_;
  int fd_ = -1;
  std::string agent_, metadata_;
  std::chrono::milliseconds pause_{100};
  std::chrono::steady_clock::time_point retry_at_{};
};

}  // namespace nixl_peer

#endif  // SIXCALL_NIXL_PEER_PEER_H
