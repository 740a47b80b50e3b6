// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_REDIS_RESP_VALUE_H
#define SIXCALL_REDIS_RESP_VALUE_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "resp_reader.h"

namespace redis {

/// A whole reply, for commands that are not about values: greetings, slot maps,
/// listings. A map is a list of keys and values in turn.
struct Value {
  char type = '_';
  int64_t number = 0;
  std::string text;
  std::vector<Value> items;

  bool is_error() const { return type == '-' || type == '!'; }
  bool is_list() const { return type == '*' || type == '~' || type == '%'; }
  bool is_text() const { return type == '+' || type == '$' || type == '='; }
};

/// Builds values out of tokens. A reply that is too deep or too large is a
/// ProtocolError: what is asked for here is small.
class ValueBuilder {
 public:
  static constexpr size_t kMaxDepth = 16;
  static constexpr size_t kMaxValues = 1 << 20;
  static constexpr size_t kMaxBytes = 64 << 20;

  /// Takes tokens until a reply is complete (true; then Take) or bytes are missing.
  bool Feed(Reader& reader);
  Value Take();

 private:
  void Count(size_t values, size_t bytes);

  Value root_;
  struct Open {
    Value* value;
    uint64_t left;  // items to come
  };
  std::vector<Open> open_;
  Value* bulk_ = nullptr;
  size_t values_ = 0, bytes_ = 0;
};

/// Appends a command.
void AppendCommand(std::string& out, const std::vector<std::string_view>& args);

}  // namespace redis

#endif  // SIXCALL_REDIS_RESP_VALUE_H
