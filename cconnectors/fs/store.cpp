// SPDX-License-Identifier: Apache-2.0
#include "store.h"

#include <string_view>

#include "stored.h"

namespace fs {

namespace {

using sixcall::Error;
using sixcall::Status;

bool HasDotDot(std::string_view path) {
  for (;;) {
    const size_t slash = path.find('/');
    if (path.substr(0, slash) == "..") return true;
    if (slash == std::string_view::npos) return false;
    path.remove_prefix(slash + 1);
  }
}

void CheckPaths(const Settings& s) {
  const auto bad = [](const char* key, const std::string& value, const char* want) {
    throw Error(SIXCALL_E_CONFIG, std::string("config key \"") + key + "\" is \"" + value + "\", want " + want);
  };
  if (s.base_path[0] != '/' || HasDotDot(s.base_path)) bad("base_path", s.base_path, "an absolute path without \"..\"");
  if (s.temp_dir.empty()) return;
  if (s.temp_dir[0] == '/' || HasDotDot(s.temp_dir)) bad("tmp_dir", s.temp_dir, "a path below base_path without \"..\"");
}

}  // namespace

Store::Store(const Settings& settings, const std::string& thread_name)
    : settings_(settings), state_(std::make_shared<Janitor::State>()), thread_name_(thread_name) {
  CheckPaths(settings_);
}

void Store::Open() {
  std::lock_guard<std::mutex> lock(open_mu_);
  std::shared_ptr<Folder> now;
  {
    std::lock_guard<std::mutex> guard(folder_mu_);
    now = folder_;
  }
  try {
    if (now != nullptr && now->IsCurrent(settings_)) return;
  } catch (const Error&) {  // base_path leads nowhere
  }
  auto opened = std::make_shared<Folder>(settings_);
  if (janitor_ == nullptr) janitor_ = std::make_unique<Janitor>(thread_name_, std::chrono::seconds(settings_.rescan_seconds), state_);
  janitor_->Watch(opened);
  std::lock_guard<std::mutex> guard(folder_mu_);
  folder_ = std::move(opened);
}

std::shared_ptr<Folder> Store::folder() const {
  std::lock_guard<std::mutex> guard(folder_mu_);
  if (folder_ == nullptr) throw Error(SIXCALL_E_CONNECT, "base_path \"" + settings_.base_path + "\" is not open");
  return folder_;
}

sixcall::Result Store::Exists(sixcall::Key key) {
  const auto at = folder();
  const Stored stored = FindStored(*at, at->names().Of(key), key);
  if (stored.state == Stored::State::kFound) return {Status::kHit, stored.value_len};
  if (stored.state == Stored::State::kForeign) Count(counters().foreign_files);
  return Status::kMiss;
}

sixcall::Status Store::Erase(sixcall::Key key) {
  const auto at = folder();
  const FileName name = at->names().Of(key);
  std::lock_guard<std::mutex> lock(at->NameLock(name));
  const Stored stored = FindStored(*at, name, key);
  if (stored.state == Stored::State::kForeign) Count(counters().foreign_files);
  if (stored.state != Stored::State::kFound) return Status::kMiss;
  if (unlinkat(at->shard(at->ShardOf(name)), name.c_str(), 0) != 0) {
    if (errno == ENOENT) return Status::kMiss;  // another process was first
    throw SystemError("remove " + std::string(name.view()), errno);
  }
  usage().Removed(static_cast<int64_t>(stored.file_len));
  return Status::kHit;
}

void Store::List(sixcall::Page& page) { listing_.Fill(*folder(), page); }

void Store::Ping() {
  const auto at = folder();
  if (!at->IsCurrent(settings_)) {
    throw Error(SIXCALL_E_CONNECT, "base_path \"" + settings_.base_path + "\" leads to another folder than before; was it removed or mounted anew?");
  }
  counters().free_bytes.store(at->FreeBytes(), std::memory_order_relaxed);
}

}  // namespace fs
