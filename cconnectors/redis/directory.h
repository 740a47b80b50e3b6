// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_REDIS_DIRECTORY_H
#define SIXCALL_REDIS_DIRECTORY_H

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "client.h"
#include "settings.h"
#include "stats.h"
#include "topology.h"

namespace redis {

/// Finds the servers and keeps the picture of them fresh: resolves names, asks
/// sentinels who the master is, asks the cluster for its map. Works on a thread
/// of its own, when somebody asks. Safe for concurrent use.
class Directory {
 public:
  /// What is known. Both may be empty: then the first search is under way.
  struct View {
    std::shared_ptr<const Topology> topology;
    std::shared_ptr<const sixcall::Error> error;  // of the last search, if it failed
    uint64_t searches = 0;                        // that have ended
  };

  Directory(const Settings& settings, const TlsContext* tls, Stats& stats, std::string thread_name);
  ~Directory();

  /// Called on the directory's thread after every search. Set it before Start.
  void OnChange(std::function<void()> fn) { on_change_ = std::move(fn); }
  void Start();
  /// Ends the thread. Refresh does nothing from then on.
  void Stop();

  View Current() const;
  /// Asks for a search, soon; many questions become one.
  void Refresh();
  /// Asks for a search and waits for one that began after the call. Throws its
  /// error, or SIXCALL_E_TIMEOUT. stop() is asked now and then.
  View RefreshAndWait(uint64_t deadline_ns, const std::function<bool()>& stop);

 private:
  class Wake;
  void Run();
  bool AwaitCause();
  bool HeardOfFailover();
  void WatchSentinel(const Node& sentinel);
  Topology Search();
  Topology SearchSentinels();
  Topology SearchCluster();
  Node AskSentinel(Client& sentinel, uint64_t deadline_ns);
  void ResolveNode(Node& node);
  uint64_t ConnectDeadline() const;
  Handshake::Plan UserPlan() const;

  const Settings& settings_;
  const TlsContext* tls_;
  Stats& stats_;
  const std::string thread_name_;
  // Made early, since there may be no memory for it when it is needed.
  const std::shared_ptr<const sixcall::Error> no_memory_ = std::make_shared<sixcall::Error>(SIXCALL_E_NOMEM, "out of memory");
  std::function<void()> on_change_;
  std::unique_ptr<Wake> wake_;

  mutable std::mutex mu_;  // guards the next five
  std::condition_variable changed_;
  View view_;
  uint64_t begun_ = 0;   // searches
  bool wanted_ = true;
  bool stop_ = false;

  // Of the thread:
  std::vector<Address> ask_;       // whom to ask, the last that answered first
  std::unique_ptr<Client> watch_;  // a sentinel that tells of failovers
  std::thread thread_;
};

}  // namespace redis

#endif  // SIXCALL_REDIS_DIRECTORY_H
