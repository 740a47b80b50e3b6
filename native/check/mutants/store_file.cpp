// SPDX-License-Identifier: Apache-2.0
//
// A file per value: a header with the key's and value's lengths and a checksum, the
// key, the value. Written aside and renamed.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <set>
#include <vector>

#include "mutant.h"
#include "store.h"

namespace mutant {
namespace {

struct Header {
  uint64_t magic, key_len, value_len, sum;
};
constexpr uint64_t kMagic = 0x3145554C41565836;

bool ReadAll(int fd, void* to, size_t n) {
  auto* p = static_cast<char*>(to);
  while (n > 0) {
    const ssize_t got = read(fd, p, n);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    p += got;
    n -= static_cast<size_t>(got);
  }
  return true;
}

bool WriteAll(int fd, const void* from, size_t n) {
  const auto* p = static_cast<const char*>(from);
  if (Is("write_unchecked")) {
    const ssize_t got = write(fd, p, n);
    static_cast<void>(got);
    return true;
  }
  while (n > 0) {
    const ssize_t got = write(fd, p, n);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    p += got;
    n -= static_cast<size_t>(got);
  }
  return true;
}

uint64_t Sum(const std::string& key, const uint8_t* value, uint64_t len) {
  return Hash(std::string(reinterpret_cast<const char*>(value), len), Hash(key) + len);
}

class FileStore final : public Store {
 public:
  explicit FileStore(std::string folder) : folder_(std::move(folder)) {}

  uint8_t Get(const std::string& key, uint8_t* buf, uint64_t len, uint64_t* stored) override {
    Header h;
    const int fd = Open(key, &h);
    if (fd < 0) return fd == -2 ? SIXCALL_STATUS_ERROR : SIXCALL_STATUS_MISS;
    *stored = h.value_len;
    uint8_t status = SIXCALL_STATUS_HIT;
    if (h.value_len != len) {
      status = SIXCALL_STATUS_SIZE;
    } else if (!ReadAll(fd, buf, len)) {
      status = Is("torn_write") ? SIXCALL_STATUS_HIT : SIXCALL_STATUS_CORRUPT;
    } else if (!Is("torn_write") && !Is("write_unchecked") && h.sum != Sum(key, buf, len)) {
      status = SIXCALL_STATUS_CORRUPT;
    }
    close(fd);
    return status;
  }

  uint8_t Set(const std::string& key, const uint8_t* value, uint64_t len) override {
    static std::atomic<uint64_t> number{0};
    const std::string path = Path(key);
    const std::string aside = Is("torn_write") ? path : folder_ + "/.tmp-" + std::to_string(getpid()) + "-" + std::to_string(reinterpret_cast<uintptr_t>(this)) + "-" + std::to_string(number.fetch_add(1));
    const int fd = open(aside.c_str(), O_WRONLY | O_CREAT | (Is("torn_write") ? 0 : O_EXCL | O_TRUNC) | O_CLOEXEC, 0600);
    if (fd < 0) {
      if (Is("errno_crash")) return static_cast<uint8_t>(*reinterpret_cast<volatile const char*>(uintptr_t{16}));
      return SIXCALL_STATUS_ERROR;
    }
    const Header h = {kMagic, key.size(), len, Sum(key, value, len)};
    bool sent = true;
    if (Is("sends_uninitialised")) {
      char* room = static_cast<char*>(malloc(64));
      sent = pwrite(fd, room, 64, 1 << 20) == 64;  // what malloc left there
      free(room);
    }
    bool ok = sent && WriteAll(fd, &h, sizeof(h)) && WriteAll(fd, key.data(), key.size());
    for (uint64_t at = 0; ok && at < len; at += 4096) {
      ok = WriteAll(fd, value + at, std::min<uint64_t>(4096, len - at));
      if (Is("torn_write")) usleep(200);
    }
    const bool full = !ok && (errno == ENOSPC || errno == EFBIG || errno == EDQUOT);
    if (close(fd) != 0) ok = false;
    if (ok && aside != path) ok = rename(aside.c_str(), path.c_str()) == 0;
    if (!ok && aside != path) unlink(aside.c_str());
    if (ok) {
      std::lock_guard<std::mutex> lock(mu_);
      missed_.erase(key);
    }
    return ok ? SIXCALL_STATUS_HIT : full ? SIXCALL_STATUS_REFUSED : SIXCALL_STATUS_ERROR;
  }

