// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_REDIS_CLIENT_H
#define SIXCALL_REDIS_CLIENT_H

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "handshake.h"
#include "resp_reader.h"
#include "resp_value.h"
#include "stream.h"
#include "topology.h"

namespace redis {

/// What can end a wait early.
class Waiter {
 public:
  virtual ~Waiter() = default;
  /// Becomes readable when Check has something to say.
  virtual int fd() const = 0;
  /// Throws sixcall::Error if the wait is to end, and makes fd silent. Called at
  /// least every 50 ms of a wait.
  virtual void Check() = 0;
};

/// A connection for commands that are not about values, which waits for each
/// answer. One thread. Every failure is a sixcall::Error, and the client is then
/// of no more use.
class Client {
 public:
  /// Connects and logs in before deadline_ns (CLOCK_MONOTONIC). tls may be NULL.
  Client(const Node& node, const Handshake::Plan& plan, const TlsContext* tls, Waiter& waiter, uint64_t deadline_ns);

  const Address& address() const { return address_; }

  /// Sends commands (as AppendCommand made them) and returns their n replies.
  /// An error reply is a reply.
  std::vector<Value> Call(std::string_view commands, size_t n, uint64_t deadline_ns);
  Value Call(const std::vector<std::string_view>& args, uint64_t deadline_ns);

  /// For a client that has subscribed: becomes readable when there are messages.
  int fd() const { return stream_->fd(); }
  /// The messages that are there. Does not wait.
  std::vector<Value> Messages();

 private:
  void Connect(const Node& node, const TlsContext* tls, uint64_t deadline_ns);
  void Wait(short events, uint64_t deadline_ns);
  void Send(std::string_view bytes, uint64_t deadline_ns);
  Value Receive(uint64_t deadline_ns);

  Address address_;
  const char* doing_ = "connect";
  Waiter& waiter_;
  std::unique_ptr<Stream> stream_;
  Reader reader_;
  ValueBuilder message_;
};

}  // namespace redis

#endif  // SIXCALL_REDIS_CLIENT_H
