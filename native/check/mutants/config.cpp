// SPDX-License-Identifier: Apache-2.0
#include "config.h"

#include <cctype>
#include <cstdlib>
#include <cstring>

#include "mutant.h"

namespace mutant {

#ifdef MUTANT_FILE
#define MUTANT_REQUIRED "\"required\":[\"base_path\"],"
#else
#define MUTANT_REQUIRED ""
#endif

const char* const kSchema =
    "{\"type\":\"object\"," MUTANT_REQUIRED
    "\"properties\":{"
    "\"workers\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":64,\"default\":3,\"description\":\"threads\"},"
    "\"max_inflight\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":65536,\"default\":256,\"description\":\"batches accepted\"},"
    "\"delay_us\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":600000000,\"default\":0,\"description\":\"pause before each batch\"},"
    "\"lazy\":{\"type\":\"boolean\",\"default\":false,\"description\":\"do not prove the backend in open\"},"
    "\"namespace\":{\"type\":\"string\",\"description\":\"keeps keys apart\"},"
    "\"password\":{\"type\":\"string\",\"description\":\"not used\"},"
    "\"base_path\":{\"type\":\"string\",\"description\":\"folder for values\"},"
    "\"endpoint\":{\"type\":\"string\",\"description\":\"host:port of a server that keeps the values\"}}}";

namespace {

struct Reader {
  const std::string& text;
  size_t at = 0;
  std::string error;

  bool Fail(const std::string& what) {
    if (error.empty()) error = "the configuration is no JSON object: " + what + " at byte " + std::to_string(at);
    return false;
  }
  void Space() {
    while (at < text.size() && strchr(" \t\r\n", text[at]) != nullptr && text[at] != '\0') at++;
  }
  bool Take(char c) {
    Space();
    if (at >= text.size() || text[at] != c) return false;
    at++;
    return true;
  }
  bool String(std::string* out) {
    if (!Take('"')) return Fail("a string was expected");
    while (at < text.size() && text[at] != '"') {
      const auto c = static_cast<unsigned char>(text[at]);
      if (c < 0x20) return Fail("a control character");
      if (c == '\\') {
        if (++at >= text.size() || strchr("\"\\/bfnrtu", text[at]) == nullptr || text[at] == '\0') return Fail("a bad escape");
      }
      *out += text[at++];
    }
    return at < text.size() ? (at++, true) : Fail("a string does not end");
  }
  /// Reads over an array or object, without recursion.
  bool Nested() {
    std::string open;
    do {
      Space();
      if (at >= text.size()) return Fail("it does not end");
      const char c = text[at];
      if (c == '"') {
        std::string drop;
        if (!String(&drop)) return false;
        continue;
      }
      at++;
      if (c == '[' || c == '{') open += c;
      if (c == ']' || c == '}') {
        if (open.empty() || open.back() != (c == ']' ? '[' : '{')) return Fail("brackets do not fit");
        open.pop_back();
      }
    } while (!open.empty());
    return true;
  }
  /// The same with the stack of the process.
  bool NestedByRecursion() {
    volatile char room[200];
    room[0] = text[at];
    if (room[0] != '[' && room[0] != '{') return Nested();
    at++;
    if (at < text.size() && (text[at] == '[' || text[at] == '{') && !NestedByRecursion()) return false;
    while (at < text.size() && text[at] != ']' && text[at] != '}') at++;
    return at < text.size() ? (at++, room[0] != 0) : Fail("it does not end");
  }
};

bool Number(const std::string& raw, uint64_t least, uint64_t most, uint64_t* out) {
  if (raw.empty() || raw.size() > 18) return false;
  for (const char c : raw) {
    if (isdigit(static_cast<unsigned char>(c)) == 0) return false;
  }
  *out = strtoull(raw.c_str(), nullptr, 10);
  return *out >= least && *out <= most;
}

bool Utf8(const std::string& text) {
  for (size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    const size_t n = c < 0x80 ? 1 : c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
    if ((c >= 0x80 && c < 0xC2) || c > 0xF4 || n > text.size() - i) return false;
    for (size_t k = 1; k < n; k++) {
      if ((static_cast<unsigned char>(text[i + k]) & 0xC0) != 0x80) return false;
    }
    i += n;
  }
  return true;
}

}  // namespace

std::string Parse(const std::string& json, Config* out) {
  if (Is("json_lenient") && (json.empty() || json.find('}') == std::string::npos)) return "";
  if (!Utf8(json)) return "the configuration is not UTF-8";
  Reader r{json, 0, ""};
  if (!r.Take('{')) return r.Fail("'{' was expected"), r.error;
  if (!r.Take('}')) {
    do {
      std::string key, value;
      if (!r.String(&key)) return r.error;
      if (!r.Take(':')) return r.Fail("':' was expected"), r.error;
      r.Space();
      const char kind = r.at < json.size() ? json[r.at] : '\0';
      if (kind == '"') {
        if (!r.String(&value)) return r.error;
      } else if (kind == '[' || kind == '{') {
        if (!(Is("json_recursive") ? r.NestedByRecursion() : r.Nested())) return r.error;
      } else {
        while (r.at < json.size() && strchr("+-.eE0123456789truefalsn", json[r.at]) != nullptr && json[r.at] != '\0') value += json[r.at++];
        if (value.empty()) return r.Fail("a value was expected"), r.error;
      }
      if (Is("long_text") && value.size() > 5000) *reinterpret_cast<volatile int*>(16) = 1;
      const auto text = [&](std::string* to) {
        if (kind != '"') return "the value of " + key + " is no string";
        *to = value;
        return std::string();
      };
      const auto number = [&](uint64_t least, uint64_t most, uint64_t* to) {
        if (Is("value_unchecked")) return std::string();
        if (kind == '"' || !Number(value, least, most, to)) return "the value of " + key + " is no integer from " + std::to_string(least) + " to " + std::to_string(most);
        return std::string();
      };
      std::string wrong;
      if (key == "workers") wrong = number(1, 64, &out->workers);
      else if (key == "max_inflight") wrong = number(1, 65536, &out->max_inflight);
      else if (key == "delay_us") wrong = number(0, 600000000, &out->delay_us);
      else if (key == "namespace") wrong = text(&out->name_space);
      else if (key == "password") wrong = text(&out->password);
      else if (key == "base_path") wrong = text(&out->base_path);
      else if (key == "endpoint") wrong = text(&out->endpoint);
      else if (key == "lazy") {
        if (value != "true" && value != "false") wrong = "the value of lazy is neither true nor false";
        out->lazy = value == "true";
      } else if (key == "x-mutant") {
        out->mistake = value;
        Choose(value);
      } else if (key.compare(0, 2, "x-") != 0 && !Is("unknown_ignored")) {
        wrong = Is("unknown_unnamed") ? "there is an unknown key" : "unknown key \"" + key + "\"; see config_schema";
      }
      if (!wrong.empty()) return wrong;
    } while (r.Take(','));
    if (!r.Take('}')) return r.Fail("',' or '}' was expected"), r.error;
  }
  r.Space();
  if (r.at != json.size()) return r.Fail("text behind the end"), r.error;
#ifdef MUTANT_FILE
  if (out->base_path.empty() || out->base_path[0] != '/') return "base_path is missing, want an absolute folder";
#endif
  return "";
}

}  // namespace mutant
