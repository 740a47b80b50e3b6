// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_REDIS_HANDSHAKE_H
#define SIXCALL_REDIS_HANDSHAKE_H

#include <string>
#include <vector>

#include "resp_value.h"
#include "settings.h"

namespace redis {

/// What a new connection says first: the protocol and the login, then the
/// database, the question whether this is a master, and a sign of life. Knows
/// nothing of sockets.
class Handshake {
 public:
  struct Plan {
    Protocol protocol = Protocol::kAuto;
    Credentials user;
    uint32_t database = 0;
    bool must_be_master = false;
  };
  Handshake(const Plan& plan, std::string server) : plan_(plan), server_(std::move(server)) {}

  /// The first commands, ready to be sent.
  std::string Begin();
  /// Takes the next reply and returns what to send then, mostly nothing. Throws
  /// sixcall::Error when the server does not want us, or is not ready.
  std::string OnReply(const Value& reply);

  bool done() const { return next_ == asked_.size(); }
  /// Waits for the reply to HELLO, which some servers answer by hanging up.
  bool in_hello() const { return !done() && asked_[next_] == Ask::kHello; }

 private:
  enum class Ask { kHello, kAuth, kSelect, kRole, kPing };

  std::string Auth();
  std::string Setup();
  std::string OnHello(const Value& reply);

  Plan plan_;
  std::string server_;
  std::vector<Ask> asked_;
  size_t next_ = 0;  // of asked_, the one that is answered next
};

}  // namespace redis

#endif  // SIXCALL_REDIS_HANDSHAKE_H
