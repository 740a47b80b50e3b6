// SPDX-License-Identifier: Apache-2.0
//
// A header-only C++17 helper for writing Sixcall connectors. The contract is in
// connector.h; this file turns it into two base classes, so that a connector is
// the code that talks to the backend and nothing else:
//
//   Connector<Session>   the backend's client blocks. Write get, set and exists
//                        for one key; queues, workers, tiling, the event fd,
//                        reconnects and shutdown are here.
//   AsyncConnector       the backend's client has its own completions (io_uring,
//                        RDMA, futures). Start a batch, report each key later.
//
// A whole connector:
//
//   struct Session {  // one per worker thread, made and used on that thread only
//     explicit Session(const sixcall::Config& config) : client(config.Require("endpoint")) {}
//     acme::Client client;
//   };
//
//   struct AcmeConnector final : sixcall::Connector<Session> {
//     sixcall::Result Get(Session& s, sixcall::Key key, sixcall::MutableBytes value) override;
//     sixcall::Status Set(Session& s, sixcall::Key key, sixcall::Bytes value) override;
//     sixcall::Result Exists(Session& s, sixcall::Key key) override;
//   };
//
//   SIXCALL_CONNECTOR(AcmeConnector, "acme", "1.2.0", "Acme",
//                     R"({"type":"object","required":["endpoint"],"properties":{)" SIXCALL_COMMON_PROPERTIES
//                     R"(,"endpoint":{"type":"string","description":"host:port"}}})",
//                     SIXCALL_CAP_READ_YOUR_WRITES);
//
// Errors are exceptions: throw sixcall::Error (or anything else) from any hook.
// None crosses the C boundary; each becomes a status byte, an rc and a text.
//
// Needs C++17, Linux and threads; includes nothing but connector.h and the
// standard libraries of C++ and POSIX.
#ifndef SIXCALL_CONNECTOR_HPP
#define SIXCALL_CONNECTOR_HPP

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <initializer_list>
#include <limits>
#include <locale>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "sixcall/connector.h"

namespace sixcall {

// ------------------------------------------------------------------ values

/// The outcome for one key; the values are the status bytes of the ABI.
enum class Status : uint8_t {
  kMiss = SIXCALL_STATUS_MISS,            ///< absent; not for Set
  kHit = SIXCALL_STATUS_HIT,              ///< filled, stored, present, removed
  kError = SIXCALL_STATUS_ERROR,          ///< the backend could not tell
  kSize = SIXCALL_STATUS_SIZE,            ///< Get: stored with another size
  kCancelled = SIXCALL_STATUS_CANCELLED,  ///< ended by cancel or close
  kTimeout = SIXCALL_STATUS_TIMEOUT,      ///< the deadline passed
  kRefused = SIXCALL_STATUS_REFUSED,      ///< quota, too large
  kCorrupt = SIXCALL_STATUS_CORRUPT,      ///< stored bytes failed a check
};

/// A status and, for Get and Exists, the stored length if it is known. A Status
/// converts to it, so `return Status::kMiss;` works.
struct Result {
  Result(Status s, uint64_t len = SIXCALL_LEN_UNKNOWN) : status(s), stored_len(len) {}
  Status status;
  uint64_t stored_len;  ///< bytes
};

/// Borrowed bytes: a pointer and a size. Never owns.
template <class T>
class Span {
 public:
  constexpr Span() = default;
  constexpr Span(T* data, size_t size) : data_(data), size_(size) {}
  constexpr T* data() const { return data_; }
  constexpr size_t size() const { return size_; }  ///< bytes
  constexpr bool empty() const { return size_ == 0; }
  constexpr T* begin() const { return data_; }
  constexpr T* end() const { return data_ + size_; }
  constexpr T& operator[](size_t i) const { return data_[i]; }
  constexpr Span subspan(size_t from, size_t n) const { return Span(data_ + from, n); }

 private:
  T* data_ = nullptr;
  size_t size_ = 0;
};
using Bytes = Span<const uint8_t>;
using MutableBytes = Span<uint8_t>;
/// A key: any bytes, not NUL-terminated.
using Key = std::string_view;

/// A failure with a code of the ABI. The text says cause, object, next step, in
/// one lower-case line without secrets. Making one of a literal and copying never
/// throw: without memory the text is "out of memory".
class Error : public std::exception {
 public:
  Error(int32_t code, std::string text, int32_t vendor_code = 0)
      : code_(code), vendor_code_(vendor_code), text_(std::move(text)) {}
  Error(int32_t code, const char* text, int32_t vendor_code = 0) noexcept : code_(code), vendor_code_(vendor_code) { Keep(text); }
  Error(const Error& e) noexcept : std::exception(e), code_(e.code_), vendor_code_(e.vendor_code_) { Keep(e.text_); }
  Error(Error&&) noexcept = default;
  Error& operator=(const Error& e) noexcept {
    if (this != &e) {
      code_ = e.code_;
      vendor_code_ = e.vendor_code_;
      Keep(e.text_);
    }
    return *this;
  }
  Error& operator=(Error&&) noexcept = default;
  int32_t code() const noexcept { return code_; }                ///< SIXCALL_E_
  int32_t vendor_code() const noexcept { return vendor_code_; }  ///< the backend's own number, or 0
  const std::string& text() const noexcept { return text_; }
  const char* what() const noexcept override { return text_.c_str(); }

  /// The status byte of keys that failed with this error.
  Status status() const noexcept {
    switch (code_) {
      case SIXCALL_E_TIMEOUT: return Status::kTimeout;
      case SIXCALL_E_CANCELLED:
      case SIXCALL_E_CLOSED: return Status::kCancelled;
      case SIXCALL_E_NOSPACE: return Status::kRefused;
      case SIXCALL_E_CORRUPT: return Status::kCorrupt;
      default: return Status::kError;
    }
  }

  /// Says that the connection is gone, not only one key: the helper ends the
  /// session and makes a new one, with back-off.
  bool ends_session() const noexcept {
    return code_ == SIXCALL_E_CONNECT || code_ == SIXCALL_E_AUTH || code_ == SIXCALL_E_CLOSED;
  }

  /// Turns the exception being handled into an Error. Call in a catch block.
  static Error Current(int32_t otherwise) noexcept {
    try {
      throw;
    } catch (const Error& e) {
      return e;
    } catch (const std::bad_alloc&) {
      return Error(SIXCALL_E_NOMEM, "out of memory");
    } catch (const std::system_error& e) {
      return Error(otherwise, e.what(), e.code().value());
    } catch (const std::logic_error& e) {
      return Error(SIXCALL_E_INTERNAL, e.what());
    } catch (const std::exception& e) {
      return Error(otherwise, e.what());
    } catch (...) {
      return Error(SIXCALL_E_INTERNAL, "an exception of an unknown type");
    }
  }

 private:
  template <class Text>
  void Keep(const Text& text) noexcept {
    try {
      text_ = text;
    } catch (...) {
      text_ = "out of memory";  // so short that it needs none
    }
  }

  int32_t code_;
  int32_t vendor_code_;
  std::string text_;
};

/// Nanoseconds of CLOCK_MONOTONIC.
inline uint64_t NowNs() noexcept {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1000000000u + static_cast<uint64_t>(t.tv_nsec);
}

namespace detail {

constexpr uint8_t kUnset = SIXCALL_STATUS_UNSET;
/// close() waits this much longer than its grace for cancelled work to notice.
constexpr auto kCancelWait = std::chrono::milliseconds(250);

/// Length of the UTF-8 sequence at p (n bytes left), or 0 if it is not valid.
inline size_t Utf8Length(const unsigned char* p, size_t n) noexcept {
  if (p[0] < 0x80) return 1;
  const size_t len = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
  if (p[0] < 0xC2 || p[0] > 0xF4 || len > n) return 0;
  for (size_t i = 1; i < len; i++) {
    if ((p[i] & 0xC0) != 0x80) return 0;
  }
  if (p[0] == 0xE0 && p[1] < 0xA0) return 0;  // longer than needed
  if (p[0] == 0xED && p[1] > 0x9F) return 0;  // a surrogate
  if (p[0] == 0xF0 && p[1] < 0x90) return 0;
  if (p[0] == 0xF4 && p[1] > 0x8F) return 0;  // above U+10FFFF
  return len;
}

/// Copies text to out as one line of valid UTF-8, at most cap bytes; returns the bytes used.
inline size_t CopyLine(char* out, size_t cap, std::string_view text) noexcept {
  size_t used = 0;
  for (size_t i = 0; i < text.size();) {
    const auto* p = reinterpret_cast<const unsigned char*>(text.data()) + i;
    const size_t len = Utf8Length(p, text.size() - i);
    if (used + std::max<size_t>(len, 1) > cap) break;
    if (len <= 1) {
      out[used++] = len == 0 ? '?' : (*p < 0x20 || *p == 0x7F) ? ' ' : static_cast<char>(*p);
    } else {
      std::memcpy(out + used, p, len);
      used += len;
    }
    i += std::max<size_t>(len, 1);
  }
  return used;
}

/// Fills a sixcall_err of any struct_size. err may be NULL.
inline void FillErr(sixcall_err* err, const Error& e) noexcept {
  constexpr size_t kHead = offsetof(sixcall_err, msg);
  if (err == nullptr || err->struct_size <= kHead) return;
  const size_t cap = std::min<size_t>(err->struct_size - kHead, sizeof(err->msg)) - 1;
  err->code = e.code();
  err->vendor_code = e.vendor_code();
  err->len = static_cast<uint32_t>(CopyLine(err->msg, cap, e.text()));
  err->msg[err->len] = 0;
}

/// Starts a thread named "sixcall:<name>" that takes no asynchronous signal and
/// leaves the synchronous ones to the host. The mask is set around the creation,
/// so that there is no moment in which the thread could steal a signal.
template <class F>
std::thread StartThread(const std::string& name, F&& body) {
  sigset_t block, before;
  sigfillset(&block);
  for (int s : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS}) sigdelset(&block, s);
  pthread_sigmask(SIG_SETMASK, &block, &before);
  struct Restore {
    sigset_t* mask;
    ~Restore() { pthread_sigmask(SIG_SETMASK, mask, nullptr); }
  } restore{&before};
  char label[16];  // nothing may throw once there is a thread
  std::snprintf(label, sizeof(label), "sixcall:%s", name.c_str());
  std::thread thread(std::forward<F>(body));
  pthread_setname_np(thread.native_handle(), label);
  return thread;
}

}  // namespace detail

/// For threads that a connector starts itself: StartThread(name, function) returns the std::thread.
using detail::StartThread;

// --------------------------------------------------------------------- log

/// The host's log. Safe for concurrent use. Not for hot paths, and never under a
/// lock that Submit needs: the host's function may be slow.
class Log {
 public:
  explicit Log(const sixcall_host* host = nullptr) : host_(host) {}
  Log(const Log&) = delete;

  bool Enabled(int32_t level) const noexcept {
    return host_ != nullptr && host_->log != nullptr && level <= host_->log_level && !muted_.load();
  }
  void Write(int32_t level, std::string_view text) const noexcept {
    if (!Enabled(level)) return;
    char line[1024];
    const size_t len = detail::CopyLine(line, sizeof(line), text);
    host_->log(host_->log_ctx, level, line, len);
  }
  /// Writes the parts with ": " between them. Makes no string of it, so that it works without memory.
  void Parts(int32_t level, std::initializer_list<std::string_view> parts) const noexcept {
    if (!Enabled(level)) return;
    char line[1024];
    size_t len = 0;
    for (const std::string_view part : parts) {
      if (len > 0 && sizeof(line) - len > 2) {
        line[len++] = ':';
        line[len++] = ' ';
      }
      len += detail::CopyLine(line + len, sizeof(line) - len, part);
    }
    host_->log(host_->log_ctx, level, line, len);
  }
  void Error(std::string_view text) const noexcept { Write(SIXCALL_LOG_ERROR, text); }
  void Warn(std::string_view text) const noexcept { Write(SIXCALL_LOG_WARN, text); }
  void Info(std::string_view text) const noexcept { Write(SIXCALL_LOG_INFO, text); }
  void Debug(std::string_view text) const noexcept { Write(SIXCALL_LOG_DEBUG, text); }

