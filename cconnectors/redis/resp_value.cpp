// SPDX-License-Identifier: Apache-2.0
#include "resp_value.h"

namespace redis {

void ValueBuilder::Count(size_t values, size_t bytes) {
  values_ += values;
  bytes_ += bytes;
  if (values_ > kMaxValues || bytes_ > kMaxBytes) throw ProtocolError("a reply that is too large");
}

bool ValueBuilder::Feed(Reader& reader) {
  for (;;) {
    const Token token = reader.Next();
    if (token == Token::kMore) return false;
    if (token != Token::kBulkEnd) {
      // The items of a list never move while one of them is open: room is made
      // for all of them first.
      Value& v = open_.empty() ? root_ : open_.back().value->items.emplace_back();
      v.type = reader.type();
      v.number = reader.number();
      switch (token) {
        case Token::kNull:
          v.type = '_';
          break;
        case Token::kScalar:
          Count(0, reader.text().size());
          v.text = std::string(reader.text());
          break;
        case Token::kBulk:
          if (reader.number() > static_cast<int64_t>(kMaxBytes)) throw ProtocolError("a string of " + std::to_string(reader.number()) + " bytes");
          Count(0, static_cast<size_t>(reader.number()));
          v.text.resize(static_cast<size_t>(reader.number()));
          reader.Into(reinterpret_cast<uint8_t*>(v.text.data()));
          bulk_ = &v;
          continue;
        default:
          if (open_.size() >= kMaxDepth) throw ProtocolError("a reply nested deeper than " + std::to_string(kMaxDepth));
          Count(static_cast<size_t>(reader.number()), 0);  // before room is made for them
          if (reader.number() == 0) break;
          v.items.reserve(static_cast<size_t>(reader.number()));
          open_.push_back({&v, static_cast<uint64_t>(reader.number())});
          continue;
      }
    } else if (bulk_->type == '=' && bulk_->text.size() >= 4) {
      bulk_->text.erase(0, 4);  // "txt:"
    }
    while (!open_.empty() && --open_.back().left == 0) open_.pop_back();
    if (open_.empty()) return true;
  }
}

Value ValueBuilder::Take() {
  Value out = std::move(root_);
  root_ = Value();
  open_.clear();
  bulk_ = nullptr;
  values_ = bytes_ = 0;
  return out;
}

void AppendCommand(std::string& out, const std::vector<std::string_view>& args) {
  out += "*" + std::to_string(args.size()) + "\r\n";
  for (const std::string_view arg : args) {
    out += "$" + std::to_string(arg.size()) + "\r\n";
    out += arg;
    out += "\r\n";
  }
}

}  // namespace redis
