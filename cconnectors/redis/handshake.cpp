// SPDX-License-Identifier: Apache-2.0
#include "handshake.h"

#include "reply_error.h"

namespace redis {
namespace {

bool StartsWith(const std::string& text, std::string_view word) { return text.compare(0, word.size(), word) == 0; }

}  // namespace

std::string Handshake::Begin() {
  std::string out;
  if (plan_.protocol == Protocol::kResp2) {
    out = Auth();
    return out += Setup();
  }
  asked_.push_back(Ask::kHello);
  if (plan_.user.password.empty()) {
    AppendCommand(out, {"HELLO", "3"});
  } else {
    AppendCommand(out, {"HELLO", "3", "AUTH", plan_.user.username.empty() ? "default" : plan_.user.username, plan_.user.password});
  }
  return out;
}

std::string Handshake::Auth() {
  std::string out;
  if (plan_.user.password.empty()) return out;
  asked_.push_back(Ask::kAuth);
  if (plan_.user.username.empty()) {
    AppendCommand(out, {"AUTH", plan_.user.password});
  } else {
    AppendCommand(out, {"AUTH", plan_.user.username, plan_.user.password});
  }
  return out;
}

std::string Handshake::Setup() {
  std::string out;
  if (plan_.database != 0) {
    asked_.push_back(Ask::kSelect);
    AppendCommand(out, {"SELECT", std::to_string(plan_.database)});
  }
  if (plan_.must_be_master) {
    asked_.push_back(Ask::kRole);
    AppendCommand(out, {"ROLE"});
  }
  asked_.push_back(Ask::kPing);
  AppendCommand(out, {"PING"});
  return out;
}

std::string Handshake::OnHello(const Value& reply) {
  if (!reply.is_error()) {
    if (!reply.is_list()) throw ProtocolError("HELLO is answered by '" + std::string(1, reply.type) + "'");
    return Setup();
  }
  const bool login = StartsWith(reply.text, "NOAUTH") || StartsWith(reply.text, "WRONGPASS");
  const bool unknown = StartsWith(reply.text, "ERR") || StartsWith(reply.text, "NOPROTO") || StartsWith(reply.text, "NOPERM");
  // A server that is full says so with ERR too, and would be asked in vain.
  if (!login && unknown && plan_.protocol == Protocol::kAuto && reply.text.find("max number of clients") == std::string::npos) {
    std::string out = Auth();
    return out += Setup();
  }
  throw ToError(reply.text, server_);
}

std::string Handshake::OnReply(const Value& reply) {
  const Ask asked = asked_[next_++];
  const auto fail = [&](const std::string& text) { throw sixcall::Error(SIXCALL_E_CONNECT, server_ + ": " + text); };
  switch (asked) {
    case Ask::kHello:
      return OnHello(reply);
    case Ask::kAuth:
      if (!reply.is_error()) break;
      // Servers before 6 have no users: an AUTH that fails is about the password.
      if (StartsWith(reply.text, "ERR invalid password") || StartsWith(reply.text, "ERR AUTH") || StartsWith(reply.text, "ERR Client sent AUTH")) {
        throw sixcall::Error(SIXCALL_E_AUTH, server_ + ": " + reply.text);
      }
      throw ToError(reply.text, server_);
    case Ask::kSelect:
      if (!reply.is_error()) break;
      if (StartsWith(reply.text, "ERR")) throw sixcall::Error(SIXCALL_E_CONFIG, server_ + ": database " + std::to_string(plan_.database) + ": " + reply.text);
      throw ToError(reply.text, server_);
    case Ask::kRole:
      if (reply.is_error()) throw ToError(reply.text, server_);
      if (!reply.is_list() || reply.items.empty() || !reply.items[0].is_text()) throw ProtocolError("ROLE is answered by '" + std::string(1, reply.type) + "'");
      if (reply.items[0].text != "master") fail("its role is " + reply.items[0].text + ", want master; a failover may be under way");
      break;
    case Ask::kPing:
      if (!reply.is_error() && reply.text != "PONG") throw ProtocolError("PING is answered by \"" + reply.text.substr(0, 40) + "\"");
      // Whoever may not PING is alive all the same.
      if (!reply.is_error() || StartsWith(reply.text, "NOPERM")) break;
      if (StartsWith(reply.text, "LOADING") || StartsWith(reply.text, "MASTERDOWN")) fail(reply.text);
      throw ToError(reply.text, server_);
  }
  return "";
}

}  // namespace redis