  /// Ends all output; from close on the host may be gone.
  void Mute() noexcept { muted_.store(true); }

 private:
  const sixcall_host* host_;
  std::atomic<bool> muted_{false};
};

// ------------------------------------------------------------------ config

namespace detail {

/// A JSON value. Numbers keep their text, so that no digit is lost.
struct Json {
  enum Type { kNull, kBool, kNumber, kString, kArray, kObject };
  Type type = kNull;
  bool boolean = false;
  std::string text;                // kNumber: as written; kString: decoded
  std::vector<std::string> names;  // kObject: names[i] belongs to items[i]
  std::vector<Json> items;

  const Json* Find(std::string_view name) const {
    for (size_t i = 0; i < names.size(); i++) {
      if (names[i] == name) return &items[i];
    }
    return nullptr;
  }
};

/// A strict JSON reader: UTF-8 only, no duplicate keys, no NUL, bounded depth and size.
class JsonReader {
 public:
  static constexpr size_t kMaxSize = 1 << 20;
  static constexpr int kMaxDepth = 32;

  static Json Read(std::string_view text) {
    if (text.size() > kMaxSize) throw Bad("is larger than 1 MiB");
    JsonReader r(text);
    for (size_t i = 0; i < text.size();) {
      const size_t len = Utf8Length(reinterpret_cast<const unsigned char*>(text.data()) + i, text.size() - i);
      r.at_ = i;
      if (len == 0) r.Fail("invalid UTF-8");
      i += len;
    }
    r.at_ = 0;
    Json value = r.Value(1);
    r.Space();
    if (r.at_ != text.size()) r.Fail("text after the end");
    return value;
  }
  static Error Bad(const std::string& text) { return Error(SIXCALL_E_CONFIG, "configuration " + text); }

 private:
  explicit JsonReader(std::string_view text) : text_(text) {}

  [[noreturn]] void Fail(const char* what) const {
    throw Bad("is not JSON: " + std::string(what) + " at byte " + std::to_string(at_));
  }
  char Peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool Take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    at_++;
    return true;
  }
  void Space() {
    while (at_ < text_.size() && (Peek() == ' ' || Peek() == '\t' || Peek() == '\n' || Peek() == '\r')) at_++;
  }
  bool Word(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  Json Value(int depth) {
    if (depth > kMaxDepth) Fail("nested deeper than 32");
    Space();
    Json v;
    switch (Peek()) {
      case '{': Object(v, depth); break;
      case '[': Array(v, depth); break;
      case '"':
        v.type = Json::kString;
        v.text = String();
        break;
      case 't':
      case 'f':
        v.type = Json::kBool;
        v.boolean = Peek() == 't';
        if (!Word(v.boolean ? "true" : "false")) Fail("unknown word");
        break;
      case 'n':
        if (!Word("null")) Fail("unknown word");
        break;
      default: Number(v);
    }
    return v;
  }

  void Object(Json& v, int depth) {
    v.type = Json::kObject;
    std::set<std::string> seen;
    at_++;
    Space();
    if (Take('}')) return;
    do {
      Space();
      if (Peek() != '"') Fail("a key was expected");
      v.names.push_back(String());
      if (!seen.insert(v.names.back()).second) throw Bad("has the key \"" + v.names.back() + "\" twice");
      Space();
      if (!Take(':')) Fail("':' was expected");
      v.items.push_back(Value(depth + 1));
      Space();
    } while (Take(','));
    if (!Take('}')) Fail("',' or '}' was expected");
  }

  void Array(Json& v, int depth) {
    v.type = Json::kArray;
    at_++;
    Space();
    if (Take(']')) return;
    do {
      v.items.push_back(Value(depth + 1));
      Space();
    } while (Take(','));
    if (!Take(']')) Fail("',' or ']' was expected");
  }

  void Digits() {
    if (Peek() < '0' || Peek() > '9') Fail("a value was expected");
    while (Peek() >= '0' && Peek() <= '9') at_++;
  }
  void Number(Json& v) {
    const size_t from = at_;
    Take('-');
    if (!Take('0')) Digits();
    if (Take('.')) Digits();
    if (Take('e') || Take('E')) {
      if (!Take('+')) Take('-');
      Digits();
    }
    v.type = Json::kNumber;
    v.text = std::string(text_.substr(from, at_ - from));
  }

  uint32_t Hex4() {
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
      const char c = Peek();
      const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
      if (digit < 0) Fail("four hexadecimal digits were expected");
      v = v * 16 + static_cast<uint32_t>(digit);
      at_++;
    }
    return v;
  }
  void Escape(std::string& out) {
    const char c = Peek();
    at_++;
    switch (c) {
      case '"': case '\\': case '/': out += c; return;
      case 'b': out += '\b'; return;
      case 'f': out += '\f'; return;
      case 'n': out += '\n'; return;
      case 'r': out += '\r'; return;
      case 't': out += '\t'; return;
      case 'u': break;
      default: Fail("unknown escape");
    }
    uint32_t u = Hex4();
    if (u >= 0xDC00 && u < 0xE000) Fail("half a surrogate pair");
    if (u >= 0xD800 && u < 0xDC00) {
      if (!Word("\\u")) Fail("half a surrogate pair");
      const uint32_t low = Hex4();
      if (low < 0xDC00 || low >= 0xE000) Fail("half a surrogate pair");
      u = 0x10000 + ((u - 0xD800) << 10) + (low - 0xDC00);
    }
    if (u == 0) Fail("NUL in a string");  // would cut the string in a C client
    if (u < 0x80) {
      out += static_cast<char>(u);
      return;
    }
    const int more = u < 0x800 ? 1 : u < 0x10000 ? 2 : 3;
    out += static_cast<char>((more == 1 ? 0xC0 : more == 2 ? 0xE0 : 0xF0) | (u >> (6 * more)));
    for (int i = more - 1; i >= 0; i--) out += static_cast<char>(0x80 | ((u >> (6 * i)) & 0x3F));
  }
  std::string String() {
    std::string out;
    at_++;
    while (!Take('"')) {
      if (at_ >= text_.size()) Fail("a string does not end");
      if (static_cast<unsigned char>(Peek()) < 0x20) Fail("a control character in a string");
      if (Take('\\')) {
        Escape(out);
      } else {
        out += text_[at_++];
      }
    }
    return out;
  }

  std::string_view text_;
  size_t at_ = 0;
};

inline size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); j++) row[j] = j;
  for (size_t i = 1; i <= a.size(); i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); j++) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace detail

/// The configuration of one connection: one JSON object. Every getter names the
/// key, its value and what would be accepted when it throws SIXCALL_E_CONFIG.
/// Safe for concurrent use.
class Config {
 public:
  explicit Config(std::string_view json) : root_(detail::JsonReader::Read(json)) {
    if (root_.type != detail::Json::kObject) throw detail::JsonReader::Bad("is not a JSON object such as {}");
  }

  bool Has(const std::string& name) const { return Find(name) != nullptr; }

  std::string GetString(const std::string& name, const std::string& otherwise = "") const {
    const auto* v = Find(name);
    if (v == nullptr) return otherwise;
    if (v->type != detail::Json::kString) throw Wrong(name, *v, "a string");
    return v->text;
  }

  /// A string that must be there and not be empty.
  std::string Require(const std::string& name) const {
    const std::string text = GetString(name);
    if (text.empty()) throw Error(SIXCALL_E_CONFIG, "config key \"" + name + "\" is missing, want a string");
    return text;
  }

  /// One of a few words.
  std::string GetChoice(const std::string& name, const std::string& otherwise, const std::vector<std::string>& choices) const {
    const auto* v = Find(name);
    if (v == nullptr) return otherwise;  // which need not be one of them
    const std::string text = GetString(name);
    std::string want;
    for (const auto& c : choices) {
      if (c == text) return text;
      want += (want.empty() ? "one of " : ", ") + c;
    }
    throw Wrong(name, *v, want);
  }

  int64_t GetInt(const std::string& name, int64_t otherwise, int64_t min = std::numeric_limits<int64_t>::min(),
                 int64_t max = std::numeric_limits<int64_t>::max()) const {
    return Integer<int64_t>(name, otherwise, min, max);
  }
  uint64_t GetUint(const std::string& name, uint64_t otherwise, uint64_t min = 0,
                   uint64_t max = std::numeric_limits<uint64_t>::max()) const {
    return Integer<uint64_t>(name, otherwise, min, max);
  }

  double GetDouble(const std::string& name, double otherwise, double min = std::numeric_limits<double>::lowest(),
                   double max = std::numeric_limits<double>::max()) const {
    const auto* v = Find(name);
    if (v == nullptr) return otherwise;
    double d = 0;
    if (v->type != detail::Json::kNumber || !Parse(v->text, &d) || d < min || d > max) {
      throw Wrong(name, *v, "a number" + Range(min, max));
    }
    return d;
  }

  bool GetBool(const std::string& name, bool otherwise) const {
    const auto* v = Find(name);
    if (v == nullptr) return otherwise;
    if (v->type != detail::Json::kBool) throw Wrong(name, *v, "true or false");
    return v->boolean;
  }

  /// An array of strings; empty if the key is absent.
  std::vector<std::string> GetStrings(const std::string& name) const {
    std::vector<std::string> out;
    const auto* v = Find(name);
    if (v == nullptr) return out;
    if (v->type != detail::Json::kArray) throw Wrong(name, *v, "an array of strings");
    for (const auto& item : v->items) {
      if (item.type != detail::Json::kString) throw Wrong(name, item, "an array of strings");
      out.push_back(item.text);
    }
    return out;
  }

  /// An object whose values are strings, numbers or booleans, as text; for
  /// parameters that are handed on to a client library.
  std::map<std::string, std::string> GetMap(const std::string& name) const {
    std::map<std::string, std::string> out;
    const auto* v = Find(name);
    if (v == nullptr) return out;
    if (v->type != detail::Json::kObject) throw Wrong(name, *v, "an object");
    for (size_t i = 0; i < v->items.size(); i++) {
      const auto& item = v->items[i];
      if (item.type == detail::Json::kBool) {
        out[v->names[i]] = item.boolean ? "true" : "false";
      } else if (item.type == detail::Json::kString || item.type == detail::Json::kNumber) {
        out[v->names[i]] = item.text;
      } else {
        throw Wrong(name + "." + v->names[i], item, "a string, a number or a boolean");
      }
    }
    return out;
  }

  /// Makes the properties of a JSON Schema known keys. NULL is allowed.
  void Declare(const char* schema) {
    if (schema == nullptr) return;
    const detail::Json json = detail::JsonReader::Read(schema);
    const auto* properties = json.Find("properties");
    if (properties != nullptr) known_.insert(properties->names.begin(), properties->names.end());
  }

  /// Throws for a key that no getter asked for and no schema declared, unless it
  /// begins with "x-". The helper calls it after Start.
  void CheckUnknown() const {
    std::lock_guard<std::mutex> lock(mu_);
    for (const auto& name : root_.names) {
      if (name.compare(0, 2, "x-") == 0 || known_.count(name) != 0) continue;
      std::string text = "unknown config key \"" + name.substr(0, 80) + "\"";
      const std::string* best = nullptr;
      size_t distance = std::numeric_limits<size_t>::max();
      for (const auto& k : known_) {
        const size_t d = name.size() > 256 ? 0 : detail::EditDistance(name, k);
        if (d < distance) distance = d, best = &k;
      }
      if (best != nullptr) text += "; the nearest known key is \"" + *best + "\"";
      throw Error(SIXCALL_E_CONFIG, text);
    }
  }

