// SPDX-License-Identifier: Apache-2.0
//
// B: keys. Any bytes are a key; no key is a path; no two keys are one.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

#include "process.h"
#include "session.h"

namespace probe {
namespace {

std::set<std::string> Entries(const std::string& folder) {
  std::set<std::string> names;
  DIR* dir = opendir(folder.c_str());
  if (dir == nullptr) return names;
  while (dirent* entry = readdir(dir)) names.insert(entry->d_name);
  closedir(dir);
  return names;
}

void WriteFile(const std::string& path, const std::string& text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) ToolError("cannot write %s", path.c_str());
  close(fd);
}

}  // namespace

PROBE_CHECK(B07) {
  Session s(Load());
  const uint32_t longest = s.KeyLen(1000);
  std::vector<std::string> keys;
  for (int byte = 0; byte < 256; byte++) {
    keys.push_back(Key("byte/") + static_cast<char>(byte));
    if (byte % 16 == 0) keys.push_back(Key("byte/") + static_cast<char>(byte) + "tail");
  }
  const std::string p = Nonce();
  for (const std::string& key : {p + std::string("\0a", 2), p + std::string("\0b", 2), p + "/", p + "//", p + "/.", p + "/..", p + "/../x", p + "%2e", p + "%2E", p + ".",
                                 p + "%00", p + " ", p + "  ", p + "\n", p + "\r\n", p + "\xff\xff", p + "\xc3\xa9", p + "e\xcc\x81", p + "\\", p + "*", p + "?x[a]",
                                 p + "{a}", p + "$HOME", p + ";", p + "'\"", p + "UPPER", p + "upper", p + "@", p + "#", p + "a\tb"}) {
    keys.push_back(key);
  }
  std::string full = Key("full/");
  full.resize(longest, 'z');
  keys.push_back(full);
  std::string other = full;
  other.back() = 'y';
  keys.push_back(other);  // differs in the last byte of the longest key only
  full.pop_back();
  keys.push_back(full);
  for (size_t from = 0; from < keys.size(); from += 64) {
    const size_t n = std::min<size_t>(64, keys.size() - from);
    std::vector<std::string> part(keys.begin() + static_cast<long>(from), keys.begin() + static_cast<long>(from + n)), values;
    for (size_t i = 0; i < n; i++) values.push_back(Content(part[i], 5, 40));
    const Result r = s.Run(Spec::Set(part, values));
    for (size_t i = 0; i < n; i++) {
      if (r.status[i] != SIXCALL_STATUS_HIT) Fail("SET of the key %s has status %u, want HIT: %s", Show(part[i]).c_str(), r.status[i], r.err_text.c_str());
    }
  }
  for (const std::string& key : keys) s.ExpectValue(key, Content(key, 5, 40));
  s.ExpectMiss(p + "/byte/", 40);
  s.ExpectMiss(p, 40);
}

