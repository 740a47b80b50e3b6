// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_NIXL_TEST_NIXL_H
#define SIXCALL_NIXL_TEST_NIXL_H

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "fake_nixl.h"
#include "harness/connection.h"
#include "harness/threads.h"

namespace sixcall_test {

using Status = std::vector<uint8_t>;
constexpr uint8_t kMiss = SIXCALL_STATUS_MISS;
constexpr uint8_t kHit = SIXCALL_STATUS_HIT;
constexpr uint8_t kError = SIXCALL_STATUS_ERROR;
constexpr uint8_t kSize = SIXCALL_STATUS_SIZE;
constexpr uint8_t kCancelled = SIXCALL_STATUS_CANCELLED;
constexpr uint8_t kTimeout = SIXCALL_STATUS_TIMEOUT;

// The library under test, loaded once.
inline const sixcall_api *Nixl() {
  static const sixcall_api *api = LoadLibrary(SIXCALL_TEST_NIXL);
  return api;
}

// A folder that goes with the test.
class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "sixcall-nixl-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = name;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string path(const std::string &below = "") const { return (path_ / below).string(); }
  // The names of the values in the folder itself.
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto &entry : std::filesystem::directory_iterator(path_)) {
      if (entry.path().filename() != ".sixcall-tmp") names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  // The files that are being written, of all connections.
  size_t Unfinished() const {
    size_t n = 0;
    if (!std::filesystem::exists(path_ / ".sixcall-tmp")) return 0;
    for (const auto &entry : std::filesystem::recursive_directory_iterator(path_ / ".sixcall-tmp")) {
      n += entry.is_regular_file() && entry.path().filename() != "lock";
    }
    return n;
  }
  void Write(const std::string &name, const std::string &bytes) const { std::ofstream(path_ / name, std::ios::binary) << bytes; }
  std::string Read(const std::string &name) const {
    std::ifstream in(path_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

 private:
  std::filesystem::path path_;
};

// The fake NIXL, as it is when nothing was scripted. At the end it must not have
// seen a broken rule, and nothing may be left that the test did not expect.
class Fake {
 public:
  Fake() {
    void *library = dlopen(SIXCALL_TEST_FAKE, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) throw std::runtime_error(dlerror());
    const auto find = [&](auto &fn, const char *name) { fn = reinterpret_cast<std::decay_t<decltype(fn)>>(dlsym(library, name)); };
    find(reset_, "fake_reset");
    find(set_, "fake_set");
    find(get_, "fake_get");
    find(let_go_, "fake_let_go");
    find(kill_, "fake_kill");
    find(put_, "fake_put");
    find(size_, "fake_size");
    reset_();
    before_ = Counts();
  }
  ~Fake() {
    EXPECT_STREQ(Counts().violation, "");
    if (leaves_) return;
    const fake_counts now = Counts();
    EXPECT_EQ(now.agents, before_.agents);
    EXPECT_EQ(now.backends, before_.backends);
    EXPECT_EQ(now.requests, before_.requests);
    EXPECT_EQ(now.lists, before_.lists);
    EXPECT_EQ(now.registrations, before_.registrations);
  }
  void Script(const fake_script &script) { set_(&script); }
  fake_counts Counts() const {
    fake_counts counts;
    get_(&counts);
    return counts;
  }
  // Agents that were made since the test began.
  long Agents() const { return Counts().agents - before_.agents; }
  long Registrations() const { return Counts().registrations - before_.registrations; }
  void LetGo() { let_go_(); }
  void Kill() { kill_(); }
  void Put(const std::string &name, const std::string &bytes) { put_(name.c_str(), bytes.data(), bytes.size()); }
  long Size(const std::string &name) { return size_(name.c_str()); }
  // The test leaves a stuck connection behind.
  void LeavesSomething() { leaves_ = true; }

 private:
  fake_reset_fn reset_;
  fake_set_fn set_;
  fake_get_fn get_;
  fake_let_go_fn let_go_;
  fake_kill_fn kill_;
  fake_put_fn put_;
  fake_size_fn size_;
  fake_counts before_;
  bool leaves_ = false;
};

inline OpenOptions Options(const std::string &members) {
  OpenOptions options;
  options.config = "{\"library\":\"" SIXCALL_TEST_FAKE "\"" + members + "}";
  return options;
}
inline OpenOptions FileOptions(const TempFolder &folder, const std::string &members = "") {
  return Options(",\"base_path\":\"" + folder.path() + "\"" + members);
}
inline OpenOptions ObjectOptions(const std::string &members = "") { return Options(",\"backend\":\"OBJ\",\"backend_params\":{\"bucket\":\"b\"}" + members); }

// Bytes that differ at every place and for every seed.
inline std::string Pattern(size_t size, unsigned seed) {
  std::string bytes(size, '\0');
  std::minstd_rand random(seed + 1);
  for (char &byte : bytes) byte = static_cast<char>(random() >> 8);
  return bytes;
}

// One counter of stats_text.
inline uint64_t Stat(Connection &connection, const std::string &name) {
  std::vector<char> text(1 << 16);
  const int64_t n = connection.api().stats_text(connection.handle(), text.data(), text.size());
  const std::string all(text.data(), static_cast<size_t>(n));
  const size_t at = all.find("\n" + name + " ");
  if (at == std::string::npos) throw std::runtime_error("no counter " + name);
  return std::stoull(all.substr(at + name.size() + 2));
}

}  // namespace sixcall_test

#endif  // SIXCALL_NIXL_TEST_NIXL_H