 private:
  const detail::Json* Find(const std::string& name) const {
    {
      std::lock_guard<std::mutex> lock(mu_);
      known_.insert(name);
    }
    return root_.Find(name);
  }

  static bool Parse(const std::string& text, double* out) {
    std::istringstream in(text);
    in.imbue(std::locale::classic());  // the host's locale may write 0,5
    in >> *out;
    return !in.fail();
  }

  template <class T>
  T Integer(const std::string& name, T otherwise, T min, T max) const {
    const auto* v = Find(name);
    if (v == nullptr) return otherwise;
    bool ok = v->type == detail::Json::kNumber;
    T n = 0;
    if (ok && v->text.find_first_of(".eE") != std::string::npos) {  // 1e3 is an integer too
      double d = 0;
      ok = Parse(v->text, &d) && d >= -9007199254740992.0 && d <= 9007199254740992.0 && !(std::is_unsigned<T>::value && d < 0);
      n = ok ? static_cast<T>(d) : 0;
      ok = ok && static_cast<double>(n) == d;
    } else if (ok) {
      std::istringstream in(v->text);
      in.imbue(std::locale::classic());
      in >> n;  // sets failbit on overflow
      ok = !in.fail() && !(std::is_unsigned<T>::value && v->text[0] == '-' && n != 0);
    }
    if (!ok || n < min || n > max) throw Wrong(name, *v, "an integer" + Range(min, max));
    return n;
  }

  template <class T>
  static std::string Range(T min, T max) {
    const bool low = std::is_unsigned<T>::value || min != std::numeric_limits<T>::lowest();
    const bool high = max != std::numeric_limits<T>::max();
    std::ostringstream out;
    out.imbue(std::locale::classic());
    out.precision(15);
    if (low && high) out << " from " << min << " to " << max;
    else if (low) out << ", at least " << min;
    else if (high) out << ", at most " << max;
    return out.str();
  }

  static Error Wrong(const std::string& name, const detail::Json& v, const std::string& want) {
    std::string shown;
    switch (v.type) {
      case detail::Json::kNull: shown = "null"; break;
      case detail::Json::kBool: shown = v.boolean ? "true" : "false"; break;
      case detail::Json::kNumber: shown = v.text.substr(0, 40); break;
      case detail::Json::kString: shown = "\"" + v.text.substr(0, 40) + "\""; break;
      case detail::Json::kArray: shown = "an array"; break;
      case detail::Json::kObject: shown = "an object"; break;
    }
    for (const char* word : {"pass", "secret", "token", "key", "cred", "auth"}) {
      if (name.find(word) != std::string::npos) shown = "of the wrong kind";  // never shows a secret
    }
    return Error(SIXCALL_E_CONFIG, "config key \"" + name + "\" is " + shown + ", want " + want);
  }

  detail::Json root_;
  mutable std::mutex mu_;
  mutable std::set<std::string> known_;  // guarded by mu_
};

// -------------------------------------------------------------------- base

/// What a connection accepts and how it is driven. A connector may change the
/// values in Start; the configuration then overrides the first four.
struct Options {
  uint32_t workers = 4;          ///< threads for get, set, delete, list (key "workers", 1..256)
  uint32_t lookup_workers = 1;   ///< threads for exists, ping (key "lookup_workers", 1..64)
  uint32_t max_inflight = 1024;  ///< tickets before AGAIN (key "max_inflight", 1..65536)
  bool lazy = false;             ///< open does not prove the backend (key "lazy")

  uint32_t max_batch = 65536;  ///< keys in a batch
  uint32_t max_key_len = 4096; ///< bytes
  uint64_t max_value_len = 0;  ///< bytes; 0 = no limit
  uint32_t buf_align = 1;      ///< required alignment of bufs, a power of two
  uint32_t best_batch = 0;     ///< keys per batch at which the backend is fastest; 0 = any

  /// A tile holds at least one of: so many keys, so many bytes. Waking another
  /// CPU costs about 20 us, so a tile should be several times that much work.
  uint32_t tile_keys = 16;
  uint64_t tile_bytes = 1 << 20;

  /// Pauses between attempts to make a session, doubled each time. The first
  /// attempt after a loss is immediate. Each pause is shortened by up to half.
  uint32_t backoff_first_ms = 50;
  uint32_t backoff_max_ms = 5000;
};

/// What open was told besides the configuration.
struct OpenInfo {
  std::string name;              ///< the connector's
  std::string instance;          ///< for logs, may be empty
  uint32_t max_inflight = 0;     ///< tickets the host will have in flight, 0 = unknown
  uint32_t max_batch = 0;        ///< keys, 0 = unknown
  uint64_t value_len_hint = 0;   ///< bytes, 0 = unknown
  uint32_t open_timeout_ms = 0;  ///< never 0: the default is filled in
};

/// One page of a listing; see sixcall_page.
class Page {
 public:
  explicit Page(sixcall_page* page) : page_(page), cursor_(reinterpret_cast<const char*>(page->cursor), page->cursor_len) {
    page_->n = 0;
    page_->used = 0;
    page_->flags = 0;
  }
  /// Where the page before ended; empty = from the start.
  const std::string& cursor() const { return cursor_; }
  /// Appends an entry. Returns false when it does not fit: then set the cursor so
  /// that the next page begins with this entry.
  bool Add(Key key, uint64_t value_len) {
    const uint64_t size = 16 + (key.size() + 7) / 8 * 8;
    if (size > page_->cap - page_->used) {
      full_ = true;
      return false;
    }
    uint8_t* p = page_->buf + page_->used;
    const uint32_t key_len = static_cast<uint32_t>(key.size());
    std::memset(p, 0, size);
    std::memcpy(p, &key_len, 4);
    std::memcpy(p + 8, &value_len, 8);
    std::memcpy(p + 16, key.data(), key.size());
    page_->used += size;
    page_->n++;
    return true;
  }
  /// Sets the position of the next page, at most 216 bytes.
  void SetCursor(std::string_view cursor) {
    if (cursor.size() > sizeof(page_->cursor)) throw Error(SIXCALL_E_INTERNAL, "list: a cursor of more than 216 bytes");
    std::memcpy(page_->cursor, cursor.data(), cursor.size());
    page_->cursor_len = static_cast<uint32_t>(cursor.size());
  }
  /// Says that nothing follows this page.
  void SetLast() { page_->flags |= SIXCALL_PAGE_LAST; }

  void CheckRoom() const {  // used by the helper
    if (full_ && page_->n == 0) throw Error(SIXCALL_E_NOSPACE, "list: the buffer does not hold one entry; bring a larger one");
  }

 private:
  sixcall_page* page_;
  std::string cursor_;  // a copy: SetCursor overwrites the host's
  bool full_ = false;
};

namespace detail {
template <class C>
struct Glue;

/// What is common to a batch of either base: a copy of the host's struct and the
/// tallies that become its completion.
struct Tally {
  sixcall_batch batch = {};
  sixcall_page* page = nullptr;
  uint32_t op = 0;
  uint64_t bytes = 0;
  std::atomic<uint32_t> hits{0}, misses{0};
  std::atomic<int32_t> rc{0};
  std::atomic<bool> has_error{false};

  void Reset(uint32_t new_op, const sixcall_batch& b, sixcall_page* p, uint64_t n_bytes) noexcept {
    batch = b;
    page = p;
    op = new_op;
    bytes = n_bytes;
    hits.store(0, std::memory_order_relaxed);
    misses.store(0, std::memory_order_relaxed);
    rc.store(0, std::memory_order_relaxed);
    has_error.store(false, std::memory_order_relaxed);
  }
  /// Keeps the first error's text; with whole_batch its code is the rc as well.
  void Fail(const Error& e, bool whole_batch) noexcept {
    if (!has_error.exchange(true)) FillErr(batch.err, e);
    int32_t none = 0;
    if (whole_batch) rc.compare_exchange_strong(none, e.code() < 0 ? e.code() : SIXCALL_E_INTERNAL);
  }
  const sixcall_item& Item(size_t i) const noexcept {
    return *reinterpret_cast<const sixcall_item*>(reinterpret_cast<const char*>(batch.items) + i * batch.item_stride);
  }
};

}  // namespace detail

/// What both base classes share: checks of submissions, the completion queue and
/// its event fd, limits, counters, registered memory.
class ConnectorBase {
 public:
  ConnectorBase() = default;
  ConnectorBase(const ConnectorBase&) = delete;
  virtual ~ConnectorBase() {
    if (event_fd_ >= 0) ::close(event_fd_);
  }

  // ---- hooks, all optional; overriding one that stands for a slot sets its cap.
  // Hooks must be public and not overloaded.

  /// Reads the configuration and makes what sessions share. Called once, in open,
  /// on the caller's thread and before any thread of the helper. Throws Error to
  /// refuse. Leave waiting for the backend to Connect, which open_timeout_ms bounds.
  virtual void Start(const Config& config) { (void)config; }
  /// Fills cached figures; SIXCALL_CAP_USAGE. No I/O. From any thread.
  virtual void Usage(sixcall_usage& out) { (void)out; }
  /// Prepares memory and returns its handle > 0; SIXCALL_CAP_REGISTER_MEMORY. May block. From any thread.
  virtual uint64_t RegisterMemory(const sixcall_memory& memory) {
    (void)memory;
    throw Error(SIXCALL_E_UNSUPPORTED, "register_memory: not implemented");
  }
  /// Undoes RegisterMemory; no batch uses the handle.
  virtual void UnregisterMemory(uint64_t handle) { (void)handle; }
  /// Appends the connector's own Prometheus lines. No I/O. From any thread.
  virtual void Stats(std::string& out) { (void)out; }
  /// Waits for what sessions have left behind, such as a connection that must not
  /// be closed yet. Called once by close, after the workers have ended; false: not until then, and
  /// close returns BUSY.
  virtual bool Settle(std::chrono::steady_clock::time_point until) {
    (void)until;
    return true;
  }

  const OpenInfo& info() const { return info_; }
  const Options& options() const { return options_; }
  const Log& log() const { return *log_; }
  const Config& config() const { return *config_; }

 protected:
  /// For Start: change limits and defaults here.
  Options& mutable_options() { return options_; }

  // ---- for the base classes below

  virtual void Launch() = 0;                                              // starts threads, proves the backend
  virtual void Enqueue(uint32_t op, const sixcall_batch&, sixcall_page*, uint64_t bytes) = 0;  // may throw
  virtual int32_t CancelTicket(uint64_t ticket) = 0;
  virtual bool Finish(std::chrono::steady_clock::time_point grace_end) = 0;  // false: something is stuck

  /// Publishes a completion; its batch must not be touched after that.
  void Publish(const detail::Tally& t) noexcept {
    const uint32_t hits = t.hits.load(std::memory_order_relaxed), misses = t.misses.load(std::memory_order_relaxed);
    sixcall_completion done = {};
    done.ticket = t.batch.ticket;
    done.rc = t.rc.load(std::memory_order_relaxed);
    done.op = t.op;
    done.n_ok = hits;
    done.done_ns = NowNs();
    const bool failed = done.rc < 0;
    bool first;
    if (t.batch.mem_handle != 0) LeaveMemory(t.batch.mem_handle);
    {
      std::lock_guard<std::mutex> lock(done_mu_);
      done_[(done_from_ + done_n_) & (done_.size() - 1)] = done;
      first = done_n_++ == 0;
      Counters& c = counters_[t.op];
      c.batches++;
      c.failed_batches += failed;
      c.hits += hits;
      c.misses += misses;
      c.failures += t.batch.n - hits - misses;
      c.bytes += t.bytes;
    }
    // Outside the lock: the write may run the host's poller at once on this CPU,
    // and it would only wait for the lock.
    if (first) Signal();
  }

