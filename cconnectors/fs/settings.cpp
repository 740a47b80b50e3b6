// SPDX-License-Identifier: Apache-2.0
#include "settings.h"

#include <limits>

namespace fs {

Settings::Settings(const sixcall::Config& config) {
  base_path = config.Require("base_path");
  temp_dir = config.GetString("tmp_dir");
  const std::string names_word = config.GetChoice("names", "fs", {"fs", "fs_native", "remote"});
  layout = names_word == "fs" ? Layout::kFs : names_word == "fs_native" ? Layout::kFsNative : Layout::kRemote;
  shards = static_cast<uint32_t>(config.GetUint("shards", shards, 1, 256));
  create = config.GetBool("create", create);
  follow_symlinks = config.GetBool("follow_symlinks", follow_symlinks);
  replace = config.GetChoice("existing", "replace", {"replace", "keep"}) == "replace";
  direct = config.GetBool("o_direct", direct);
  const std::string fsync_word = config.GetChoice("fsync", "none", {"none", "file", "full"});
  fsync = fsync_word == "none" ? Fsync::kNone : fsync_word == "file" ? Fsync::kFile : Fsync::kFull;
  const std::string engine_word = config.GetChoice("engine", "auto", {"auto", "threads", "io_uring"});
  engine = engine_word == "auto" ? EngineKind::kAuto : engine_word == "threads" ? EngineKind::kThreads : EngineKind::kUring;
  const std::string temp_word = config.GetChoice("temp_files", "auto", {"auto", "unnamed", "named"});
  temp_files = temp_word == "auto" ? TempFiles::kAuto : temp_word == "unnamed" ? TempFiles::kUnnamed : TempFiles::kNamed;
  depth = static_cast<uint32_t>(config.GetUint("queue_depth", depth, 1, 1024));
  inflight_bytes = config.GetUint("inflight_bytes", inflight_bytes, 65536);
  read_ahead = config.GetUint("read_ahead_bytes", read_ahead);
  rescan_seconds = config.GetUint("rescan_seconds", rescan_seconds, 0, 86400);
}

}  // namespace fs
