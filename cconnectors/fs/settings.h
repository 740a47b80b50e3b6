// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_FS_SETTINGS_H
#define SIXCALL_FS_SETTINGS_H

#include <cstdint>
#include <string>

#include "name.h"
#include "sixcall/connector.hpp"

namespace fs {

enum class Fsync {
  kNone,  ///< the system writes back when it likes; after a power cut a value may be short or absent
  kFile,  ///< the bytes are on the device before the name is there
  kFull,  ///< and the name is, before the set is reported
};
enum class TempFiles { kAuto, kUnnamed, kNamed };
enum class EngineKind { kAuto, kThreads, kUring };

/// The configuration of one connection.
struct Settings {
  std::string base_path;
  std::string temp_dir;  ///< below base_path; empty = beside the value
  Layout layout = Layout::kFs;
  uint32_t shards = 1;
  bool create = true;
  bool follow_symlinks = false;
  bool replace = true;  ///< a set replaces a value of the same size
  bool direct = false;  ///< O_DIRECT where it is possible
  Fsync fsync = Fsync::kNone;
  TempFiles temp_files = TempFiles::kAuto;
  EngineKind engine = EngineKind::kAuto;
  uint32_t depth = 64;              ///< files in flight, per worker
  uint64_t inflight_bytes = 64 << 20;  ///< of all workers together
  uint64_t read_ahead = 0;          ///< bytes of the first read of a value; 0 = all
  uint64_t rescan_seconds = 600;    ///< 0 = only when the folder is opened

  explicit Settings(const sixcall::Config& config);
  Settings() = default;
};

}  // namespace fs

/// The keys of this connector, for its config_schema.
#define SIXCALL_FS_PROPERTIES \
  R"("base_path":{"type":"string","description":"absolute path of the folder, without '..'"},)" \
  R"("tmp_dir":{"type":"string","default":"","description":"folder below base_path for temporary files; empty = beside the values"},)" \
  R"("names":{"type":"string","enum":["fs","fs_native","remote"],"default":"fs","description":"file names: of LMCache's L2 adapter fs, of fs_native (differs for negative ranks only), or of its remote connector fs://"},)" \
  R"("shards":{"type":"integer","minimum":1,"maximum":256,"default":1,"description":"subfolders that the files are spread over; 1 = none, as LMCache"},)" \
  R"("create":{"type":"boolean","default":true,"description":"create base_path if it is missing; false where it is a mount point"},)" \
  R"("follow_symlinks":{"type":"boolean","default":false,"description":"accept symbolic links among the folders of base_path"},)" \
  R"("existing":{"type":"string","enum":["replace","keep"],"default":"replace","description":"what a set does where a value of the same size is stored"},)" \
  R"("o_direct":{"type":"boolean","default":false,"description":"bypass the page cache for values and buffers aligned to 4096 bytes"},)" \
  R"("fsync":{"type":"string","enum":["none","file","full"],"default":"none","description":"what is on the device when a set is reported: nothing for sure, the bytes, the bytes and the name"},)" \
  R"("engine":{"type":"string","enum":["auto","threads","io_uring"],"default":"auto","description":"auto = io_uring with o_direct, else threads"},)" \
  R"("queue_depth":{"type":"integer","minimum":1,"maximum":1024,"default":64,"description":"io_uring: files in flight per worker"},)" \
  R"("inflight_bytes":{"type":"integer","minimum":65536,"default":67108864,"description":"io_uring: bytes in flight, all workers together"},)" \
  R"("read_ahead_bytes":{"type":"integer","minimum":0,"default":0,"description":"bytes of the first read of a larger value, to start the system's read-ahead; 0 = off"},)" \
  R"("temp_files":{"type":"string","enum":["auto","unnamed","named"],"default":"auto","description":"unnamed (O_TMPFILE) leaves nothing behind when a process dies"},)" \
  R"("rescan_seconds":{"type":"integer","minimum":0,"maximum":86400,"default":600,"description":"time between counts of what other processes stored and removed; 0 = only at the start"})"

#endif  // SIXCALL_FS_SETTINGS_H