  void BeginClose() noexcept { closing_.store(true, std::memory_order_release); }
  bool closing() const noexcept { return closing_.load(std::memory_order_acquire); }

 private:
  template <class C>
  friend struct detail::Glue;

  struct Counters {
    uint64_t batches, failed_batches, hits, misses, failures, bytes;
  };

  void Bind(const sixcall_host* host, const sixcall_open_args& args, const char* name, const char* schema) {
    log_ = std::make_unique<Log>(host);
    info_.name = name;
    if (args.instance != nullptr) info_.instance = args.instance;
    info_.max_inflight = args.max_inflight;
    info_.max_batch = args.max_batch;
    info_.value_len_hint = args.value_len_hint;
    info_.open_timeout_ms = args.open_timeout_ms != 0 ? args.open_timeout_ms : 10000;
    if (args.config_json == nullptr || args.config_len == 0) throw Error(SIXCALL_E_CONFIG, "configuration is empty, want a JSON object such as {}");
    if (args.config_len > detail::JsonReader::kMaxSize) throw Error(SIXCALL_E_CONFIG, "configuration is larger than 1 MiB");
    config_ = std::make_unique<Config>(std::string_view(args.config_json, args.config_len));
    config_->Declare(schema);
    Start(*config_);
    Options& o = options_;
    o.workers = static_cast<uint32_t>(config_->GetUint("workers", o.workers, 1, 256));
    o.lookup_workers = static_cast<uint32_t>(config_->GetUint("lookup_workers", o.lookup_workers, 1, 64));
    o.max_inflight = static_cast<uint32_t>(config_->GetUint("max_inflight", o.max_inflight, 1, 65536));
    o.lazy = config_->GetBool("lazy", o.lazy);
    config_->CheckUnknown();
    size_t size = 1;
    while (size < o.max_inflight) size *= 2;
    done_.resize(size);  // never more completions than tickets in flight
    event_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (event_fd_ < 0) throw Error(SIXCALL_E_IO, "eventfd: " + std::generic_category().message(errno), errno);
  }

  int32_t Submit(uint32_t op, const sixcall_batch* b, sixcall_page* page) noexcept {
    uint64_t bytes = 0;
    const int32_t bad = Check(op, b, page, &bytes);
    if (bad != SIXCALL_OK) return bad;
    if (inflight_.fetch_add(1, std::memory_order_relaxed) >= options_.max_inflight) {
      inflight_.fetch_sub(1, std::memory_order_relaxed);
      return SIXCALL_E_AGAIN;
    }
    bool entered = false;
    try {
      if (b->mem_handle != 0) EnterMemory(b->mem_handle), entered = true;
      Enqueue(op, *b, page, bytes);
      return SIXCALL_OK;
    } catch (...) {
      const Error e = Error::Current(SIXCALL_E_INTERNAL);
      if (entered) LeaveMemory(b->mem_handle);
      inflight_.fetch_sub(1, std::memory_order_relaxed);
      return e.code() < 0 ? e.code() : SIXCALL_E_INTERNAL;
    }
  }

  /// Everything for which a batch is refused. Nothing is written.
  int32_t Check(uint32_t op, const sixcall_batch* b, const sixcall_page* page, uint64_t* bytes) const noexcept {
    if (b == nullptr || b->struct_size < sizeof(sixcall_batch)) return SIXCALL_E_INVAL;
    if (closing()) return SIXCALL_E_CLOSED;
    if (op == SIXCALL_OP_PING) return b->n == 0 ? SIXCALL_OK : SIXCALL_E_INVAL;
    if (op == SIXCALL_OP_LIST) {
      const bool ok = b->n == 0 && page != nullptr && page->struct_size >= sizeof(sixcall_page) && page->buf != nullptr &&
                      reinterpret_cast<uintptr_t>(page->buf) % 8 == 0 && page->cursor_len <= sizeof(page->cursor);
      return ok ? SIXCALL_OK : SIXCALL_E_INVAL;
    }
    const Options& o = options_;
    if (b->n == 0 || b->n > o.max_batch || b->items == nullptr || b->status == nullptr) return SIXCALL_E_INVAL;
    if (b->item_stride < sizeof(sixcall_item) || b->item_stride % alignof(sixcall_item) != 0) return SIXCALL_E_INVAL;
    const bool has_bufs = op == SIXCALL_OP_GET || op == SIXCALL_OP_SET;
    const uint64_t max_len = o.max_value_len != 0 ? o.max_value_len : std::numeric_limits<uint64_t>::max();
    const auto* p = reinterpret_cast<const char*>(b->items);
    for (uint32_t i = 0; i < b->n; i++, p += b->item_stride) {
      const auto& item = *reinterpret_cast<const sixcall_item*>(p);
      if (item.key == nullptr || item.key_len - 1u >= o.max_key_len) return SIXCALL_E_INVAL;  // 0 wraps around
      if (!has_bufs || item.len == 0) continue;
      if (item.buf == nullptr || item.len > max_len) return SIXCALL_E_INVAL;
      if ((reinterpret_cast<uintptr_t>(item.buf) & (o.buf_align - 1u)) != 0) return SIXCALL_E_INVAL;
      *bytes += item.len;
    }
    return SIXCALL_OK;
  }

  int32_t Drain(sixcall_completion* out, uint32_t cap, uint32_t stride) noexcept {
    if (cap == 0) return 0;
    if (out == nullptr || stride < sizeof(sixcall_completion)) return SIXCALL_E_INVAL;
    // Clear first: a completion that is published from here on signals again.
    uint64_t count;
    while (::read(event_fd_, &count, sizeof(count)) < 0 && errno == EINTR) {
    }
    uint32_t n;
    bool more;
    {
      std::lock_guard<std::mutex> lock(done_mu_);
      n = std::min<uint32_t>({cap, done_n_, static_cast<uint32_t>(std::numeric_limits<int32_t>::max())});
      for (uint32_t i = 0; i < n; i++) {
        std::memcpy(reinterpret_cast<char*>(out) + size_t{i} * stride, &done_[(done_from_ + i) & (done_.size() - 1)], sizeof(*out));
      }
      done_from_ += n;
      done_n_ -= n;
      more = done_n_ != 0;
    }
    inflight_.fetch_sub(n, std::memory_order_relaxed);
    if (more) Signal();  // stays readable until the last record
    return static_cast<int32_t>(n);
  }

  void Signal() noexcept {
    const uint64_t one = 1;
    while (::write(event_fd_, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
  }

  int32_t GetLimits(sixcall_limits* out) const noexcept {
    if (out == nullptr || out->struct_size < sizeof(*out)) return SIXCALL_E_INVAL;
    out->max_batch = options_.max_batch;
    out->max_key_len = options_.max_key_len;
    out->buf_align = options_.buf_align;
    out->max_value_len = options_.max_value_len;
    out->best_batch = options_.best_batch;
    out->max_inflight = options_.max_inflight;
    return SIXCALL_OK;
  }

  int64_t StatsText(char* out, uint64_t cap) {
    static constexpr const char* kOps[] = {"", "get", "set", "exists", "delete", "ping", "list"};
    Counters c[7];
    {
      std::lock_guard<std::mutex> lock(done_mu_);
      std::copy(std::begin(counters_), std::end(counters_), std::begin(c));
    }
    std::string text;
    const auto family = [&](const char* name, const char* help, uint64_t Counters::*field) {
      text += std::string("# HELP sixcall_connector_") + name + " " + help + "\n# TYPE sixcall_connector_" + name + " counter\n";
      for (uint32_t op = 1; op < 7; op++) {
        text += std::string("sixcall_connector_") + name + "{op=\"" + kOps[op] + "\"} " + std::to_string(c[op].*field) + "\n";
      }
    };
    family("batches_total", "Batches completed.", &Counters::batches);
    family("batch_errors_total", "Batches completed with an rc below 0.", &Counters::failed_batches);
    family("hits_total", "Keys with status hit.", &Counters::hits);
    family("misses_total", "Keys with status miss.", &Counters::misses);
    family("failures_total", "Keys with any other status.", &Counters::failures);
    family("requested_bytes_total", "Bytes of the bufs of completed batches.", &Counters::bytes);
    text += "# HELP sixcall_connector_inflight Tickets accepted and not drained.\n# TYPE sixcall_connector_inflight gauge\n";
    text += "sixcall_connector_inflight " + std::to_string(inflight_.load()) + "\n";
    Stats(text);
    if (out != nullptr) std::memcpy(out, text.data(), std::min<uint64_t>(cap, text.size()));
    return static_cast<int64_t>(text.size());
  }

  // Registered memory: how many batches use each handle.
  void EnterMemory(uint64_t handle) {
    std::lock_guard<std::mutex> lock(memory_mu_);
    const auto it = memory_.find(handle);
    if (it == memory_.end()) throw Error(SIXCALL_E_INVAL, "mem_handle is not registered");
    it->second++;
  }
  void LeaveMemory(uint64_t handle) noexcept {
    std::lock_guard<std::mutex> lock(memory_mu_);
    const auto it = memory_.find(handle);
    if (it != memory_.end()) it->second--;
  }
  int32_t Register(const sixcall_memory* memory, uint64_t* out) {
    if (memory == nullptr || out == nullptr || memory->struct_size < sizeof(*memory) || memory->base == nullptr || memory->len == 0) {
      throw Error(SIXCALL_E_INVAL, "register_memory: no memory given");
    }
    const uint64_t handle = RegisterMemory(*memory);
    if (handle == 0) throw Error(SIXCALL_E_INTERNAL, "register_memory: the connector gave no handle");
    std::lock_guard<std::mutex> lock(memory_mu_);
    memory_[handle] = 0;
    *out = handle;
    return SIXCALL_OK;
  }
  int32_t Unregister(uint64_t handle) {
    {
      std::lock_guard<std::mutex> lock(memory_mu_);
      const auto it = memory_.find(handle);
      if (it == memory_.end()) return SIXCALL_E_INVAL;
      if (it->second != 0) return SIXCALL_E_BUSY;
      memory_.erase(it);
    }
    UnregisterMemory(handle);
    return SIXCALL_OK;
  }

  /// Returns 0 and drops the handle's reference, or BUSY and leaves what is stuck
  /// to whoever still holds a reference.
  int32_t Close(uint32_t grace_ms) {
    const std::shared_ptr<ConnectorBase> self = std::move(self_);
    BeginClose();
    const auto grace_end = std::chrono::steady_clock::now() + std::chrono::milliseconds(grace_ms);
    if (Finish(grace_end) && Settle(std::max(grace_end, std::chrono::steady_clock::now() + detail::kCancelWait))) return SIXCALL_OK;
    log_->Mute();
    return SIXCALL_E_BUSY;
  }

 protected:
  std::shared_ptr<ConnectorBase> Reference() const { return weak_.lock(); }

 private:
  std::shared_ptr<ConnectorBase> self_;  // the handle's reference; threads hold others
  std::weak_ptr<ConnectorBase> weak_;
  OpenInfo info_;
  Options options_;
  std::unique_ptr<Log> log_;
  std::unique_ptr<Config> config_;
  int event_fd_ = -1;
  std::atomic<bool> closing_{false};
  alignas(64) std::atomic<uint32_t> inflight_{0};  // accepted and not drained

  alignas(64) std::mutex done_mu_;  // guards the five below; nothing is called under it
  std::vector<sixcall_completion> done_;  // a ring, a power of two long
  uint32_t done_from_ = 0, done_n_ = 0;
  Counters counters_[7] = {};

  std::mutex memory_mu_;  // guards memory_
  std::map<uint64_t, uint64_t> memory_;
};

// ------------------------------------------------------------ synchronous

/// The part of a batch that one worker runs: a contiguous range of its keys.
/// Belongs to that worker's thread.
class Tile {
 public:
  size_t size() const { return n_; }
  uint32_t op() const { return t_->op; }
  Key key(size_t i) const {
    const sixcall_item& item = Item(i);
    return Key(reinterpret_cast<const char*>(item.key), item.key_len);
  }
  /// Where the value of a get goes. Its size is the exact size wanted.
  MutableBytes buffer(size_t i) const { return MutableBytes(static_cast<uint8_t*>(Item(i).buf), Item(i).len); }
  /// The value of a set.
  Bytes value(size_t i) const { return Bytes(static_cast<const uint8_t*>(Item(i).buf), Item(i).len); }
  uint64_t mem_handle() const { return t_->batch.mem_handle; }
  uint64_t deadline_ns() const { return t_->batch.deadline_ns; }
  /// The host or close asked to end this batch: leave the rest alone.
  bool cancelled() const { return cancelled_->load(std::memory_order_relaxed) || stop_->load(std::memory_order_relaxed); }

  /// Sets the outcome of a key. A key that has none when the hook returns counts
  /// as cancelled if the batch is, else as an error.
  void Done(size_t i, Result r) {
    t_->batch.status[from_ + i] = static_cast<uint8_t>(r.status);
    if (t_->batch.value_lens == nullptr) return;
    if (r.status == Status::kHit && t_->op == SIXCALL_OP_GET) r.stored_len = Item(i).len;
    t_->batch.value_lens[from_ + i] = r.stored_len;
  }
  /// Fails one key and keeps the text if it is the batch's first.
  void Fail(size_t i, const Error& e) {
    t_->Fail(e, false);
    Done(i, e.status());
  }
  bool is_done(size_t i) const { return t_->batch.status[from_ + i] != detail::kUnset; }

  /// Sleeps on this thread, for simulations and retries; false = cancelled.
  bool Sleep(std::chrono::nanoseconds time) const {
    const auto end = std::chrono::steady_clock::now() + time;
    while (!cancelled()) {
      const auto now = std::chrono::steady_clock::now();
      if (now >= end) return true;
      std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(end - now, std::chrono::milliseconds(5)));
    }
    return false;
  }

 private:
  template <class S>
  friend class Connector;
  Tile(detail::Tally* t, size_t from, size_t n, const std::atomic<bool>* cancelled, const std::atomic<bool>* stop)
      : t_(t), from_(from), n_(n), cancelled_(cancelled), stop_(stop) {}
  const sixcall_item& Item(size_t i) const { return t_->Item(from_ + i); }

  detail::Tally* t_;
  size_t from_, n_;
  const std::atomic<bool>* cancelled_;
  const std::atomic<bool>* stop_;
};

/// The base for a backend whose client blocks. Get, Set and Exists are required;
/// Erase, Ping, List and the tile hooks are optional. All of them run on worker
/// threads, in parallel, each thread with its own Session.
///
/// Exceptions: one from Get, Set, Exists or Erase fails that key and the next key
/// is tried, unless Error::ends_session() says that the connection is gone. One
/// that leaves a tile hook, Ping or List fails what has no status yet, gives the
/// batch its rc, and ends the session; the next work makes a new one.
template <class Session>
class Connector : public ConnectorBase {
 public:
  using HelperBase = Connector<Session>;

