// SPDX-License-Identifier: Apache-2.0
#include "name.h"

#include <array>
#include <cstring>

namespace fs {

namespace {

constexpr std::string_view kExtension = ".data";
constexpr std::string_view kSlash = "-SEP-";
// No escaped text begins like these: there, '%' is followed by 2 or 0.
constexpr std::string_view kOther = "%key-";
constexpr std::string_view kLong = "%long-";

/// Writes a name and notices when it gets too long.
class Writer {
 public:
  Writer(FileName* name, uint32_t limit) : name_(name), limit_(limit) { name->size = 0; }
  void Add(char c) {
    if (name_->size < limit_) name_->text[name_->size] = c;
    name_->size++;  // counts on, so that the end knows
  }
  void Add(std::string_view text) {
    if (name_->size + text.size() <= limit_) std::memcpy(name_->text + name_->size, text.data(), text.size());
    name_->size += static_cast<uint32_t>(text.size());
  }
  void AddEscaped(unsigned char c) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    Add('%');
    Add(kDigits[c >> 4]);
    Add(kDigits[c & 15]);
  }
  /// Adds the extension; false = the name is too long.
  bool Finish() {
    Add(kExtension);
    if (name_->size > limit_) return false;
    name_->text[name_->size] = 0;
    return true;
  }

 private:
  FileName* name_;
  uint32_t limit_;
};

bool IsLowerHex(std::string_view text) {
  for (const char c : text) {
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
  }
  return true;
}

/// A key of LMCache, as views into its text.
struct L2Key {
  std::string_view model, rank, group, hash, salt;
  bool negative = false;  // rank: without its sign
};

/// What %08x of a 64-bit integer gives; the width counts the sign.
bool IsRank(std::string_view text, bool negative) {
  const size_t width = negative ? 7 : 8;
  if (text.size() < width || text.size() > 16 || !IsLowerHex(text)) return false;
  if (text.size() > width && text[0] == '0') return false;
  return !negative || text.find_first_not_of('0') != std::string_view::npos;
}

bool IsGroup(std::string_view text) {
  return !text.empty() && text.size() <= 16 && IsLowerHex(text) && (text[0] != '0' || text.size() == 1);
}

/// Splits model@rank@group@hash[@salt]; false for any text that LMCache does not write.
bool ParseL2(std::string_view text, L2Key* key) {
  std::array<std::string_view, 5> fields;
  size_t n = 0;
  for (;;) {
    if (n == fields.size()) return false;
    const size_t at = text.find('@');
    fields[n++] = text.substr(0, at);
    if (at == std::string_view::npos) break;
    text.remove_prefix(at + 1);
  }
  if (n < 4) return false;
  key->model = fields[0];
  key->rank = fields[1];
  key->negative = !key->rank.empty() && key->rank[0] == '-';
  if (key->negative) key->rank.remove_prefix(1);
  key->group = fields[2];
  key->hash = fields[3];
  key->salt = fields[4];
  if (n == 5 && (key->salt.empty() || key->salt.find_first_of(std::string_view("/\\\0", 3)) != std::string_view::npos)) return false;
  return IsRank(key->rank, key->negative) && IsGroup(key->group) && key->hash.size() % 2 == 0 && IsLowerHex(key->hash);
}

/// Whether writing '/' as -SEP- can be undone: no -SEP- appears that was not a
/// '/'. The one at the end of "-SEP/" would end in the first '-' of the slash.
bool IsPlain(std::string_view text) {
  if (text.find_first_of(std::string_view("%\0", 2)) != std::string_view::npos) return false;
  return text.find("-SEP-") == std::string_view::npos && text.find("-SEP/") == std::string_view::npos;
}

void AddText(Writer& out, std::string_view text) {
  const bool plain = IsPlain(text);
  for (const char c : text) {
    if (c == '/') {
      out.Add(kSlash);
    } else if (!plain && (c == '-' || c == '%' || c == '\0')) {
      out.AddEscaped(static_cast<unsigned char>(c));
    } else {
      out.Add(c);
    }
  }
}

constexpr std::string_view kEscapes[] = {"%2D", "%25", std::string_view("%00")};

bool HasEscape(std::string_view text) {
  for (const std::string_view escape : kEscapes) {
    if (text.find(escape) != std::string_view::npos) return true;
  }
  return false;
}

bool StartsWith(std::string_view text, std::string_view prefix) { return text.substr(0, prefix.size()) == prefix; }

/// Whether LMCache's remote connector gives the key a name of its own: '/' as -SEP-,
/// and all else, '%' of a tag too, as it is. What could be taken for an escape could not
/// be told from one.
bool IsRemotePlain(std::string_view text) {
  return text.find('\0') == std::string_view::npos && text.find("-SEP-") == std::string_view::npos &&
         text.find("-SEP/") == std::string_view::npos && !HasEscape(text) && !StartsWith(text, kOther) && !StartsWith(text, kLong);
}

void AddRemote(Writer& out, std::string_view key) {
  if (!IsRemotePlain(key)) return AddText(out, key);
  for (const char c : key) {
    if (c == '/') {
      out.Add(kSlash);
    } else {
      out.Add(c);
    }
  }
}

bool NameL2(const L2Key& key, Layout layout, Writer& out) {
  AddText(out, key.model);
  out.Add(!key.negative ? "@0x" : layout == Layout::kFs ? "@-0x" : "@0x-");
  out.Add(key.rank);
  out.Add('@');
  out.Add(key.group);
  out.Add('@');
  out.Add(key.hash);
  if (!key.salt.empty()) {
    out.Add('@');
    out.Add(key.salt);
  }
  return out.Finish();
}

bool NameOther(std::string_view key, Writer& out) {
  out.Add(kOther);
  for (const char c : key) {
    const bool safe = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    if (safe) {
      out.Add(c);
    } else {
      out.AddEscaped(static_cast<unsigned char>(c));
    }
  }
  return out.Finish();
}

void NameLong(std::string_view key, FileName* name) {
  __extension__ using Wide = unsigned __int128;
  const Wide prime = (Wide{1} << 88) + 0x13B;
  Wide hash = Wide{0x6C62272E07BB0142} << 64 | 0x62B821756295C58D;
  for (const char c : key) hash = (hash ^ static_cast<unsigned char>(c)) * prime;
  Writer out(name, 255);
  out.Add(kLong);
  for (int shift = 124; shift >= 0; shift -= 4) out.Add("0123456789abcdef"[static_cast<unsigned>(hash >> shift) & 15]);
  out.Finish();
  name->long_key = true;
}

int HexDigit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

/// Undoes %XX and, if asked, -SEP-. False for a '%' that is not an escape.
bool Unescape(std::string_view text, bool slashes, std::string* out) {
  while (!text.empty()) {
    size_t used = 1;
    char c = text[0];
    if (c == '%') {
      const int high = text.size() > 2 ? HexDigit(text[1]) : -1, low = text.size() > 2 ? HexDigit(text[2]) : -1;
      if (high < 0 || low < 0) return false;
      c = static_cast<char>(high << 4 | low);
      used = 3;
    } else if (slashes && text.substr(0, kSlash.size()) == kSlash) {
      c = '/';
      used = kSlash.size();
    }
    *out += c;
    text.remove_prefix(used);
  }
  return true;
}

/// Undoes -SEP- alone, as in a name that has no escape.
void UnescapeSlashes(std::string_view text, std::string* out) {
  while (!text.empty()) {
    const bool slash = StartsWith(text, kSlash);
    *out += slash ? '/' : text[0];
    text.remove_prefix(slash ? kSlash.size() : 1);
  }
}

}  // namespace

