// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <mutex>

#include "core.h"
#include "sixcall/connector.h"

namespace probe {
namespace {

int result_fd = -1;
bool to_terminal = true;
char* state = nullptr;
constexpr size_t kStateBytes = 4096;
char phase[1024];

std::mutex kept_mu;  // guards the three below
std::vector<std::string> warnings;
std::vector<std::string> notes;
std::vector<std::pair<std::string, double>> figures;

std::string Joined(const std::vector<std::string>& texts) {
  std::string all;
  for (size_t i = 0; i < texts.size() && i < 8; i++) all += (i == 0 ? "" : "; ") + texts[i];
  if (texts.size() > 8) all += Format("; and %zu more", texts.size() - 8);
  return all;
}

[[noreturn]] void End(const char* verdict, const std::string& text) {
  static std::atomic<bool> ended{false};
  if (ended.exchange(true)) {
    for (;;) pause();
  }
  std::string line;
  {
    std::lock_guard<std::mutex> lock(kept_mu);
    if (to_terminal) {
      line = Format("%s %s: %s\n", In("check").c_str(), verdict, text.c_str());
      for (const auto& f : figures) line += Format("  %s = %.10g\n", f.first.c_str(), f.second);
    } else {
      line = Format("{\"verdict\":\"%s\",\"text\":%s,\"figures\":{", verdict, JsonText(text).c_str());
      for (size_t i = 0; i < figures.size(); i++) {
        line += Format("%s%s:%.10g", i == 0 ? "" : ",", JsonText(figures[i].first).c_str(), figures[i].second);
      }
      line += "}}\n";
    }
  }
  WriteResult(line.data(), line.size());
  Quit(0);
}

}  // namespace

void OpenResult(int fd) {
  result_fd = fd >= 0 ? fd : fcntl(2, F_DUPFD_CLOEXEC, 100);  // a check may watch fd 2
  to_terminal = fd < 0;
}

void OpenState(int fd) {
  if (fd < 0) return;
  void* p = mmap(nullptr, kStateBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (p != MAP_FAILED) state = static_cast<char*>(p);
}

void WriteResult(const char* text, size_t len) {
  while (len > 0) {
    const long n = syscall(SYS_write, result_fd, text, len);
    if (n <= 0) return;
    text += n;
    len -= static_cast<size_t>(n);
  }
}

void Quit(int code) {
  for (;;) syscall(SYS_exit_group, code);
}

namespace {
// Threads announce their calls at the same time, and the last one wins. A lock would order the
// threads, and hide races of the library from ThreadSanitizer; so it does not look at this copy.
__attribute__((no_sanitize("thread"), noinline)) void Publish(volatile char* to, const volatile char* from, size_t cap) {
  for (size_t i = 0; i < cap; i++) {
    to[i] = i + 1 < cap ? from[i] : '\0';
    if (to[i] == '\0') return;
  }
}
}  // namespace

void At(const char* format, ...) {
  if (state == nullptr) return;
  char text[kStateBytes / 2], now[sizeof(phase)];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof(text) - sizeof(now) - 2, format, args);
  va_end(args);
  Publish(now, phase, sizeof(now));
  if (now[0] != '\0') strcat(strcat(text, "; "), now);
  Publish(state, text, sizeof(text));
}

void Phase(const char* format, ...) {
  char text[sizeof(phase)];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof(text), format, args);
  va_end(args);
  Publish(phase, text, sizeof(phase));
}

std::string FormatV(const char* format, va_list args) {
  va_list again;
  va_copy(again, args);
  const int len = vsnprintf(nullptr, 0, format, args);
  std::string text(static_cast<size_t>(len < 0 ? 0 : len), '\0');
  vsnprintf(&text[0], text.size() + 1, format, again);
  va_end(again);
  return text;
}

std::string Format(const char* format, ...) {
  va_list args;
  va_start(args, format);
  std::string text = FormatV(format, args);
  va_end(args);
  return text;
}

#define PROBE_FORMATTED(text)                  \
  va_list args;                                \
  va_start(args, format);                      \
  const std::string text = FormatV(format, args); \
  va_end(args)

void Pass() {
  std::string said, noted;
  {
    std::lock_guard<std::mutex> lock(kept_mu);
    said = Joined(warnings);
    noted = Joined(notes);
  }
  if (!said.empty()) End("WARN", said);
  End("PASS", noted);
}

void Fail(const char* format, ...) {
  PROBE_FORMATTED(text);
  End("FAIL", text);
}

void Leak(const char* format, ...) {
  PROBE_FORMATTED(text);
  End("LEAK", text);
}

void Skip(const char* format, ...) {
  PROBE_FORMATTED(text);
  End("SKIP", text);
}

void ToolError(const char* format, ...) {
  PROBE_FORMATTED(text);
  End("TOOL-ERROR", text);
}

void Warn(const char* format, ...) {
  PROBE_FORMATTED(text);
  std::lock_guard<std::mutex> lock(kept_mu);
  if (std::find(warnings.begin(), warnings.end(), text) == warnings.end()) warnings.push_back(text);
}

void Note(const char* format, ...) {
  PROBE_FORMATTED(text);
  std::lock_guard<std::mutex> lock(kept_mu);
  notes.push_back(text);
}

void Figure(const char* name, double value) {
  std::lock_guard<std::mutex> lock(kept_mu);
  figures.emplace_back(name, value);
}

std::string JsonText(const std::string& text) {
  std::string out = "\"";
  const bool utf8 = IsUtf8(text.data(), text.size());
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (u < 0x20 || (u >= 0x80 && !utf8)) {
      out += Format("\\u%04x", u);
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string Show(const std::string& bytes, size_t most) {
  std::string out = "\"";
  for (size_t i = 0; i < bytes.size() && i < most; i++) {
    const auto u = static_cast<unsigned char>(bytes[i]);
    out += u >= 0x20 && u < 0x7F ? std::string(1, bytes[i]) : Format("\\x%02x", u);
  }
  out += "\"";
  if (bytes.size() > most) out += Format("... (%zu bytes)", bytes.size());
  return out;
}

std::string CodeText(int64_t code) {
  static const char* const names[] = {"OK",   "INVAL",     "AGAIN", "CLOSED",  "UNSUPPORTED", "IO",       "NOMEM",   "TIMEOUT", "CANCELLED",
                                      "AUTH", "CONNECT",   "CONFIG", "INTERNAL", "VERSION",    "BUSY",     "NOSPACE", "CORRUPT"};
  if (code > 0 || code < -16) return Format("%lld", static_cast<long long>(code));
  return Format("SIXCALL_%s%s (%lld)", code == 0 ? "" : "E_", names[-code], static_cast<long long>(code));
}

bool IsUtf8(const char* text, size_t len) {
  const auto* p = reinterpret_cast<const unsigned char*>(text);
  for (size_t i = 0; i < len;) {
    if (p[i] < 0x80) {
      i++;
      continue;
    }
    const size_t n = p[i] >= 0xF0 ? 4 : p[i] >= 0xE0 ? 3 : 2;
    if (p[i] < 0xC2 || p[i] > 0xF4 || n > len - i) return false;
    for (size_t k = 1; k < n; k++) {
      if ((p[i + k] & 0xC0) != 0x80) return false;
    }
    if ((p[i] == 0xE0 && p[i + 1] < 0xA0) || (p[i] == 0xED && p[i + 1] > 0x9F)) return false;
    if ((p[i] == 0xF0 && p[i + 1] < 0x90) || (p[i] == 0xF4 && p[i + 1] > 0x8F)) return false;
    i += n;
  }
  return true;
}

}  // namespace probe