  /// Reads a value into buffer, whose size is the exact size wanted. kHit: filled.
  /// kMiss: absent, buffer untouched. kSize: stored with another size. Give the
  /// stored length if it is known.
  virtual Result Get(Session& session, Key key, MutableBytes buffer) = 0;
  /// Stores a value. kHit: stored whole; a Get at the same time sees the old or
  /// the new value, never a mixture.
  virtual Status Set(Session& session, Key key, Bytes value) = 0;
  /// kHit or kMiss, without moving the value.
  virtual Result Exists(Session& session, Key key) = 0;
  /// kHit: removed. kMiss: was not there. SIXCALL_CAP_DELETE.
  virtual Status Erase(Session& session, Key key) {
    (void)session, (void)key;
    return Status::kError;
  }
  /// Returns when the backend answered, throws when not. SIXCALL_CAP_PING.
  virtual void Ping(Session& session) { (void)session; }
  /// Fills one page. SIXCALL_CAP_LIST.
  virtual void List(Session& session, Page& page) { (void)session, (void)page; }

  /// Makes a session, on the thread that will use it; several at the same time.
  /// Throws when the backend cannot be reached. Override it if the session needs
  /// more than the configuration.
  virtual std::unique_ptr<Session> Connect(const Config& config) {
    if constexpr (std::is_constructible<Session, const Config&>::value) {
      return std::make_unique<Session>(config);
    } else if constexpr (std::is_default_constructible<Session>::value) {
      return std::make_unique<Session>();
    } else {
      throw Error(SIXCALL_E_INTERNAL, "override Connect to make a session");
    }
  }

  /// Run a whole tile, for clients that pipeline; call tile.Done for every key.
  virtual void GetTile(Session& session, Tile& tile) {
    EachKey(tile, [&](size_t i) { return Get(session, tile.key(i), tile.buffer(i)); });
  }
  virtual void SetTile(Session& session, Tile& tile) {
    EachKey(tile, [&](size_t i) -> Result { return Set(session, tile.key(i), tile.value(i)); });
  }
  virtual void ExistsTile(Session& session, Tile& tile) {
    EachKey(tile, [&](size_t i) { return Exists(session, tile.key(i)); });
  }
  virtual void EraseTile(Session& session, Tile& tile) {
    EachKey(tile, [&](size_t i) -> Result { return Erase(session, tile.key(i)); });
  }

  /// How many tiles a batch is cut into; clamped to 1..keys and to the workers of
  /// its lane. Called in submit: no I/O.
  virtual uint32_t Tiles(uint32_t op, uint32_t keys, uint64_t bytes) const {
    (void)op;
    const uint64_t by_keys = keys / std::max<uint32_t>(options().tile_keys, 1);
    const uint64_t by_bytes = bytes / std::max<uint64_t>(options().tile_bytes, 1);
    return static_cast<uint32_t>(std::min<uint64_t>(std::max(by_keys, by_bytes), 0xFFFF));
  }

  /// Calls fn(i) for every key and turns what it returns or throws into a status.
  template <class F>
  static void EachKey(Tile& tile, F&& fn) {
    for (size_t i = 0; i < tile.size(); i++) {
      if (tile.cancelled()) return;
      try {
        tile.Done(i, fn(i));
      } catch (...) {
        const Error e = Error::Current(SIXCALL_E_IO);
        if (e.ends_session()) throw;
        tile.Fail(i, e);
      }
    }
  }

 protected:
  /// Ends batches that are still queued and whose deadline has passed. A connector that
  /// announces SIXCALL_CAP_DEADLINE calls it from hooks that wait, every 25 ms or so: only
  /// while all workers of a lane wait does a batch grow old in its queue.
  void ExpireQueued() {
    const uint64_t now = NowNs();
    for (Lane& lane : lanes_) {
      for (;;) {
        std::unique_lock<std::mutex> lock(lane.mu);
        Record *r = lane.head, *before = nullptr;
        while (r != nullptr && (r->batch.deadline_ns == 0 || now < r->batch.deadline_ns)) before = r, r = r->next;
        if (r == nullptr) break;
        Unlink(lane, r, before);
        const uint32_t untaken = r->next_tile;
        lock.unlock();
        EndUntaken(lane, r, untaken, Error(SIXCALL_E_TIMEOUT, "the deadline passed in the queue"));
      }
    }
  }

 private:
  struct Record : detail::Tally {
    uint32_t tiles = 1, next_tile = 0;   // guarded by the lane's mu
    Record* next = nullptr;              // guarded by the lane's mu
    std::atomic<uint32_t> remaining{0};  // tiles that have not ended
    std::atomic<bool> cancelled{false};
  };

  struct Worker;
  struct Lane {
    std::mutex mu;  // guards all below; nothing is called under it
    std::condition_variable work;  // there is a token, or stop, or abort
    std::condition_variable sick;  // for workers without a session, see Wait
    Record* head = nullptr;
    Record* tail = nullptr;
    Record* free = nullptr;
    uint32_t idle = 0;     // workers waiting that have not been given a token
    uint32_t tokens = 0;   // wake-ups given and not yet taken
    uint32_t healthy = 0;  // workers with a session, or that have not tried
    uint32_t size = 0;     // workers
    bool stop = false;     // run what is queued, then end
    std::vector<std::unique_ptr<Record>> records;
    std::vector<Worker*> workers;
  };

  enum class State { kUntried, kUp, kDown };
  struct Worker {
    Lane* lane = nullptr;
    Record* current = nullptr;  // guarded by the lane's mu
    std::thread thread;
    bool ended = false;  // guarded by life_mu_
    // The rest belongs to the thread.
    State state = State::kUntried;
    std::unique_ptr<Session> session;
    Error last{SIXCALL_E_CONNECT, "not connected"};
    std::chrono::steady_clock::time_point retry_at;
    uint32_t failures = 0;
    std::minstd_rand random;
  };

  Lane& LaneOf(uint32_t op) { return lanes_[op == SIXCALL_OP_EXISTS || op == SIXCALL_OP_PING]; }

  void Enqueue(uint32_t op, const sixcall_batch& b, sixcall_page* page, uint64_t bytes) final {
    Lane& lane = LaneOf(op);
    uint32_t tiles = 1;
    if (b.n > 1 && lane.size > 1) tiles = std::max(1u, std::min({Tiles(op, b.n, bytes), lane.size, b.n}));
    uint32_t wake;
    {
      std::lock_guard<std::mutex> lock(lane.mu);
      if (lane.free == nullptr) {  // grows to the most that were ever queued, at most max_inflight
        lane.records.push_back(std::make_unique<Record>());
        lane.free = lane.records.back().get();
      }
      Record* r = lane.free;
      lane.free = r->next;
      r->Reset(op, b, page, bytes);
      r->tiles = tiles;
      r->next_tile = 0;
      r->next = nullptr;
      r->remaining.store(tiles, std::memory_order_relaxed);
      r->cancelled.store(false, std::memory_order_relaxed);
      (lane.head == nullptr ? lane.head : lane.tail->next) = r;
      lane.tail = r;
      wake = std::min(tiles, lane.idle);
      lane.idle -= wake;
      lane.tokens += wake;
    }
    while (wake-- > 0) lane.work.notify_one();
  }

  // ---- a worker's life

  void Run(Worker& w) {
    Record* done = nullptr;
    bool connect_first = !options().lazy;
    for (;;) {
      if (!closing() && (connect_first || (w.state == State::kDown && std::chrono::steady_clock::now() >= w.retry_at))) Open(w);
      connect_first = false;
      uint32_t tile = 0;
      bool end = false;
      Record* r = Wait(w, done, &tile, &end);
      done = nullptr;
      if (end) break;
      if (r == nullptr) continue;  // time to try a session again
      if (w.state == State::kUntried) Open(w);
      if (RunTile(w, *r, tile)) done = r;
    }
    try {
      w.session.reset();
    } catch (...) {
    }
  }

