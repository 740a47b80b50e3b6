// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_FS_STORE_H
#define SIXCALL_FS_STORE_H

#include <memory>
#include <mutex>
#include <string>

#include "janitor.h"
#include "listing.h"
#include "settings.h"
#include "sixcall/connector.hpp"

namespace fs {

/// The folder of a connection, opened again when it was lost, and everything that
/// moves no values. Safe for concurrent use.
class Store {
 public:
  /// Checks the settings; no I/O.
  Store(const Settings& settings, const std::string& thread_name);

  /// Opens the folder unless the one that is open is still where base_path leads. I/O.
  void Open();
  /// The open folder; throws Error when there is none.
  std::shared_ptr<Folder> folder() const;

  sixcall::Result Exists(sixcall::Key key);
  sixcall::Status Erase(sixcall::Key key);
  void List(sixcall::Page& page);
  /// Throws Error when base_path does not lead to the open folder any more.
  void Ping();

  const Settings& settings() const { return settings_; }
  Counters& counters() { return state_->counters; }
  Usage& usage() { return state_->usage; }

 private:
  const Settings settings_;
  std::shared_ptr<Janitor::State> state_;
  const std::string thread_name_;
  std::unique_ptr<Janitor> janitor_;
  Listing listing_;
  std::mutex open_mu_;  // held while the folder is opened; before folder_mu_
  mutable std::mutex folder_mu_;  // guards folder_
  std::shared_ptr<Folder> folder_;
};

}  // namespace fs

#endif  // SIXCALL_FS_STORE_H