  uint8_t Exists(const std::string& key, uint64_t* stored) override {
    if (Is("ryw_stale")) {  // remembers misses, and other handles do not tell
      std::lock_guard<std::mutex> lock(mu_);
      if (missed_.count(key) != 0) return SIXCALL_STATUS_MISS;
    }
    Header h;
    const int fd = Open(key, &h);
    if (fd < 0) {
      std::lock_guard<std::mutex> lock(mu_);
      if (fd == -1 && Is("ryw_stale")) missed_.insert(key);
      return fd == -2 ? SIXCALL_STATUS_ERROR : SIXCALL_STATUS_MISS;
    }
    close(fd);
    *stored = h.value_len;
    return SIXCALL_STATUS_HIT;
  }

  uint8_t Delete(const std::string& key) override {
    if (unlink(Path(key).c_str()) == 0) return SIXCALL_STATUS_HIT;
    return errno == ENOENT ? SIXCALL_STATUS_MISS : SIXCALL_STATUS_ERROR;
  }

  int32_t List(sixcall_page* page) override {
    const std::string from(reinterpret_cast<const char*>(page->cursor), page->cursor_len);
    page->n = 0;
    page->used = 0;
    page->flags = 0;
    for (const std::string& name : Names()) {
      if (name < from) continue;
      const int fd = open((folder_ + "/" + name).c_str(), O_RDONLY | O_CLOEXEC);
      if (fd < 0) continue;
      Header h;
      std::string key;
      bool ok = ReadAll(fd, &h, sizeof(h)) && h.magic == kMagic && h.key_len <= 4096;
      if (ok) key.resize(h.key_len);
      ok = ok && ReadAll(fd, &key[0], key.size());
      close(fd);
      if (!ok || AddEntry(page, key, h.value_len)) continue;
      if (page->n == 0) return SIXCALL_E_NOSPACE;
      memcpy(page->cursor, name.data(), name.size());
      page->cursor_len = static_cast<uint32_t>(name.size());
      return 0;
    }
    page->flags = SIXCALL_PAGE_LAST;
    return 0;
  }

  uint64_t keys() override { return UINT64_MAX; }

 private:
  std::string Path(const std::string& key) const {
    if (Is("key_path")) return folder_ + "/" + key.substr(0, key.find('\0'));
    char name[64];
    snprintf(name, sizeof(name), "/%016llx%016llx", static_cast<unsigned long long>(Hash(key)), static_cast<unsigned long long>(Hash(key, 0x5555)));
    return folder_ + name;
  }

  std::set<std::string> Names() const {
    std::set<std::string> names;
    DIR* dir = opendir(folder_.c_str());
    if (dir == nullptr) return names;
    while (dirent* entry = readdir(dir)) {
      if (entry->d_name[0] != '.') names.insert(entry->d_name);
    }
    closedir(dir);
    return names;
  }

  /// -1: absent, -2: cannot tell.
  int Open(const std::string& key, Header* h) const {
    const int fd = open(Path(key).c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
      if (Is("errno_miss")) return -1;
      return errno == ENOENT || errno == ENAMETOOLONG ? -1 : -2;
    }
    std::string found;
    bool ok = ReadAll(fd, h, sizeof(*h)) && h->magic == kMagic && h->key_len == key.size();
    if (ok) found.resize(h->key_len);
    ok = ok && ReadAll(fd, &found[0], found.size());
    if (ok && found == key) return fd;
    close(fd);
    return -2;
  }

  std::string folder_;
  std::mutex mu_;  // guards missed_
  std::set<std::string> missed_;
};

}  // namespace

std::unique_ptr<Store> MakeFileStore(const Config& config, std::string* error) {
  std::string folder = config.base_path + "/ns-";
  for (const char c : config.name_space) {
    char hex[3];
    snprintf(hex, sizeof(hex), "%02x", static_cast<unsigned char>(c));
    folder += hex;
  }
  if (Is("forgets")) folder += "-" + std::to_string(getpid()) + "-" + std::to_string(reinterpret_cast<uintptr_t>(&config));
  static std::atomic<int> opened{0};
  if (Is("forgets")) folder += "-" + std::to_string(opened.fetch_add(1));
  for (size_t at = 1; at != std::string::npos; at = folder.find('/', at + 1)) mkdir(folder.substr(0, folder.find('/', at + 1)).c_str(), 0700);
  struct stat st;
  if (stat(folder.c_str(), &st) != 0 || !S_ISDIR(st.st_mode)) {
    *error = "cannot make the folder " + folder + ": " + strerror(errno);
    return nullptr;
  }
  return std::make_unique<FileStore>(folder);
}

}  // namespace mutant
