// SPDX-License-Identifier: Apache-2.0
#include "reply_error.h"

#include <charconv>

namespace redis {
namespace {

std::string_view FirstWord(std::string_view text) { return text.substr(0, text.find(' ')); }

/// "MOVED 3999 10.0.0.7:6379"
bool ReadRedirect(std::string_view text, ReplyError* out) {
  text.remove_prefix(std::min(text.size(), FirstWord(text).size() + 1));
  const std::string_view slot = FirstWord(text);
  const auto [end, error] = std::from_chars(slot.data(), slot.data() + slot.size(), out->slot);
  if (error != std::errc() || end != slot.data() + slot.size() || out->slot < 0 || out->slot >= 16384) return false;
  text.remove_prefix(std::min(text.size(), slot.size() + 1));
  out->where = FirstWord(text);
  return !out->where.empty();
}

}  // namespace

ReplyError ReadReplyError(std::string_view text) {
  const std::string_view word = FirstWord(text);
  ReplyError e{Reaction::kFail, -1, {}};
  if (word == "MOVED" || word == "ASK") {
    if (ReadRedirect(text, &e)) e.reaction = word == "ASK" ? Reaction::kAsk : Reaction::kMoved;
  } else if (word == "WRONGTYPE") {
    e.reaction = Reaction::kWrongType;
  } else if (word == "TRYAGAIN") {
    e.reaction = Reaction::kTryAgain;
  } else if (word == "READONLY" || word == "CLUSTERDOWN" || word == "MASTERDOWN") {
    e.reaction = Reaction::kRefresh;
  } else if (word == "NOAUTH") {
    e.reaction = Reaction::kLogin;
  }
  return e;
}

sixcall::Error ToError(std::string_view text, const std::string& server) {
  const std::string_view word = FirstWord(text);
  int32_t code = SIXCALL_E_IO;
  std::string hint;
  if (word == "OOM") {
    code = SIXCALL_E_NOSPACE;
    hint = "; raise maxmemory or set a maxmemory-policy that evicts";
  } else if (word == "NOAUTH") {
    code = SIXCALL_E_AUTH;
    hint = "; set \"password\"";
  } else if (word == "WRONGPASS" || word == "NOPERM" || word == "DENIED") {
    code = SIXCALL_E_AUTH;
  } else if (word == "LOADING") {
    hint = "; it is asked again";
  } else if (word == "MOVED" || word == "ASK") {
    hint = "; a cluster wants \"cluster\": true";
  } else if (word == "READONLY") {
    hint = "; this is a replica";
  }
  return sixcall::Error(code, server + ": " + std::string(text.substr(0, 160)) + hint);
}

}  // namespace redis
