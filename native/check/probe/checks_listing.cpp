// SPDX-License-Identifier: Apache-2.0
//
// P: list, usage, stats, extensions.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "load.h"

namespace probe {
namespace {

/// One line of Prometheus text, roughly: a comment, or name{labels} value.
bool GoodLine(const std::string& line) {
  if (line.empty() || line.compare(0, 7, "# HELP ") == 0 || line.compare(0, 7, "# TYPE ") == 0) return true;
  if (line[0] == '#') return true;
  const auto name_char = [](char c, bool first) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' || (!first && c >= '0' && c <= '9'); };
  size_t i = 0;
  while (i < line.size() && name_char(line[i], i == 0)) i++;
  if (i == 0) return false;
  if (i < line.size() && line[i] == '{') {
    bool text = false;
    for (i++; i < line.size() && (text || line[i] != '}'); i++) {
      if (line[i] == '\\' && text) i++;
      else if (line[i] == '"') text = !text;
    }
    if (i >= line.size()) return false;
    i++;
  }
  if (i >= line.size() || line[i] != ' ') return false;
  char* end;
  strtod(line.c_str() + i + 1, &end);
  return end != line.c_str() + i + 1 && (*end == '\0' || *end == ' ');
}

}  // namespace

PROBE_CHECK(P05) {
  const sixcall_api* api = Load();
  Require(api, SIXCALL_CAP_LIST, "LIST");
  Session s(api);
  std::map<std::string, uint64_t> want;
  for (int i = 0; i < 150; i++) {
    const std::string key = Key("list/%d", i), value = Content(key, 0, 10 + static_cast<uint64_t>(i));
    s.Set(key, value);
    want[key] = value.size();
  }
  const auto list = [&](uint64_t cap, bool write) {
    std::map<std::string, uint64_t> got;
    std::string cursor;
    std::map<std::string, int> cursors;
    uint64_t room = cap;
    for (int page = 0; page < 1000000; page++) {
      Spec spec;
      spec.op = SIXCALL_OP_LIST;
      spec.page_cap = room;
      spec.cursor = cursor;
      if (write) s.Set(Key("list/new/%d", page % 50), "new");
      const Result r = s.Run(spec);
      if (r.rc == SIXCALL_E_NOSPACE && room < (1 << 20)) {
        room *= 2;  // a key of others may be longer than the buffer
        continue;
      }
      if (r.rc != 0) Fail("a listing ended with rc %s: %s", CodeText(r.rc).c_str(), r.err_text.c_str());
      for (const ListedKey& k : r.listed) got[k.key] = k.len;
      if (r.last_page) return got;
      if (r.cursor.empty()) Fail("a page that is not the last has an empty cursor");
      if (++cursors[r.cursor] > 20) Fail("a listing makes no progress: it has returned the same cursor 20 times and does not end");
      if (page > 300000) Fail("a listing does not end after 300000 pages");
      cursor = r.cursor;
    }
    return got;
  };
  size_t all = 0;
  for (const uint64_t cap : {uint64_t{1} << 20, uint64_t{4096}, uint64_t{200}}) {
    if (all > 20000 || (all > 2000 && cap < 4096)) {
      Note("not listed with a buffer of %llu bytes: the storage holds %zu keys", static_cast<unsigned long long>(cap), all);
      break;
    }
    const auto got = list(cap, cap == 4096);
    all = got.size();
    for (const auto& w : want) {
      const auto g = got.find(w.first);
      if (g == got.end()) Fail("a listing with a buffer of %llu bytes misses a key that was stored before it began", static_cast<unsigned long long>(cap));
      if (g->second != w.second && g->second != SIXCALL_LEN_UNKNOWN) {
        Fail("a listing says that a value has %llu bytes, want %llu", static_cast<unsigned long long>(g->second), static_cast<unsigned long long>(w.second));
      }
    }
  }
  Spec tiny;
  tiny.op = SIXCALL_OP_LIST;
  tiny.page_cap = 8;
  const Result r = s.Run(tiny);
  if (r.rc != SIXCALL_E_NOSPACE) Fail("a listing into 8 bytes ended with rc %s, want SIXCALL_E_NOSPACE", CodeText(r.rc).c_str());
  if (HasCap(api, SIXCALL_CAP_DELETE)) {
    const std::string gone = want.begin()->first;
    s.Run(Spec::Delete({gone}));
    if (list(1 << 20, false).count(gone) != 0) Fail("a listing holds a key that was deleted before it began");
  }
}

PROBE_CHECK(P06) {
  const sixcall_api* api = Load();
  const bool usage = HasCap(api, SIXCALL_CAP_USAGE), stats = HasCap(api, SIXCALL_CAP_STATS_TEXT);
  if (!usage && !stats) Skip("the library declares neither USAGE nor STATS_TEXT");
  Session s(api);
  Exercise(s, "stats", 3);
  uint64_t fastest = UINT64_MAX;
  if (usage) {
    for (int i = 0; i < 20; i++) {
      Guarded memory(sizeof(sixcall_usage), Edge::kEnd, "the usage struct", 8);
      auto* out = reinterpret_cast<sixcall_usage*>(memory.data());
      out->struct_size = sizeof(*out);
      const uint64_t before = NowNs();
      const int32_t rc = api->usage(s.conn(), out);
      fastest = std::min(fastest, NowNs() - before);
      if (rc != 0) Fail("usage returned %s", CodeText(rc).c_str());
      if (out->bytes_capacity != UINT64_MAX && out->bytes_capacity != 0 && out->bytes_used != UINT64_MAX && out->bytes_used > out->bytes_capacity) {
        Warn("usage says %llu bytes used of %llu", static_cast<unsigned long long>(out->bytes_used), static_cast<unsigned long long>(out->bytes_capacity));
      }
    }
    Figure("usage_us", static_cast<double>(fastest) / 1000);
    if (fastest > 1000000) Fail("usage took %llu us at best, want less than 1000", static_cast<unsigned long long>(fastest / 1000));
  }
  if (!stats) return;
  At("stats_text with out NULL and cap 0");
  const int64_t full = api->stats_text(s.conn(), nullptr, 0);
  if (full < 0) Fail("stats_text(NULL, 0) returned %s, want the length", CodeText(full).c_str());
  fastest = UINT64_MAX;
  std::string text;
  for (int i = 0; i < 10; i++) {
    const size_t cap = static_cast<size_t>(full) + 4096;
    Guarded memory(cap, Edge::kEnd, "the stats buffer");
    const uint64_t before = NowNs();
    const int64_t n = api->stats_text(s.conn(), reinterpret_cast<char*>(memory.data()), cap);
    fastest = std::min(fastest, NowNs() - before);
    if (n < 0) Fail("stats_text returned %s", CodeText(n).c_str());
    text.assign(reinterpret_cast<char*>(memory.data()), std::min(cap, static_cast<size_t>(n)));
    if (n > full + 64 + full / 4) Fail("stats_text(NULL, 0) returned %lld, with room it returned %lld; want the full length whatever cap is", static_cast<long long>(full), static_cast<long long>(n));
  }
  if (full > 4) {
    Guarded small(3, Edge::kEnd, "the stats buffer of 3 bytes");
    const int64_t n = api->stats_text(s.conn(), reinterpret_cast<char*>(small.data()), 3);
    if (n <= 3) Fail("stats_text with a cap of 3 returned %lld, want the full length", static_cast<long long>(n));
  }
  Figure("stats_us", static_cast<double>(fastest) / 1000);
  if (fastest > 1000000) Fail("stats_text took %llu us at best, want less than 1000", static_cast<unsigned long long>(fastest / 1000));
  if (!IsUtf8(text.data(), text.size()) || text.find('\0') != std::string::npos) Fail("stats_text is not UTF-8 or holds a NUL");
  if (!text.empty() && text.back() != '\n') Fail("stats_text does not end with a newline");
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    const std::string line = text.substr(at, end - at);
    if (!GoodLine(line)) Fail("stats_text has a line that is no Prometheus text: %s", Show(line, 100).c_str());
    at = end == std::string::npos ? text.size() : end + 1;
  }
}

PROBE_CHECK(P07) {
  const sixcall_api* api = Load();
  Require(api, SIXCALL_CAP_EXTENSIONS, "EXTENSIONS");
  Session s(api);
  std::vector<std::string> ids = {"", " ", "sixcall.no-such-extension/1", "x", std::string(5000, 'e')};
  for (const char* known : {"sixcall.example/1"}) {
    for (const std::string& id : {std::string(known) + "0", std::string(known) + " ", std::string(known).substr(0, strlen(known) - 1), "x" + std::string(known)}) ids.push_back(id);
  }
  for (const std::string& id : ids) {
    Guarded memory(id.size() + 1, Edge::kEnd, "the extension id");
    memcpy(memory.data(), id.c_str(), id.size() + 1);
    memory.Protect(PROT_READ, ", which is read-only for the connector");
    if (api->get_extension(s.conn(), reinterpret_cast<const char*>(memory.data())) != nullptr) Fail("get_extension(%s) returned a table, want NULL", Show(id).c_str());
  }
}

}  // namespace probe
