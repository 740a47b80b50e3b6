// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_FS_TEST_FS_H
#define SIXCALL_FS_TEST_FS_H

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "harness/connection.h"

namespace sixcall_test {

// The library under test, loaded once.
inline const sixcall_api *Fs() {
  static const sixcall_api *api = LoadLibrary(SIXCALL_TEST_FS);
  return api;
}

// A folder of its own that is gone with the object.
class TempFolder {
 public:
  // Below parent, else below $TMPDIR or /tmp.
  explicit TempFolder(const std::string &parent = "") {
    namespace stdfs = std::filesystem;
    const stdfs::path at = stdfs::canonical(parent.empty() ? stdfs::temp_directory_path() : stdfs::path(parent));
    std::string name = (at / "sixcall-fs-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp " + name);
    path_ = name;
  }
  TempFolder(const TempFolder &) = delete;
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::string &path() const { return path_; }
  std::string operator/(const std::string &name) const { return path_ + "/" + name; }

  // Names in the folder, sorted.
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto &entry : std::filesystem::directory_iterator(path_)) names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }
  // Those of them that are neither values nor folders.
  std::vector<std::string> Leftovers() const {
    std::vector<std::string> names;
    for (const auto &entry : std::filesystem::recursive_directory_iterator(path_)) {
      const std::string name = entry.path().filename().string();
      const bool value = name.size() > 5 && name.substr(name.size() - 5) == ".data";
      if (!value && !entry.is_directory()) names.push_back(name);
    }
    return names;
  }

 private:
  std::string path_;
};

// A configuration for base_path with more members, such as R"("workers":2)".
inline OpenOptions FsOptions(const std::string &base_path, const std::string &more = "") {
  OpenOptions options;
  options.config = R"({"base_path":")" + base_path + "\"" + (more.empty() ? "" : "," + more) + "}";
  return options;
}

inline sixcall_usage UsageOf(const Connection &connection) {
  sixcall_usage usage = {};
  usage.struct_size = sizeof(usage);
  EXPECT_EQ(Fs()->usage(connection.handle(), &usage), SIXCALL_OK);
  return usage;
}

// The value of a counter in stats_text, such as `sixcall_fs_replaced_total`; -1 = it is not there.
inline int64_t Stat(const Connection &connection, const std::string &name) {
  std::string text(static_cast<size_t>(Fs()->stats_text(connection.handle(), nullptr, 0)) + 256, '\0');
  text.resize(static_cast<size_t>(Fs()->stats_text(connection.handle(), text.data(), text.size())));
  const size_t at = ("\n" + text).find("\n" + name + " ");
  return at == std::string::npos ? -1 : std::stoll(text.substr(at + name.size() + 1));
}

// Every page of a listing, from the start to the last.
inline std::vector<ListedKey> ListAll(Connection &connection, uint64_t page_cap) {
  std::vector<ListedKey> all;
  std::string cursor;
  for (int pages = 0; pages < 100000; ++pages) {
    const Result page = connection.Run(Request::List(page_cap, cursor));
    if (page.rc != SIXCALL_OK) throw std::runtime_error("list: " + page.err_text);
    all.insert(all.end(), page.listed.begin(), page.listed.end());
    if (page.last_page) return all;
    cursor = page.cursor;
  }
  throw std::runtime_error("a listing without an end");
}

inline std::string ReadFile(const std::string &path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("no file " + path);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

inline void WriteFile(const std::string &path, const std::string &content) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << content;
  if (!out.flush()) throw std::runtime_error("cannot write " + path);
}

// len bytes that tell seed.
inline std::string Pattern(uint64_t seed, size_t len) {
  std::string out(len, '\0');
  uint64_t x = seed * 0x9E3779B97F4A7C15u + 1;
  for (char &c : out) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    c = static_cast<char>(x >> 56);
  }
  return out;
}

// A key in LMCache's form.
inline std::string L2Key(uint64_t i, const std::string &model = "meta/llama") {
  char hash[17];
  std::snprintf(hash, sizeof(hash), "%016lx", static_cast<unsigned long>(i));
  return model + "@01000100@0@" + hash;
}
inline std::string L2Name(uint64_t i, const std::string &safe_model = "meta-SEP-llama") {
  char hash[17];
  std::snprintf(hash, sizeof(hash), "%016lx", static_cast<unsigned long>(i));
  return safe_model + "@0x01000100@0@" + hash + ".data";
}

using Statuses = std::vector<uint8_t>;
constexpr uint8_t kMiss = SIXCALL_STATUS_MISS;
constexpr uint8_t kHit = SIXCALL_STATUS_HIT;
constexpr uint8_t kError = SIXCALL_STATUS_ERROR;
constexpr uint8_t kSize = SIXCALL_STATUS_SIZE;
constexpr uint8_t kRefused = SIXCALL_STATUS_REFUSED;

// The ways to move values that every test of values runs over.
inline std::vector<std::string> Flavours() {
  return {R"("engine":"threads")",
          R"("engine":"io_uring","queue_depth":3)",
          R"("o_direct":true)",
          R"("o_direct":true,"engine":"threads")",
          R"("temp_files":"named","tmp_dir":"tmp/deep")",
          R"("shards":7,"fsync":"full")",
          R"("fsync":"file","engine":"io_uring","temp_files":"named","inflight_bytes":65536)",
          R"("read_ahead_bytes":1000,"workers":1)"};
}

}  // namespace sixcall_test

#endif  // SIXCALL_FS_TEST_FS_H
