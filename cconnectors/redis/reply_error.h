// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_REDIS_REPLY_ERROR_H
#define SIXCALL_REDIS_REPLY_ERROR_H

#include <string>
#include <string_view>

#include "address.h"
#include "sixcall/connector.hpp"

namespace redis {

/// What an error reply asks for.
enum class Reaction {
  kFail,       // this key failed; the connection is fine
  kWrongType,  // the key holds something that is no value of ours
  kMoved,      // another node serves the slot
  kAsk,        // another node has this key already
  kTryAgain,   // the same request may work at once
  kRefresh,    // the key failed, and our picture of the servers is old
  kLogin,      // the key failed, and so will all until a new login
};

struct ReplyError {
  Reaction reaction;
  int slot = -1;         // of kMoved and kAsk
  std::string_view where;  // of kMoved and kAsk, "host:port"
};

/// Reads the text of an error reply, without its '-'.
ReplyError ReadReplyError(std::string_view text);

/// The error that a host sees for it. server names who said it.
sixcall::Error ToError(std::string_view text, const std::string& server);

}  // namespace redis

#endif  // SIXCALL_REDIS_REPLY_ERROR_H
