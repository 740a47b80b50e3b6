// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_NIXL_FILES_H
#define SIXCALL_NIXL_FILES_H

#include <atomic>
#include <cstdint>
#include <string>

#include "sixcall/connector.hpp"
#include "transfer.h"

namespace nixl {

/// How files are kept.
struct FileOptions {
  std::string base_path;
  bool direct_io = false;  ///< O_DIRECT where address and length allow it
  bool sync = false;       ///< data is on the device before a store is done
  bool shards = false;     ///< two folders below base_path, see PlaceOf
  bool libaio = false;     ///< what reads takes no notice of O_NONBLOCK
};

/// The folder of a file backend: NIXL moves the bytes, the rest is here. A value
/// is written to a temporary file and renamed, so that a name always leads to a
/// whole value. No path leaves the folder, whatever key or symbolic link.
/// Safe for concurrent use.
class Files {
 public:
  /// Opens or makes the folder and removes what dead processes left unfinished.
  explicit Files(const FileOptions& options);
  ~Files();
  Files(const Files&) = delete;
  Files& operator=(const Files&) = delete;

  const FileOptions& options() const { return options_; }

  /// Opens the file of t for reading, or settles t: absent, of another size, empty.
  void OpenToRead(Transfer& t) const;
  /// Makes a temporary file for t, or settles t.
  void OpenToWrite(Transfer& t) const;
  /// Closes the file of t and gives it its name.
  void Publish(Transfer& t) const;
  /// Closes the file of t and removes its temporary name.
  void Discard(Transfer& t) const noexcept;

  /// Finds out by own system calls why NIXL failed; returns a code of 0 when the file
  /// is fine, so that the backend is at fault.
  /// Whether the file that was read has the size that it had before.
  bool StillWhole(const Transfer& t) const noexcept;
  sixcall::Error WhyNotRead(const Transfer& t) const;
  sixcall::Error WhyNotWritten(const Transfer& t) const;

  sixcall::Result Exists(const Place& place) const;
  sixcall::Status Remove(const Place& place) const;
  /// Throws when the folder is gone.
  void Check() const;

 private:
  int OpenParent(const Place& place, bool make) const;
  int OpenTemp(Transfer& t, bool direct) const;
  void MakeTempFolder();
  void RemoveLeftovers(int temps) const;

  FileOptions options_;
  int base_ = -1;
  int temps_ = -1;      // this connection's folder for temporary files
  int temp_lock_ = -1;  // held as long as this connection lives
  std::string temp_folder_;
  mutable std::atomic<uint64_t> next_temp_{0};
};

}  // namespace nixl

#endif  // SIXCALL_NIXL_FILES_H