uint64_t Hash(std::string_view bytes) {
  uint64_t hash = 0xCBF29CE484222325;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  return hash;
}

FileName Names::Of(std::string_view key) const {
  FileName name;
  Writer out(&name, limit_);
  bool fits;
  L2Key parts;
  if (layout_ == Layout::kRemote) {
    AddRemote(out, key);
    fits = out.Finish();
  } else if (ParseL2(key, &parts)) {
    fits = NameL2(parts, layout_, out);
  } else {
    fits = NameOther(key, out);
  }
  if (!fits) NameLong(key, &name);
  return name;
}

Names::Kind Names::Parse(std::string_view name, std::string* key) const {
  key->clear();
  if (name.size() <= kExtension.size() || name.substr(name.size() - kExtension.size()) != kExtension) return Kind::kForeign;
  std::string_view stem = name.substr(0, name.size() - kExtension.size());
  if (StartsWith(stem, kLong)) {
    stem.remove_prefix(kLong.size());
    return stem.size() == 32 && IsLowerHex(stem) ? Kind::kLong : Kind::kForeign;
  }
  bool ok;
  if (layout_ == Layout::kRemote && !HasEscape(stem)) {
    UnescapeSlashes(stem, key);
    ok = true;
  } else if (layout_ == Layout::kRemote) {
    ok = Unescape(stem, true, key);
  } else if (StartsWith(stem, kOther)) {
    ok = Unescape(stem.substr(kOther.size()), false, key);
  } else {
    const size_t model = stem.find('@');
    if (model == std::string_view::npos || !Unescape(stem.substr(0, model), true, key)) return Kind::kForeign;
    stem.remove_prefix(model + 1);
    const bool negative = StartsWith(stem, "-0x");  // kFsNative has the sign behind, where the key has it
    ok = negative || StartsWith(stem, "0x");
    stem.remove_prefix(ok ? (negative ? 3 : 2) : 0);
    *key += negative ? "@-" : "@";
    *key += stem;
  }
  // The one test that counts: a key and its name lead to each other.
  return ok && !key->empty() && Of(*key).view() == name ? Kind::kKey : Kind::kForeign;
}

}  // namespace fs
