// SPDX-License-Identifier: Apache-2.0
//
// O: open, configuration, limits.
#include <cstring>

#include "process.h"
#include "session.h"

namespace probe {
namespace {

/// Opens with a configuration that has to be refused; fails the check if it is not.
OpenError MustRefuse(const sixcall_api* api, const std::string& config, const std::string& what) {
  OpenOptions options;
  options.config = config;
  options.what = " with " + what;
  OpenError error;
  if (Session::TryOpen(api, options, &error) != nullptr) Fail("open accepted a configuration with %s", what.c_str());
  return error;
}

}  // namespace

PROBE_CHECK(O01) {
  Session s(Load());
  if (PROBE_SLOT(s.api(), limits) != nullptr) {
    const sixcall_limits& l = s.limits();
    Note("limits: batch %u, key %u bytes, value %llu bytes, align %u, in flight %u", l.max_batch, l.max_key_len,
         static_cast<unsigned long long>(l.max_value_len), l.buf_align, l.max_inflight);
    if (l.buf_align != 0 && (l.buf_align & (l.buf_align - 1)) != 0) Fail("limits.buf_align is %u, want a power of two", l.buf_align);
  }
  Exercise(s, "ok");
}

PROBE_CHECK(O02) {
  const sixcall_api* api = Load();
  const std::string nul("{\"a\":\"x\0y\"}", 11);
  const struct {
    const char* what;
    std::string config;
    bool must_refuse;
  } cases[] = {
      {"nothing", "", true},
      {"blanks only", "  \n\t ", true},
      {"a truncated object", "{\"a\":", true},
      {"half an object", "{", true},
      {"an array", "[]", true},
      {"a number", "17", true},
      {"null", "null", true},
      {"text behind the object", "{} {}", true},
      {"a string that does not end", "{\"a\":\"", true},
      {"a bad escape", "{\"a\":\"\\q\"}", true},
      {"a NUL inside", nul, true},
      {"invalid UTF-8", "{\"a\":\"\xff\xfe\"}", true},
      {"a huge number", "{\"workers\":1" + std::string(400, '0') + "}", true},
      // These may be accepted or refused, as long as nothing breaks.
      {"1 MB of text", "{\"x-text\":\"" + std::string(1 << 20, 'a') + "\"}", false},
      {"100000 levels of nesting", "{\"x-deep\":" + std::string(100000, '[') + std::string(100000, ']') + "}", false},
      {"100000 open brackets", std::string(100000, '['), true},
      {"10000 keys", "", false},
  };
  for (const auto& c : cases) {
    std::string config = c.config;
    if (config.empty() && !c.must_refuse) {
      config = "{\"x-0\":0";
      for (int i = 1; i < 10000; i++) config += Format(",\"x-%d\":%d", i, i);
      config += "}";
    }
    if (c.must_refuse) {
      const OpenError e = MustRefuse(api, config, c.what);
      if (e.rc != SIXCALL_E_CONFIG) Warn("a configuration with %s is refused with %s, want SIXCALL_E_CONFIG", c.what, CodeText(e.rc).c_str());
    } else {
      OpenOptions options;
      options.config = config;
      options.what = std::string(" with ") + c.what;
      OpenError error;
      Session::TryOpen(api, options, &error);
    }
  }
  Session s(api);
  Exercise(s, "after bad configurations");
}

PROBE_CHECK(O03) {
  const sixcall_api* api = Load();
  const OpenError e = MustRefuse(api, In("params_unknown_key"), "the unknown key \"" + In("unknown_key") + "\"");
  if (e.rc != SIXCALL_E_CONFIG) Fail("an unknown configuration key is refused with %s, want SIXCALL_E_CONFIG: %s", CodeText(e.rc).c_str(), e.text.c_str());
  if (e.text.find(In("unknown_key")) == std::string::npos) Fail("the error of an unknown key does not name \"%s\": %s", In("unknown_key").c_str(), e.text.c_str());
  OpenOptions options;
  options.config = In("params_x_key");
  OpenError error;
  if (Session::TryOpen(api, options, &error) == nullptr) Fail("a key that begins with \"x-\" is refused with %s: %s", CodeText(error.rc).c_str(), error.text.c_str());
}

PROBE_CHECK(O04) {
  const sixcall_api* api = Load();
  const auto configs = All("bad_value"), whats = All("bad_value_text"), keys = All("bad_value_key");
  if (configs.empty()) Skip("the schema has no property whose value could be wrong");
  for (size_t i = 0; i < configs.size(); i++) {
    const OpenError e = MustRefuse(api, configs[i], whats[i]);
    if (e.rc != SIXCALL_E_CONFIG) Fail("a configuration with %s is refused with %s, want SIXCALL_E_CONFIG: %s", whats[i].c_str(), CodeText(e.rc).c_str(), e.text.c_str());
    if (e.text.find(keys[i]) == std::string::npos) Warn("the error for %s does not name the key: %s", whats[i].c_str(), e.text.c_str());
  }
  Figure("configurations", static_cast<double>(configs.size()));
}

PROBE_CHECK(O05) {
  const sixcall_api* api = Load();
  const auto configs = All("unreachable"), whats = All("unreachable_text");
  if (configs.empty()) Skip("needs --endpoint and --endpoint-param, so that the endpoint can be replaced");
  constexpr uint32_t kTimeoutMs = 2000;
  for (size_t i = 0; i < configs.size(); i++) {
    OpenOptions options;
    options.config = configs[i];
    options.timeout_ms = kTimeoutMs;
    OpenError e;
    options.what = " with an endpoint that " + whats[i];
    for (int attempt = 0; attempt < 3 && (attempt == 0 || e.took_ms > kTimeoutMs + 500); attempt++) {  // the machine may be busy
      e = OpenError();
      if (Session::TryOpen(api, options, &e) != nullptr) Fail("open succeeded with an endpoint that %s", whats[i].c_str());
    }
    if (e.took_ms > kTimeoutMs + 500) Fail("open took %llu ms with an endpoint that %s and open_timeout_ms %u, want at most 500 ms more", static_cast<unsigned long long>(e.took_ms), whats[i].c_str(), kTimeoutMs);
    if (e.rc != SIXCALL_E_CONNECT && e.rc != SIXCALL_E_TIMEOUT) Fail("open with an endpoint that %s returned %s, want CONNECT or TIMEOUT: %s", whats[i].c_str(), CodeText(e.rc).c_str(), e.text.c_str());
    if (!e.violation.empty()) Fail("open with an endpoint that %s: %s", whats[i].c_str(), e.violation.c_str());
  }
}

PROBE_CHECK(O06) {
  const sixcall_api* api = Load();
  std::vector<std::string> configs = {In("params_unknown_key"), "["};
  for (const auto& c : All("bad_value")) configs.push_back(c);
  for (const auto& c : All("unreachable")) configs.push_back(c);
  const uint32_t rounds = 500;
  std::map<int, Thread> threads;
  std::map<int, Descriptor> fds;
  uint64_t heap = 0;
  std::vector<uint64_t> rss;  // after the 50th open and each 10th from there
  OpenOptions options;
  options.timeout_ms = 1000;
  uint32_t done = 0, measured = 0;
  const Deadline end(EffortMs() * 5);
  for (; done < rounds && !(end.passed() && done > 60); done++) {
    if (done == 50) {  // after caches and arenas have grown
      threads = Threads();
      fds = Descriptors();
      heap = HeapBytes();
    }
    if (done >= 50 && done % 10 == 0) rss.push_back(RssBytes());
    options.config = configs[done % configs.size()];
    OpenError e;
    Session::TryOpen(api, options, &e);
    measured += done >= 50;
  }
  const std::string left = LeftBehind(threads, fds, 2000);
  if (!left.empty()) Leak("%u failing opens left %s", measured, left.c_str());
  const auto grown = static_cast<int64_t>(HeapBytes()) - static_cast<int64_t>(heap);
  // An allocator's arenas grow with the first threads of each kind, and then no more: the later half counts.
  const size_t half = rss.size() / 2;
  const auto grown_rss = static_cast<int64_t>(RssBytes()) - static_cast<int64_t>(rss[half]);
  const auto late = static_cast<int64_t>(measured) - static_cast<int64_t>(half) * 10;
  Figure("heap_bytes_per_open", static_cast<double>(grown) / measured);
  // What the probe itself keeps of an open (the host struct) is about 900 bytes of heap.
  if (grown > int64_t{measured} * 2048 && grown > 256 << 10) Leak("%u failing opens left %lld bytes of heap", measured, static_cast<long long>(grown));
  if (grown_rss > late * 16384 && grown_rss > 2 << 20) Leak("%lld failing opens, after %lld others, grew the process by %lld bytes", static_cast<long long>(late), static_cast<long long>(50 + measured - late), static_cast<long long>(grown_rss));
}

PROBE_CHECK(O07) {
  const sixcall_api* api = Load();
  std::vector<std::unique_ptr<Session>> sessions;
  for (int i = 0; i < 16; i++) sessions.push_back(std::make_unique<Session>(api));
  for (int i = 0; i < 16; i++) {
    for (int k = i + 1; k < 16; k++) {
      if (sessions[i]->fd() == sessions[k]->fd()) Fail("two open handles have the same event fd %d", sessions[i]->fd());
    }
  }
  // The same ticket numbers everywhere: each handle has to end its own.
  for (int round = 0; round < 20; round++) {
    std::vector<uint64_t> tickets;
    std::vector<std::string> values;
    for (int i = 0; i < 16; i++) {
      const std::string key = Key("many/%d/%d", i, round);
      values.push_back(Content(key, 7, sessions[i]->ValueLen(500 + 10 * i)));
      tickets.push_back(sessions[i]->Submit(Spec::Set({key}, {values.back()})));
    }
    for (int i = 15; i >= 0; i--) sessions[i]->Wait(tickets[i]);
    for (int i = 0; i < 16; i++) tickets[i] = sessions[i]->Submit(Spec::Get({Key("many/%d/%d", i, round)}, {values[i].size()}));
    for (int i = 0; i < 16; i++) {
      const Result r = sessions[i]->Wait(tickets[i]);
      if (r.status[0] != SIXCALL_STATUS_HIT || r.values[0] != values[i]) Fail("handle %d of 16 does not return what it stored while the others work", i);
    }
  }
  for (int i = 0; i < 16; i += 2) sessions[i].reset();
  for (int i = 1; i < 16; i += 2) Exercise(*sessions[i], "after half of the handles were closed");
}

PROBE_CHECK(O08) {
  const sixcall_api* api = Load();
  const std::string secret = In("secret");
  std::vector<std::string> configs = {In("params_unknown_key"), "[", In("params_secret")};
  for (const auto& c : All("bad_value_secret")) configs.push_back(c);
  for (const auto& c : All("unreachable")) configs.push_back(c);
  size_t refused = 0;
  for (const std::string& config : configs) {
    OpenOptions options;
    options.config = config;
    options.timeout_ms = 1000;
    OpenError e;
    if (Session::TryOpen(api, options, &e) != nullptr) continue;
    refused++;
    if (!e.violation.empty()) Fail("a failed open (%s): %s", CodeText(e.rc).c_str(), e.violation.c_str());
    if (!secret.empty() && e.text.find(secret) != std::string::npos) Fail("the error text of open holds a secret of the configuration");
  }
  if (refused == 0) Fail("open accepted every wrong configuration; see checks O02 to O04");
}

PROBE_CHECK(O09) {
  const sixcall_api* api = Load();
  Require(api, SIXCALL_CAP_LIMITS, "LIMITS");
  Session s(api);
  const sixcall_limits l = s.limits();
  const auto refused = [&](const Spec& spec, const std::string& what) {
    uint64_t ticket = 0;
    const int32_t rc = s.TrySubmit(spec, &ticket);
    if (rc == 0) {
      s.Wait(ticket);
      Fail("%s was accepted, although limits says less", what.c_str());
    }
    if (rc != SIXCALL_E_INVAL) Fail("%s was refused with %s, want SIXCALL_E_INVAL", what.c_str(), CodeText(rc).c_str());
  };
  if (l.max_batch != 0 && l.max_batch <= (1 << 20)) {
    std::vector<std::string> keys(l.max_batch, Key("limit"));
    const Result r = s.Run(Spec::Exists(keys));
    if (r.rc != 0) Fail("EXISTS of max_batch = %u keys ended with rc %s", l.max_batch, CodeText(r.rc).c_str());
    keys.push_back(keys[0]);
    refused(Spec::Exists(keys), Format("a batch of %u keys", l.max_batch + 1));
  }
  if (l.max_key_len != 0 && l.max_key_len <= (1 << 20)) {
    if (l.max_key_len < 64) Warn("max_key_len is %u bytes; hosts have keys of 100 bytes and more", l.max_key_len);
    std::string key = Key("longest/");
    key.resize(l.max_key_len, 'k');
    s.Set(key, "value of the longest key");
    s.ExpectValue(key, "value of the longest key");
    refused(Spec::Exists({key + "k"}), Format("a key of %u bytes", l.max_key_len + 1));
  }
  refused(Spec::Exists({""}), "a key of 0 bytes");
  if (l.max_value_len != 0) {
    if (l.max_value_len <= (64 << 20)) {
      const std::string value = Content("largest", 0, l.max_value_len);
      s.Set(Key("largest"), value);
      s.ExpectValue(Key("largest"), value);
    }
    if (l.max_value_len < (1 << 30)) {
      refused(Spec::Set({Key("too large")}, {std::string(l.max_value_len + 1, 'v')}), Format("a value of %llu bytes", static_cast<unsigned long long>(l.max_value_len + 1)));
    }
  }
  sixcall_limits again = {};
  again.struct_size = sizeof(again);
  if (api->limits(s.conn(), &again) != 0 || memcmp(&again, &l, sizeof(l)) != 0) Fail("limits returned other values at the second call");
}

PROBE_CHECK(O10) {
  const sixcall_api* api = Load();
  {
    Session s(api);  // every struct of today's size, right before an inaccessible page
    Exercise(s, "today");
  }
  OpenOptions options;
  options.tail = 32;  // a later host's fields, not zero
  Session s(api, options);
  const std::string key = Key("tail"), value = Content(key, 0, s.ValueLen(777));
  Spec set = Spec::Set({key}, {value});
  set.tail = 40;
  if (s.Run(set).status[0] != SIXCALL_STATUS_HIT) Fail("a batch struct with later fields is not stored");
  Spec get = Spec::Get({key}, {value.size()});
  get.tail = 40;
  get.flags = 0x80000000u;  // unknown flags are ignored
  get.err = false;
  const Result r = s.Run(get);
  if (r.status[0] != SIXCALL_STATUS_HIT || r.values[0] != value) Fail("a batch struct with later fields and unknown flags does not return the value");
}

}  // namespace probe