PROBE_CHECK(B08) {
  // A folder that no key may reach, with a file that no key may read, named by
  // absolute paths and by ways up from anywhere.
  const std::string trap = In("tmp", "/tmp") + "/trap";
  const std::string text = "this file belongs to the host";
  if (mkdir(trap.c_str(), 0700) != 0 && errno != EEXIST) ToolError("cannot make %s", trap.c_str());
  WriteFile(trap + "/secret", text);
  char cwd[4096];
  if (getcwd(cwd, sizeof(cwd)) == nullptr) ToolError("getcwd: %s", strerror(errno));
  std::vector<std::string> folders = All("watch");  // folders that the configuration names, and their parents
  folders.push_back(cwd);
  Session s(Load());
  std::map<std::string, std::set<std::string>> before;
  for (const auto& f : folders) before[f] = Entries(f);
  std::string up;
  for (int i = 0; i < 24; i++) up += "../";
  const std::string n = Nonce();
  std::vector<std::string> keys = {trap + "/absolute" + n, up + trap.substr(1) + "/up" + n, "x/" + up + trap.substr(1) + "/xup" + n, "./" + trap + "/dot" + n,
                                   "../" + n, "../../" + n, "..", ".", "../", "../../../../../../../../" + n, "/" + n, "//" + n, "~/" + n, "a/../../" + n,
                                   "file://" + trap + "/url" + n, trap + "/nul" + n + std::string("\0.x", 3)};
  std::vector<std::string> values;
  for (auto& key : keys) {
    if (key.size() > s.KeyLen(4096)) key.resize(s.KeyLen(4096));
    values.push_back(Content(key + n, 0, 33));
  }
  for (size_t i = 0; i < keys.size(); i++) {
    const Result r = s.Run(Spec::Set({keys[i]}, {values[i]}));
    if (r.status[0] != SIXCALL_STATUS_HIT) Fail("SET of the key %s has status %u, want HIT: any bytes are a key: %s", Show(keys[i], 200).c_str(), r.status[0], r.err_text.c_str());
  }
  std::set<std::string> in_trap = Entries(trap);
  in_trap.erase(".");
  in_trap.erase("..");
  in_trap.erase("secret");
  if (!in_trap.empty()) Fail("a SET with a path as its key wrote the file %s/%s, outside of the connector's storage", trap.c_str(), in_trap.begin()->c_str());
  for (size_t i = 0; i < keys.size(); i++) {
    s.ExpectValue(keys[i], values[i]);
    for (size_t k = i + 1; k < keys.size(); k++) {
      if (keys[i] == keys[k]) ToolError("two keys are equal");
    }
  }
  for (const std::string& key : {trap + "/secret", up + trap.substr(1) + "/secret", "x/" + up + trap.substr(1) + "/secret"}) {
    if (key.size() > s.KeyLen(4096)) continue;
    std::string got;
    if (s.Exists(key) != SIXCALL_STATUS_MISS) Fail("EXISTS with a path as its key finds the host's file %s", key.c_str());
    if (s.Get(key, text.size(), &got) != SIXCALL_STATUS_MISS) Fail("GET with a path as its key reads the host's file %s", key.c_str());
    if (HasCap(s.api(), SIXCALL_CAP_DELETE)) s.Run(Spec::Delete({key}));
  }
  if (ReadFile(trap + "/secret") != text) Fail("a key that is a path changed or removed the host's file %s/secret", trap.c_str());
  for (const auto& f : folders) {
    for (const std::string& name : Entries(f)) {
      if (before[f].count(name) == 0 && name.find(n) != std::string::npos) Fail("a SET with a path as its key made %s/%s", f.c_str(), name.c_str());
    }
  }
  if (HasCap(s.api(), SIXCALL_CAP_DELETE)) s.Run(Spec::Delete(keys));
}

PROBE_CHECK(B09) {
  Session s(Load());
  const uint32_t batch = s.Batch(500);
  const Deadline end(EffortMs() * 5);
  std::vector<std::string> keys;
  // Near-equal: one character, one bit, one length, one case apart.
  const auto make = [&](uint32_t i) {
    const std::string base = Key("near/");
    switch (i % 5) {
      case 0: return base + Format("%u", i / 5);
      case 1: return base + Format("%06u", i / 5);
      case 2: return base + Format("%x", i / 5) + "A";
      case 3: return base + Format("%x", i / 5) + "a";
      default: {
        std::string k = base + "....";
        const uint32_t v = i / 5;
        memcpy(&k[k.size() - 4], &v, 4);
        return k;
      }
    }
  };
  std::set<std::string> seen;
  uint32_t stored = 0;
  std::vector<std::string> all;
  for (uint32_t i = 0; stored < 100000 && !end.passed();) {
    std::vector<std::string> part, values;
    while (part.size() < batch) {
      const std::string key = make(i++);
      if (!seen.insert(key).second) continue;
      part.push_back(key);
      values.push_back(Content(key, 9, 16));
    }
    const Result r = s.Run(Spec::Set(part, values));
    if (r.n_ok != part.size()) Fail("SET of %zu keys stored %u: %s", part.size(), r.n_ok, r.err_text.c_str());
    all.insert(all.end(), part.begin(), part.end());
    stored += static_cast<uint32_t>(part.size());
  }
  for (size_t from = 0; from < all.size(); from += batch) {
    const size_t n = std::min<size_t>(batch, all.size() - from);
    const std::vector<std::string> part(all.begin() + static_cast<long>(from), all.begin() + static_cast<long>(from + n));
    const Result r = s.Run(Spec::Get(part, std::vector<uint64_t>(n, 16)));
    for (size_t i = 0; i < n; i++) {
      if (r.status[i] != SIXCALL_STATUS_HIT) Fail("the key %s is gone after %u others were stored (status %u)", Show(part[i]).c_str(), stored, r.status[i]);
      if (r.values[i] != Content(part[i], 9, 16)) Fail("the key %s has the value of another key", Show(part[i], 80).c_str());
    }
  }
  Figure("keys", stored);
  if (HasCap(s.api(), SIXCALL_CAP_DELETE)) {
    for (size_t from = 0; from < all.size(); from += batch) {
      s.Run(Spec::Delete(std::vector<std::string>(all.begin() + static_cast<long>(from), all.begin() + static_cast<long>(std::min<size_t>(from + batch, all.size())))));
    }
  }
}

}  // namespace probe