  /// Gives `done` back to the pool and takes the next tile, or sleeps. Returns
  /// NULL when a session should be tried, and sets *end when the worker is done.
  Record* Wait(Worker& w, Record* done, uint32_t* tile, bool* end) {
    Lane& lane = *w.lane;
    std::unique_lock<std::mutex> lock(lane.mu);
    w.current = nullptr;
    if (done != nullptr) {
      done->next = lane.free;
      lane.free = done;
    }
    for (;;) {
      const bool down = w.state == State::kDown;
      if (down && lane.healthy > 0) {
        // Leave the work to those who can do it: failing is fast, and this
        // worker would eat the whole queue.
        *end = lane.stop;
        if (lane.stop) return nullptr;
        if (lane.head != nullptr && lane.idle > 0) {  // this worker may have taken a wake-up that was meant for them
          lane.idle--;
          lane.tokens++;
          lane.work.notify_one();
        }
        if (lane.sick.wait_until(lock, w.retry_at) == std::cv_status::timeout) return nullptr;
        continue;
      }
      if (lane.head != nullptr) {
        Record* r = lane.head;
        *tile = r->next_tile++;
        if (r->next_tile == r->tiles) {
          lane.head = r->next;
          if (lane.head == nullptr) lane.tail = nullptr;
        }
        w.current = r;
        return r;
      }
      *end = lane.stop;
      if (lane.stop) return nullptr;
      lane.idle++;
      bool late = false;
      while (lane.tokens == 0 && !lane.stop && !late) {
        if (!down) {
          lane.work.wait(lock);
        } else {
          late = lane.work.wait_until(lock, w.retry_at) == std::cv_status::timeout;
        }
      }
      if (lane.tokens > 0) {
        lane.tokens--;
      } else {
        lane.idle--;
      }
      if (late && lane.head == nullptr) return nullptr;
    }
  }

  void SetHealth(Worker& w, State state) {
    Lane& lane = *w.lane;
    std::lock_guard<std::mutex> lock(lane.mu);
    lane.healthy -= w.state != State::kDown;
    lane.healthy += state != State::kDown;
    w.state = state;
    if (lane.healthy == 0) lane.sick.notify_all();
  }

  void Open(Worker& w) {
    try {
      w.session = Connect(config());
      if (w.session == nullptr) throw Error(SIXCALL_E_INTERNAL, "Connect returned no session");
      if (w.failures > 0) log().Parts(SIXCALL_LOG_INFO, {info().name, "connected again"});
      w.failures = 0;
      SetHealth(w, State::kUp);
      Prove(nullptr);
    } catch (...) {
      w.last = Error::Current(SIXCALL_E_CONNECT);
      if (w.failures == 0) log().Parts(SIXCALL_LOG_WARN, {info().name, w.last.text()});
      const uint64_t ms = std::min<uint64_t>(uint64_t{options().backoff_first_ms} << std::min(w.failures, 20u), options().backoff_max_ms);
      const uint64_t us = std::uniform_int_distribution<uint64_t>(ms * 500, ms * 1000)(w.random);
      w.failures++;
      w.retry_at = std::chrono::steady_clock::now() + std::chrono::microseconds(us);
      SetHealth(w, State::kDown);
      Prove(&w.last);
    }
  }

  void EndSession(Worker& w, const Error& e) {
    try {
      w.session.reset();
    } catch (...) {
    }
    w.last = e;
    w.retry_at = std::chrono::steady_clock::now();
    SetHealth(w, State::kDown);
    log().Parts(SIXCALL_LOG_WARN, {info().name, "session ended", e.text()});
  }

  /// Ends a tile whatever happened to it: keys without a status get one, and the
  /// last tile of a batch publishes.
  struct Guard {
    Connector& c;
    Record& r;
    size_t from, n;
    bool* last;
    ~Guard() {
      if (c.abandoned_.load()) return;  // close gave up on this thread; the host has gone on
      *last = c.EndTile(r, from, n, r.cancelled.load() || c.abort_.load());
    }
  };

  bool EndTile(Record& r, size_t from, size_t n, bool cancelled) noexcept {
    uint32_t hits = 0, misses = 0;
    bool forgotten = false;
    uint8_t* status = r.batch.status + from;
    for (size_t i = 0; i < n; i++) {
      if (status[i] == detail::kUnset) {
        forgotten = true;
        status[i] = static_cast<uint8_t>(cancelled ? Status::kCancelled : Status::kError);
      }
      hits += status[i] == SIXCALL_STATUS_HIT;
      misses += status[i] == SIXCALL_STATUS_MISS;
    }
    if (forgotten) {
      r.Fail(cancelled ? Error(SIXCALL_E_CANCELLED, "cancelled") : Error(SIXCALL_E_INTERNAL, "the connector left a key without a status"), true);
    }
    if (hits != 0) r.hits.fetch_add(hits, std::memory_order_relaxed);
    if (misses != 0) r.misses.fetch_add(misses, std::memory_order_relaxed);
    if (r.remaining.fetch_sub(1, std::memory_order_acq_rel) != 1) return false;
    Publish(r);
    return true;
  }

  /// Fails every key of a range that has no status.
  static void FailRange(Record& r, size_t from, size_t n, const Error& e) noexcept {
    r.Fail(e, true);
    for (size_t i = from; i < from + n; i++) {
      if (r.batch.status[i] == detail::kUnset) r.batch.status[i] = static_cast<uint8_t>(e.status());
    }
  }

  static void Range(const Record& r, uint32_t tile, size_t* from, size_t* n) noexcept {
    const size_t each = r.batch.n / r.tiles, extra = r.batch.n % r.tiles;
    *from = tile * each + std::min<size_t>(tile, extra);
    *n = each + (tile < extra);
  }

  static void Begin(Record& r, size_t from, size_t n) noexcept {
    if (n == 0) return;
    std::memset(r.batch.status + from, detail::kUnset, n);
    if (r.batch.value_lens != nullptr) std::fill_n(r.batch.value_lens + from, n, SIXCALL_LEN_UNKNOWN);
  }

  /// Runs one tile; true if it was the batch's last to end.
  bool RunTile(Worker& w, Record& r, uint32_t index) {
    size_t from, n;
    Range(r, index, &from, &n);
    Begin(r, from, n);
    bool last = false;
    {
      Guard guard{*this, r, from, n, &last};
      if (r.cancelled.load(std::memory_order_relaxed) || abort_.load(std::memory_order_relaxed)) {
        FailRange(r, from, n, Error(SIXCALL_E_CANCELLED, "cancelled before it began"));
      } else if (r.batch.deadline_ns != 0 && NowNs() >= r.batch.deadline_ns) {
        FailRange(r, from, n, Error(SIXCALL_E_TIMEOUT, "the deadline passed in the queue"));
      } else if (w.state != State::kUp) {
        FailRange(r, from, n, w.last);
      } else {
        Tile tile(&r, from, n, &r.cancelled, &abort_);
        try {
          Call(w, r, tile);
        } catch (...) {
          const Error e = Error::Current(SIXCALL_E_IO);
          if (!abandoned_.load()) FailRange(r, from, n, e);
          EndSession(w, e);
        }
      }
    }
    return last;
  }

  void Call(Worker& w, Record& r, Tile& tile) {
    switch (r.op) {
      case SIXCALL_OP_GET: return GetTile(*w.session, tile);
      case SIXCALL_OP_SET: return SetTile(*w.session, tile);
      case SIXCALL_OP_EXISTS: return ExistsTile(*w.session, tile);
      case SIXCALL_OP_DELETE: return EraseTile(*w.session, tile);
      case SIXCALL_OP_PING: return Ping(*w.session);
      default: break;
    }
    Page page(r.page);
    List(*w.session, page);
    try {
      page.CheckRoom();
    } catch (const Error& e) {  // the host's mistake: the session is fine
      r.Fail(e, true);
    }
  }

  // ---- open, cancel, close

  void Launch() final {
    lanes_[0].size = options().workers;
    lanes_[1].size = options().lookup_workers;
    for (Lane& lane : lanes_) {
      lane.healthy = lane.size;
      for (uint32_t i = 0; i < lane.size; i++) {
        workers_.push_back(std::make_unique<Worker>());
        Worker& w = *workers_.back();
        w.lane = &lane;
        w.random.seed(static_cast<uint32_t>(NowNs()) + 7919u * static_cast<uint32_t>(workers_.size()));
        lane.workers.push_back(&w);
      }
    }
    try {
      StartWorker(*workers_[0]);
      if (!options().lazy) {
        std::unique_lock<std::mutex> lock(life_mu_);
        const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(info().open_timeout_ms);
        if (!life_.wait_until(lock, end, [&] { return proved_ != 0; })) {
          throw Error(SIXCALL_E_TIMEOUT, "no answer from the backend within " + std::to_string(info().open_timeout_ms) + " ms");
        }
        if (proved_ < 0) throw Error(proof_error_);
      }
      for (size_t i = 1; i < workers_.size(); i++) StartWorker(*workers_[i]);
    } catch (...) {
      BeginClose();
      Finish(std::chrono::steady_clock::now());
      throw;
    }
  }

  void StartWorker(Worker& w) {
    // The thread owns a reference to the connector, so that a thread which close
    // has to leave behind finds its memory in place when it comes back.
    const auto self = std::static_pointer_cast<Connector>(Reference());
    w.thread = detail::StartThread(info().name, [self, &w] {
      self->Run(w);
      std::lock_guard<std::mutex> lock(self->life_mu_);
      w.ended = true;
      self->life_.notify_all();
    });
  }

  void Prove(const Error* failed) {
    std::lock_guard<std::mutex> lock(life_mu_);
    if (proved_ != 0) return;
    proved_ = failed == nullptr ? 1 : -1;
    if (failed != nullptr) proof_error_ = *failed;
    life_.notify_all();
  }

  /// Takes a record off its lane's queue; the lane's mu is held.
  static void Unlink(Lane& lane, Record* r, Record* before) {
    (before == nullptr ? lane.head : before->next) = r->next;
    if (lane.tail == r) lane.tail = before;
  }

  /// Ends the tiles of a record that no worker has taken; it is off the queue.
  void CancelUntaken(Lane& lane, Record* r, uint32_t from_tile) {
    EndUntaken(lane, r, from_tile, Error(SIXCALL_E_CANCELLED, "cancelled before it began"));
  }
  void EndUntaken(Lane& lane, Record* r, uint32_t from_tile, const Error& e) {
    bool last = false;
    const uint32_t tiles = r->tiles;  // after its last tile has ended the record may serve another batch
    for (uint32_t t = from_tile; t < tiles; t++) {
      size_t from, n;
      Range(*r, t, &from, &n);
      Begin(*r, from, n);
      FailRange(*r, from, n, e);
      last = EndTile(*r, from, n, true);
    }
    if (!last) return;
    std::lock_guard<std::mutex> lock(lane.mu);
    r->next = lane.free;
    lane.free = r;
  }

  int32_t CancelTicket(uint64_t ticket) final {
    for (Lane& lane : lanes_) {
      std::unique_lock<std::mutex> lock(lane.mu);
      Record* before = nullptr;
      for (Record* r = lane.head; r != nullptr; before = r, r = r->next) {
        if (r->batch.ticket != ticket) continue;
        Unlink(lane, r, before);
        r->cancelled.store(true);  // for tiles that are running
        const uint32_t untaken = r->next_tile;
        lock.unlock();
        CancelUntaken(lane, r, untaken);
        return SIXCALL_OK;
      }
      for (Worker* w : lane.workers) {
        if (w->current == nullptr || w->current->batch.ticket != ticket || w->current->remaining.load() == 0) continue;
        w->current->cancelled.store(true);
        return SIXCALL_OK;
      }
    }
    return SIXCALL_E_INVAL;
  }

  bool WaitEnded(std::chrono::steady_clock::time_point until) {
    std::unique_lock<std::mutex> lock(life_mu_);
    return life_.wait_until(lock, until, [&] {
      return std::all_of(workers_.begin(), workers_.end(), [](const auto& w) { return w->ended || !w->thread.joinable(); });
    });
  }

