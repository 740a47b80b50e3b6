// SPDX-License-Identifier: Apache-2.0
#include "scan.h"

#include <dirent.h>
#include <fcntl.h>
#include <time.h>

#include <map>
#include <memory>

namespace fs {

namespace {

/// Where it cannot be told whether a writer lives (no lock file, or a file system
/// without locks) its temporary files go after this time; writing one takes seconds.
constexpr time_t kUnknownAge = 3600;  // s

bool IsOld(int dir, const char* name) {
  struct stat st;
  return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_mtime + kUnknownAge < time(nullptr);
}

/// The writers whose things were met, and the locks of the dead.
class Writers {
 public:
  explicit Writers(const Folder& folder) : folder_(folder) {}
  Writer::Life Look(const std::string& id) {
    const auto known = seen_.find(id);
    if (known != seen_.end()) return known->second.life;
    Seen& seen = seen_[id];
    seen.life = Writer::Look(folder_.base(), id, &seen.lock);
    return seen.life;
  }

 private:
  struct Seen {
    Writer::Life life = Writer::Life::kUnknown;
    Fd lock;  // held until all is removed
  };
  const Folder& folder_;
  std::map<std::string, Seen> seen_;
};

}  // namespace

bool EachEntry(int dir, const std::function<bool(const char*)>& visit) {
  // A new open file: dir's own position belongs to nobody.
  const int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) throw SystemError("read a folder", errno);
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(fdopendir(fd), &closedir);
  if (entries == nullptr) {
    const int error = errno;
    ::close(fd);
    throw SystemError("read a folder", error);
  }
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(entries.get());
    if (entry == nullptr) {
      if (errno != 0) throw SystemError("read a folder", errno);
      return true;
    }
    const char* name = entry->d_name;
    if (name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0))) continue;
    if (!visit(name)) return false;
  }
}

std::optional<Usage::Totals> CountFiles(const Folder& folder, const std::function<bool()>& go_on) {
  Usage::Totals totals;
  std::string key;
  for (size_t i = 0; i < folder.shards(); i++) {
    const int dir = folder.shard(i);
    const bool whole = EachEntry(dir, [&](const char* name) {
      struct stat st;
      if (folder.names().Parse(name, &key) != Names::Kind::kForeign && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)) {
        totals.bytes += st.st_size;
        totals.keys++;
      }
      return go_on();
    });
    if (!whole) return std::nullopt;
  }
  return totals;
}

void RemoveDeadTemps(const Folder& folder, Counters& counters, const std::function<bool()>& go_on) {
  Writers writers(folder);
  const auto clean = [&](int dir) {
    return EachEntry(dir, [&](const char* name) {
      const std::string id(Writer::IdOfTemp(name));
      if (!id.empty()) {
        const Writer::Life life = writers.Look(id);
        const bool remove = life == Writer::Life::kDead || (life == Writer::Life::kUnknown && IsOld(dir, name));
        if (remove && unlinkat(dir, name, 0) == 0) Count(counters.temps_removed);
      }
      return go_on();
    });
  };
  for (size_t i = 0; i < folder.shards(); i++) {
    if (!clean(folder.shard(i))) return;
  }
  if (folder.shards() > 1 && !clean(folder.base())) return;  // from when it had no shards
  if (folder.has_temp_dir() && !clean(folder.temp_dir(0))) return;
  // The lock files last: as long as one is there its temporary files can be judged.
  EachEntry(folder.base(), [&](const char* name) {
    const std::string id(Writer::IdOfLock(name));
    if (!id.empty() && writers.Look(id) == Writer::Life::kDead) unlinkat(folder.base(), name, 0);
    return go_on();
  });
}

}  // namespace fs
