// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_MOONCAKE_LIBRARY_H
#define SIXCALL_MOONCAKE_LIBRARY_H

#include <functional>
#include <string>
#include <vector>

#include "mooncake_api.h"
#include "mooncake_signals.h"

namespace mooncake {

/// libmooncake_store.so in this process. It is loaded once per path and stays for
/// the life of the process: its threads never end. Safe for concurrent use.
class Library {
 public:
  /// Loads `preload` in order, then path, and puts the signal actions back that
  /// this changed. A later call for the same path returns the same object.
  /// Throws SIXCALL_E_CONFIG when something is missing, and says what brings it.
  static const Library& Load(const std::string& path, const std::vector<std::string>& preload);

  const Api& api() const { return api_; }
  const std::string& path() const { return path_; }

  /// Runs fn, which calls the library, and puts signal actions back that the
  /// library changed meanwhile.
  void Guarded(const std::function<void()>& fn) const;

  /// Sets which lines the library writes to standard error: 0 all, 1 warnings, 2
  /// errors, 3 none but the last. Without effect on a build that hides its logger.
  void SetLogLevel(int level) const;

 private:
  explicit Library(std::string path) : path_(std::move(path)) {}
  void Open(const std::vector<std::string>& preload);
  void Bind();

  std::string path_;
  void* handle_ = nullptr;
  Api api_ = {};
  CodeRanges code_;  // of the library and of what came with it
};

}  // namespace mooncake

#endif  // SIXCALL_MOONCAKE_LIBRARY_H
