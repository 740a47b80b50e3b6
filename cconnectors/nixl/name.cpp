// SPDX-License-Identifier: Apache-2.0
#include "name.h"

#include <array>

namespace nixl {

namespace {

constexpr size_t kMaxName = 255;  // NAME_MAX of Linux
constexpr size_t kPiece = 240;
constexpr std::string_view kEnd = ".data";
// No escaped model begins like these: there, '%' is followed by 2 or 0.
constexpr std::string_view kOther = "%key-";
constexpr std::string_view kPart = "%part-";

bool IsHex(std::string_view text) {
  bool ok = true;
  for (const char c : text) ok = ok && ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
  return ok;
}

/// What C's %08x gives for a 64-bit rank, without a sign.
bool IsRank(std::string_view text, bool negative) {
  const size_t width = negative ? 7 : 8;  // the sign counts
  if (text.size() < width || text.size() > 16 || !IsHex(text)) return false;
  if (text.size() > width && text[0] == '0') return false;
  return !negative || text.find_first_not_of('0') != std::string_view::npos;
}

void AppendEscaped(std::string& out, char c) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(c);
  out += '%';
  out += kDigits[byte >> 4];
  out += kDigits[byte & 15];
}

/// Whether -SEP- in the escaped text always means '/'. In "-SEP/" the '-' that
/// begins the escape would end an escape that is none.
bool CanBeUndone(std::string_view model) {
  return model.find_first_of(std::string_view("%\0", 2)) == std::string_view::npos && model.find("-SEP-") == std::string_view::npos &&
         model.find("-SEP/") == std::string_view::npos;
}

void AppendModel(std::string& out, std::string_view model) {
  const bool plain = CanBeUndone(model);
  for (const char c : model) {
    if (c == '/') {
      out += "-SEP-";
    } else if (!plain && (c == '-' || c == '%' || c == '\0')) {
      AppendEscaped(out, c);
    } else {
      out += c;
    }
  }
}

/// LMCache's name, or false for a key that LMCache does not write.
bool AppendOfLMCache(std::string& out, std::string_view key, std::string_view* hash) {
  std::array<std::string_view, 5> field;
  size_t n = 0;
  for (std::string_view rest = key;;) {
    if (n == field.size()) return false;
    const size_t at = rest.find('@');
    field[n++] = rest.substr(0, at);
    if (at == std::string_view::npos) break;
    rest.remove_prefix(at + 1);
  }
  if (n < 4) return false;
  std::string_view rank = field[1];
  const bool negative = !rank.empty() && rank[0] == '-';
  if (negative) rank.remove_prefix(1);
  const std::string_view group = field[2], salt = field[4];
  const bool group_ok = !group.empty() && group.size() <= 16 && IsHex(group) && (group[0] != '0' || group.size() == 1);
  const bool salt_ok = n == 4 || (!salt.empty() && salt.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos);
  if (!IsRank(rank, negative) || !group_ok || !salt_ok || field[3].size() % 2 != 0 || !IsHex(field[3])) return false;
  AppendModel(out, field[0]);
  out += negative ? "@-0x" : "@0x";
  out.append(rank).append("@").append(group).append("@").append(field[3]);
  if (n == 5) out.append("@").append(salt);
  out += kEnd;
  *hash = field[3];
  return true;
}

std::string Escape(std::string_view key) {
  std::string out;
  for (const char c : key) {
    const bool safe = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    if (safe) {
      out += c;
    } else {
      AppendEscaped(out, c);
    }
  }
  return out;
}

}  // namespace

Place PlaceOf(std::string_view key, bool shards) {
  Place place;
  place.path.reserve(160);
  std::string_view hash;
  if (AppendOfLMCache(place.path, key, &hash) && place.path.size() <= kMaxName) {
    if (shards && hash.size() >= 4) {
      const std::string folders = std::string(hash.substr(0, 2)) + "/" + std::string(hash.substr(2, 2)) + "/";
      place.path.insert(0, folders);
      place.folders = folders.size();
    }
    return place;
  }
  place.path.clear();
  std::string text = Escape(key);
  size_t from = 0;
  // The last piece has no folder mark, so no name is the beginning of another's path.
  while (text.size() - from > kPiece) {
    place.path.append(kPart).append(text, from, kPiece).append("/");
    from += kPiece;
  }
  place.folders = place.path.size();
  place.path.append(kOther).append(text, from, std::string::npos).append(kEnd);
  return place;
}

}  // namespace nixl