  bool Finish(std::chrono::steady_clock::time_point grace_end) final {
    for (Lane& lane : lanes_) {
      std::lock_guard<std::mutex> lock(lane.mu);
      lane.stop = true;
      lane.work.notify_all();
      lane.sick.notify_all();
    }
    bool ended = WaitEnded(grace_end);
    if (!ended) {
      abort_.store(true);
      for (Lane& lane : lanes_) {
        for (;;) {
          Record* r;
          {
            std::lock_guard<std::mutex> lock(lane.mu);
            r = lane.head;
            if (r == nullptr) break;
            lane.head = r->next;
            if (lane.head == nullptr) lane.tail = nullptr;
          }
          CancelUntaken(lane, r, r->next_tile);
        }
      }
      ended = WaitEnded(std::max(grace_end, std::chrono::steady_clock::now()) + detail::kCancelWait);
    }
    if (!ended) abandoned_.store(true);
    for (auto& w : workers_) {
      if (!w->thread.joinable()) continue;
      bool join;
      {
        std::lock_guard<std::mutex> lock(life_mu_);
        join = w->ended;
      }
      if (join) {
        w->thread.join();
      } else {
        w->thread.detach();
      }
    }
    return ended;
  }

  Lane lanes_[2];  // 0: bulk; 1: lookups, which never wait behind bulk transfers
  std::vector<std::unique_ptr<Worker>> workers_;
  std::atomic<bool> abort_{false};      // end now: grace is over
  std::atomic<bool> abandoned_{false};  // close returned BUSY: touch no host memory

  std::mutex life_mu_;  // guards the two below and Worker::ended
  std::condition_variable life_;
  int proved_ = 0;  // 1: a first session was made; -1: proof_error_
  Error proof_error_{SIXCALL_E_CONNECT, ""};
};

// ------------------------------------------------------------ asynchronous

/// A batch as an asynchronous client sees it. What it points to stays in place
/// until the last Complete of its ticket. Cheap to copy.
class AsyncBatch {
 public:
  /// The helper's number for this batch (not the host's ticket).
  uint64_t ticket() const { return ticket_; }
  uint32_t op() const { return t_->op; }  ///< SIXCALL_OP_
  size_t size() const { return t_->batch.n; }  ///< keys; 0 for ping and list
  Key key(size_t i) const { return Key(reinterpret_cast<const char*>(t_->Item(i).key), t_->Item(i).key_len); }
  MutableBytes buffer(size_t i) const { return MutableBytes(static_cast<uint8_t*>(t_->Item(i).buf), t_->Item(i).len); }
  Bytes value(size_t i) const { return Bytes(static_cast<const uint8_t*>(t_->Item(i).buf), t_->Item(i).len); }
  uint64_t mem_handle() const { return t_->batch.mem_handle; }
  uint64_t deadline_ns() const { return t_->batch.deadline_ns; }
  sixcall_page* page() const { return t_->page; }  ///< list only
  /// Whether the host reads stored lengths; without it there is no need to ask for them.
  bool wants_lengths() const { return t_->batch.value_lens != nullptr; }

 private:
  friend class AsyncConnector;
  AsyncBatch(const detail::Tally* t, uint64_t ticket) : t_(t), ticket_(ticket) {}
  const detail::Tally* t_;
  uint64_t ticket_;
};

/// The base for a backend whose client has its own completions. Start may make
/// the client and its threads; the destructor ends them, and runs when no ticket
/// is open. Announce SIXCALL_CAP_DELETE, _PING and _LIST in the extra caps of
/// SIXCALL_CONNECTOR if Submit handles those operations.
class AsyncConnector : public ConnectorBase {
 public:
  using HelperBase = AsyncConnector;

  /// Starts a batch and returns without waiting for the backend. Called from any
  /// thread, several at the same time. Each index below max(size, 1) is then
  /// reported once with Complete or Fail, from any thread, even from inside.
  /// Throwing refuses the batch with the error's code if no index was reported
  /// yet; otherwise it fails what was not. Throw only when nothing that was not
  /// reported is still running: its memory is the host's again.
  virtual void Submit(const AsyncBatch& batch) = 0;
  /// Asks to end one batch early; its indices are still reported. SIXCALL_CAP_CANCEL.
  virtual void Cancel(uint64_t ticket) { (void)ticket; }
  /// Close has waited its grace: end everything soon. Must not block.
  virtual void CancelAll() {}

  /// Reports one key; for ping and list, index 0 with kHit or a failure. A report
  /// for a ticket that has ended, or a second one for a key, does nothing.
  void Complete(uint64_t ticket, size_t index, Result r) noexcept { Report(ticket, index, r, nullptr, false); }
  /// Fails one key; keeps the text if it is the batch's first.
  void Fail(uint64_t ticket, size_t index, const Error& e) noexcept { Report(ticket, index, e.status(), &e, false); }
  /// Fails all keys of a ticket that have no status; the error's code is the rc.
  void FailRest(uint64_t ticket, const Error& e) noexcept { Report(ticket, 0, e.status(), &e, true); }

 private:
  struct Slot : detail::Tally {
    std::mutex mu;           // guards all of it but the next line
    uint32_t next_free = 0;  // guarded by slots_mu_
    uint32_t generation = 1;
    uint32_t left = 0;  // keys without a status; 0 = free
    bool starting = false;  // Submit has not returned
    std::vector<bool> seen;
  };
  static constexpr uint32_t kNone = 0xFFFFFFFFu;

  Slot* Find(uint64_t ticket) noexcept {
    const auto index = static_cast<uint32_t>(ticket);
    return slots_ != nullptr && index < options().max_inflight ? &slots_[index] : nullptr;
  }

  void Launch() final {
    const uint32_t n = options().max_inflight;
    slots_ = std::make_unique<Slot[]>(n);
    for (uint32_t i = 0; i < n; i++) slots_[i].next_free = i + 1 < n ? i + 1 : kNone;
    free_ = 0;
  }

  void Enqueue(uint32_t op, const sixcall_batch& b, sixcall_page* page, uint64_t bytes) final {
    uint32_t index;
    {
      std::lock_guard<std::mutex> lock(slots_mu_);
      if (free_ == kNone) throw Error(SIXCALL_E_AGAIN, "queue full");
      index = free_;
      free_ = slots_[index].next_free;
    }
    Slot& s = slots_[index];
    uint64_t ticket;
    try {
      std::lock_guard<std::mutex> lock(s.mu);
      s.seen.assign(std::max(b.n, 1u), false);
      s.Reset(op, b, page, bytes);
      s.left = std::max(b.n, 1u);
      s.starting = true;
      ticket = uint64_t{s.generation} << 32 | index;
    } catch (...) {
      Free(index);
      throw;
    }
    open_.fetch_add(1);
    bool ends = false;
    try {
      if (b.deadline_ns != 0 && NowNs() >= b.deadline_ns) {
        FailRest(ticket, Error(SIXCALL_E_TIMEOUT, "the deadline had passed at submission"));
      } else {
        Submit(AsyncBatch(&s, ticket));
      }
    } catch (...) {
      const Error e = Error::Current(SIXCALL_E_IO);
      bool refuse;
      {
        std::lock_guard<std::mutex> lock(s.mu);
        refuse = s.left == std::max(b.n, 1u);
        if (refuse) s.left = 0, s.starting = false, s.generation++;
      }
      if (refuse) {
        Free(index);
        open_.fetch_sub(1);
        throw;
      }
      FailRest(ticket, e);
    }
    {
      std::lock_guard<std::mutex> lock(s.mu);
      s.starting = false;  // until here nothing is published, so a batch can still be refused
      ends = s.left == 0;
    }
    if (ends) End(index);
  }

  void Report(uint64_t ticket, size_t index, Result r, const Error* e, bool rest) noexcept {
    busy_.fetch_add(1);
    Slot* s = Find(ticket);
    bool ends = false;
    if (s != nullptr && !abandoned_.load()) {
      std::lock_guard<std::mutex> lock(s->mu);
      if (s->generation == ticket >> 32 && s->left != 0) {
        const uint32_t before = s->left;
        const size_t to = rest ? s->seen.size() : index < s->seen.size() ? index + 1 : 0;
        for (size_t i = rest ? 0 : index; i < to; i++) {
          if (s->seen[i]) continue;
          s->seen[i] = true;
          s->left--;
          if (s->batch.n != 0) Put(*s, i, r);
        }
        if (e != nullptr && s->left != before) s->Fail(*e, rest || s->batch.n == 0);
        if (s->batch.n == 0 && e == nullptr && r.status != Status::kHit) s->Fail(sixcall::Error(SIXCALL_E_IO, "the backend did not answer"), true);
        ends = s->left == 0 && !s->starting;
      }
    }
    if (ends) End(static_cast<uint32_t>(ticket));
    busy_.fetch_sub(1);
  }

  static void Put(Slot& s, size_t i, Result r) noexcept {
    s.batch.status[i] = static_cast<uint8_t>(r.status);
    if (s.batch.value_lens != nullptr) {
      s.batch.value_lens[i] = r.status == Status::kHit && s.op == SIXCALL_OP_GET ? s.Item(i).len : r.stored_len;
    }
    if (r.status == Status::kHit) s.hits.fetch_add(1, std::memory_order_relaxed);
    if (r.status == Status::kMiss) s.misses.fetch_add(1, std::memory_order_relaxed);
  }

  void End(uint32_t index) noexcept {
    Slot& s = slots_[index];
    {
      std::lock_guard<std::mutex> lock(s.mu);
      s.generation++;  // late reports find nothing
    }
    Publish(s);
    Free(index);
    open_.fetch_sub(1);
  }
  void Free(uint32_t index) noexcept {
    std::lock_guard<std::mutex> lock(slots_mu_);
    slots_[index].next_free = free_;
    free_ = index;
  }

  int32_t CancelTicket(uint64_t host_ticket) final {
    for (uint32_t i = 0; i < options().max_inflight; i++) {
      uint64_t ticket;
      {
        std::lock_guard<std::mutex> lock(slots_[i].mu);
        if (slots_[i].left == 0 || slots_[i].batch.ticket != host_ticket) continue;
        ticket = uint64_t{slots_[i].generation} << 32 | i;
      }
      Cancel(ticket);
      return SIXCALL_OK;
    }
    return SIXCALL_E_INVAL;
  }

