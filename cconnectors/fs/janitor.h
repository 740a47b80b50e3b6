// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_FS_JANITOR_H
#define SIXCALL_FS_JANITOR_H

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "counters.h"
#include "folder.h"
#include "usage.h"

namespace fs {

/// Removes what dead writers left and counts the folder: once when it is opened,
/// then every rescan period, on a thread of its own.
class Janitor {
 public:
  struct State {
    Counters counters;
    Usage usage;
    std::mutex mu;  // guards the four below
    std::condition_variable changed;
    std::shared_ptr<Folder> folder;
    bool counted = true;  // the folder's first count has ended
    bool stop = false;
    bool ended = false;
  };

  /// Starts the thread. The state outlives it.
  Janitor(const std::string& name, std::chrono::seconds rescan, std::shared_ptr<State> state);
  /// Ends the thread; one that hangs in the file system is left behind.
  ~Janitor();

  /// Cleans and counts a folder that was opened. Returns when that is done, or
  /// after a while, when the thread goes on with it. Throws Error.
  void Watch(std::shared_ptr<Folder> folder);

 private:
  std::shared_ptr<State> state_;
  std::thread thread_;
};

}  // namespace fs

#endif  // SIXCALL_FS_JANITOR_H
