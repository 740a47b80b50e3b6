// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_REDIS_CONTROL_H
#define SIXCALL_REDIS_CONTROL_H

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "client.h"
#include "directory.h"
#include "sixcall/connector.hpp"

namespace redis {

/// A thread for what is rare and moves no values: listings and usage. Its calls
/// may come from any thread.
class Control {
 public:
  Control(const Settings& settings, const TlsContext* tls, Directory& directory, sixcall::AsyncConnector& host);
  ~Control();

  void Start(const std::string& thread_name);

  /// Connects to a server and logs in, on the caller's thread; throws what is
  /// wrong. Fills the usage too. Before Start.
  void Prove(uint64_t deadline_ns);

  void PushList(const sixcall::AsyncBatch& batch);
  void Cancel(uint64_t ticket);
  void CancelAll();

  /// The last known figures; asks for new ones when they are old.
  void Usage(sixcall_usage& out);

 private:
  class Wake;
  void Run();
  void RunList(const sixcall::AsyncBatch& batch);
  void RefreshUsage(uint64_t deadline_ns);
  Client& ClientFor(const Node& node, uint64_t deadline_ns);
  template <class F>
  auto OnNode(const Node& node, uint64_t deadline_ns, F&& fn);
  bool Ended();
  void ExpireLists();
  Directory::View Servers(bool fresh, uint64_t deadline_ns);

  const Settings& settings_;
  const TlsContext* tls_;
  Directory& directory_;
  sixcall::AsyncConnector& host_;
  std::unique_ptr<Wake> wake_;
  std::thread thread_;

  std::mutex mu_;  // guards the next seven
  std::condition_variable work_;
  std::deque<sixcall::AsyncBatch> lists_;  // that have not begun
  std::optional<uint64_t> current_;        // ticket of the one that runs
  bool cancel_current_ = false;
  bool cancel_all_ = false;
  bool usage_wanted_ = false;
  bool stop_ = false;

  std::map<std::string, std::unique_ptr<Client>> clients_;  // of the thread, by address

  std::atomic<uint64_t> usage_ns_{0};  // when the figures were taken; 0 = never
  std::atomic<uint64_t> bytes_used_{UINT64_MAX}, bytes_capacity_{UINT64_MAX}, keys_{UINT64_MAX};
};

}  // namespace redis

#endif  // SIXCALL_REDIS_CONTROL_H