  bool WaitOpen(std::chrono::steady_clock::time_point until) {
    while (open_.load() != 0 || busy_.load() != 0) {
      if (std::chrono::steady_clock::now() >= until) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  bool Finish(std::chrono::steady_clock::time_point grace_end) final {
    if (WaitOpen(grace_end)) return true;
    CancelAll();
    if (WaitOpen(std::max(grace_end, std::chrono::steady_clock::now()) + detail::kCancelWait)) return true;
    abandoned_.store(true);
    // The client still works on the host's memory and will call Complete: this
    // object has to stay for ever.
    keep_ = Reference();
    return false;
  }

  std::shared_ptr<ConnectorBase> keep_;
  std::unique_ptr<Slot[]> slots_;
  std::mutex slots_mu_;  // guards free_ and next_free
  uint32_t free_ = kNone;
  std::atomic<uint32_t> open_{0};  // accepted and not published
  std::atomic<uint32_t> busy_{0};  // threads inside Report
  std::atomic<bool> abandoned_{false};
};

// ------------------------------------------------------------------- glue

namespace detail {

/// Whether C overrides Hook: the type of &C::Hook names the class that declares it.
template <class M>
struct Declares;
template <class R, class K, class... A>
struct Declares<R (K::*)(A...)> {
  using type = K;
};
template <class R, class K, class... A>
struct Declares<R (K::*)(A...) const> {
  using type = K;
};
#define SIXCALL_DETECT_HOOK(Hook)                                                                     \
  template <class C, class = void>                                                                    \
  struct Overrides##Hook {                                                                            \
    static_assert(sizeof(C) == 0, #Hook ": hooks of a connector must be public and not overloaded");  \
  };                                                                                                  \
  template <class C>                                                                                  \
  struct Overrides##Hook<C, std::void_t<decltype(&C::Hook)>> {                                        \
    using K = typename Declares<decltype(&C::Hook)>::type;                                            \
    static constexpr bool value = !std::is_same<K, ConnectorBase>::value && !std::is_same<K, typename C::HelperBase>::value; \
  };
SIXCALL_DETECT_HOOK(Erase)
SIXCALL_DETECT_HOOK(Ping)
SIXCALL_DETECT_HOOK(List)
SIXCALL_DETECT_HOOK(Cancel)
SIXCALL_DETECT_HOOK(Usage)
SIXCALL_DETECT_HOOK(RegisterMemory)
#undef SIXCALL_DETECT_HOOK

/// The capabilities that belong to slots; bit and slot cannot disagree, as the
/// slots are made from the bits.
template <class C>
constexpr uint64_t SlotCaps() {
  uint64_t caps = SIXCALL_CAP_LIMITS | SIXCALL_CAP_STATS_TEXT;
  if (OverridesUsage<C>::value) caps |= SIXCALL_CAP_USAGE;
  if (OverridesRegisterMemory<C>::value) caps |= SIXCALL_CAP_REGISTER_MEMORY;
  if constexpr (std::is_base_of<AsyncConnector, C>::value) {
    if (OverridesCancel<C>::value) caps |= SIXCALL_CAP_CANCEL;
  } else {
    caps |= SIXCALL_CAP_CANCEL;
    if (OverridesErase<C>::value) caps |= SIXCALL_CAP_DELETE;
    if (OverridesPing<C>::value) caps |= SIXCALL_CAP_PING;
    if (OverridesList<C>::value) caps |= SIXCALL_CAP_LIST;
  }
  return caps;
}
template <class C>
constexpr bool ExtraCapsAllowed(uint64_t extra) {
  const uint64_t async = SIXCALL_CAP_DELETE | SIXCALL_CAP_PING | SIXCALL_CAP_LIST;
  return (extra & 0xFFFF & ~(std::is_base_of<AsyncConnector, C>::value ? async : 0)) == 0;
}
constexpr bool NameAllowed(std::string_view name) {
  for (const char c : name) {
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-')) return false;
  }
  return !name.empty();
}

/// The functions of the table for connector class C.
template <class C>
struct Glue {
  static ConnectorBase& Self(sixcall_conn* self) { return *reinterpret_cast<ConnectorBase*>(self); }

  static int32_t Open(const sixcall_host* host, const sixcall_open_args* args, const char* name, const char* schema, sixcall_conn** out,
                      sixcall_err* err) noexcept {
    try {
      if (host == nullptr || host->struct_size < sizeof(*host) || args == nullptr || args->struct_size < sizeof(*args) || out == nullptr) {
        throw Error(SIXCALL_E_INVAL, "open: an argument is missing or its struct_size is too small");
      }
      auto made = std::make_shared<C>();
      ConnectorBase& c = *made;
      c.self_ = made;
      c.weak_ = made;
      try {
        c.Bind(host, *args, name, schema);
        c.Launch();
      } catch (...) {
        c.BeginClose();
        if (c.log_ != nullptr) c.log_->Mute();
        c.self_.reset();
        throw;
      }
      *out = reinterpret_cast<sixcall_conn*>(&c);
      return SIXCALL_OK;
    } catch (...) {
      const Error e = Error::Current(SIXCALL_E_CONNECT);
      FillErr(err, e);
      return e.code() < 0 ? e.code() : SIXCALL_E_INTERNAL;
    }
  }
  /// Runs fn(connector) and turns an exception into its code, and into err if given.
  template <class F>
  static auto Call(sixcall_conn* self, F&& fn, sixcall_err* err = nullptr) noexcept -> decltype(fn(Self(self))) {
    if (self == nullptr) return SIXCALL_E_INVAL;
    try {
      return fn(Self(self));
    } catch (...) {
      const Error e = Error::Current(SIXCALL_E_INTERNAL);
      FillErr(err, e);
      return e.code() < 0 ? e.code() : SIXCALL_E_INTERNAL;
    }
  }
  static int32_t EventFd(sixcall_conn* self) noexcept {
    return Call(self, [](ConnectorBase& c) { return static_cast<int32_t>(c.event_fd_); });
  }
  template <uint32_t kOp>
  static int32_t Submit(sixcall_conn* self, const sixcall_batch* batch) noexcept {
    return self == nullptr ? SIXCALL_E_INVAL : Self(self).Submit(kOp, batch, nullptr);
  }
  static int32_t SubmitList(sixcall_conn* self, const sixcall_batch* batch, sixcall_page* page) noexcept {
    return self == nullptr ? SIXCALL_E_INVAL : Self(self).Submit(SIXCALL_OP_LIST, batch, page);
  }
  static int32_t Drain(sixcall_conn* self, sixcall_completion* out, uint32_t cap, uint32_t stride) noexcept {
    return self == nullptr ? SIXCALL_E_INVAL : Self(self).Drain(out, cap, stride);
  }
  static int32_t Close(sixcall_conn* self, uint32_t grace_ms) noexcept {
    return Call(self, [&](ConnectorBase& c) { return c.Close(grace_ms); });
  }
  static int32_t Limits(sixcall_conn* self, sixcall_limits* out) noexcept {
    return Call(self, [&](ConnectorBase& c) { return c.GetLimits(out); });
  }
  static int32_t Cancel(sixcall_conn* self, uint64_t ticket) noexcept {
    return Call(self, [&](ConnectorBase& c) { return c.CancelTicket(ticket); });
  }
  static int32_t Register(sixcall_conn* self, const sixcall_memory* memory, uint64_t* out, sixcall_err* err) noexcept {
    return Call(self, [&](ConnectorBase& c) { return c.Register(memory, out); }, err);
  }
  static int32_t Unregister(sixcall_conn* self, uint64_t handle) noexcept {
    return Call(self, [&](ConnectorBase& c) { return c.Unregister(handle); });
  }
  static int32_t Usage(sixcall_conn* self, sixcall_usage* out) noexcept {
    return Call(self, [&](ConnectorBase& c) -> int32_t {
      if (out == nullptr || out->struct_size < sizeof(*out)) return SIXCALL_E_INVAL;
      out->flags = 0;
      out->bytes_used = out->bytes_capacity = out->keys = std::numeric_limits<uint64_t>::max();
      c.Usage(*out);
      return SIXCALL_OK;
    });
  }
  static int64_t StatsText(sixcall_conn* self, char* out, uint64_t cap) noexcept {
    return Call(self, [&](ConnectorBase& c) { return c.StatsText(out, cap); });
  }

  using OpenFn = int32_t (*)(const sixcall_host*, const sixcall_open_args*, sixcall_conn**, sixcall_err*);
  static constexpr sixcall_api Table(OpenFn open, uint64_t caps, const char* name, const char* version, const char* vendor, const char* schema) {
    sixcall_api t = {};
    t.struct_size = sizeof(sixcall_api);
    t.abi_major = SIXCALL_ABI_MAJOR;
    t.abi_minor = SIXCALL_ABI_MINOR;
    t.caps = caps;
    t.thread_model = SIXCALL_THREADS_PARALLEL;
    t.name = name;
    t.version = version;
    t.vendor = vendor;
    t.config_schema = schema;
    t.open = open;
    t.event_fd = &EventFd;
    t.submit_batch_get = &Submit<SIXCALL_OP_GET>;
    t.submit_batch_set = &Submit<SIXCALL_OP_SET>;
    t.submit_batch_exists = &Submit<SIXCALL_OP_EXISTS>;
    t.drain_completions = &Drain;
    t.close = &Close;
    if (caps & SIXCALL_CAP_DELETE) t.submit_batch_delete = &Submit<SIXCALL_OP_DELETE>;
    if (caps & SIXCALL_CAP_LIMITS) t.limits = &Limits;
    if (caps & SIXCALL_CAP_PING) t.submit_ping = &Submit<SIXCALL_OP_PING>;
    if (caps & SIXCALL_CAP_CANCEL) t.cancel = &Cancel;
    if (caps & SIXCALL_CAP_REGISTER_MEMORY) t.register_memory = &Register, t.unregister_memory = &Unregister;
    if (caps & SIXCALL_CAP_USAGE) t.usage = &Usage;
    if (caps & SIXCALL_CAP_LIST) t.submit_list = &SubmitList;
    if (caps & SIXCALL_CAP_STATS_TEXT) t.stats_text = &StatsText;
    return t;
  }
};

}  // namespace detail
}  // namespace sixcall

/// The configuration keys of Connector, for the "properties" of a config_schema.
#define SIXCALL_COMMON_PROPERTIES                                                                                                          \
  R"("workers":{"type":"integer","minimum":1,"maximum":256,"description":"threads for get, set, delete and list"},)"                       \
  R"("lookup_workers":{"type":"integer","minimum":1,"maximum":64,"description":"threads for exists and ping"},)"                           \
  R"("max_inflight":{"type":"integer","minimum":1,"maximum":65536,"default":1024,"description":"batches accepted before the host has to wait"},)" \
  R"("lazy":{"type":"boolean","default":false,"description":"open without proving that the backend is reachable"})"

/// Makes a connector of Class: the constant table, the ELF note with the same
/// values, and the entry point. Once per library, at file scope, outside of any
/// namespace. All texts are literals of at most 31 bytes, but the schema: its
/// properties are the known keys, besides those that Start asks for; it may be
/// NULL if Start asks for all. extra_caps are SIXCALL_CAP_ bits from 16 on (behaviour); those of
/// slots follow from the hooks.
#define SIXCALL_CONNECTOR(Class, connector_name, connector_version, vendor_name, schema_json, extra_caps)                             \
  static_assert(::sixcall::detail::ExtraCapsAllowed<Class>(extra_caps), "extra_caps: the caps of slots follow from the hooks");        \
  static_assert(::sixcall::detail::NameAllowed(connector_name), "a connector's name is [a-z0-9_-]+");                                  \
  static_assert(sizeof(connector_name) <= 32 && sizeof(connector_version) <= 32 && sizeof(vendor_name) <= 32, "at most 31 bytes");     \
  namespace {                                                                                                                          \
  constexpr uint64_t sixcall_caps = ::sixcall::detail::SlotCaps<Class>() | (extra_caps);                                               \
  constexpr const char* sixcall_schema = schema_json;                                                                                  \
  int32_t sixcall_open(const sixcall_host* host, const sixcall_open_args* args, sixcall_conn** out, sixcall_err* err) {                \
    return ::sixcall::detail::Glue<Class>::Open(host, args, connector_name, sixcall_schema, out, err);                                 \
  }                                                                                                                                    \
  constexpr sixcall_api sixcall_table = ::sixcall::detail::Glue<Class>::Table(&sixcall_open, sixcall_caps, connector_name,             \
                                                                             connector_version, vendor_name, sixcall_schema);          \
  SIXCALL_NOTE(sixcall_caps, vendor_name, connector_name, connector_version);                                                          \
  }                                                                                                                                    \
  extern "C" SIXCALL_EXPORT const sixcall_api* sixcall_connector_entry_v1(const sixcall_host* host) {                                  \
    const bool fits = host == nullptr || (host->struct_size >= sizeof(sixcall_host) && host->abi_major == SIXCALL_ABI_MAJOR);          \
    return fits ? &sixcall_table : nullptr;                                                                                            \
  }                                                                                                                                    \
  static_assert(true, "")

#endif  // SIXCALL_CONNECTOR_HPP
