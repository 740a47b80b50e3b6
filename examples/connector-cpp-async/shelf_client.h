// SPDX-License-Identifier: Apache-2.0
//
// The client library of a storage system whose requests complete later, on a thread of
// the client: here a stand-in that keeps values in memory. Yours takes its place.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "sixcall/connector.hpp"

namespace shelf {

enum class Verb { kRead, kWrite, kAsk, kRemove };
enum class Answer { kOk, kAbsent, kOtherSize, kFull, kEnded };

struct Request {
  Verb verb = Verb::kAsk;
  std::string_view key;
  const uint8_t* from = nullptr;  // kWrite
  uint8_t* to = nullptr;          // kRead
  size_t size = 0;                // of from and to
  std::function<void(Answer, size_t len)> done;  // called once, on the client's thread
};

class Client {
 public:
  explicit Client(uint64_t max_keys) : max_keys_(max_keys) {
    // Every thread that a library starts inside of a host blocks asynchronous signals and has a name.
    thread_ = sixcall::StartThread("shelf", [this] { Work(); });
  }
  ~Client() {
    {
      const std::lock_guard<std::mutex> lock(mu_);
      ending_ = true;
    }
    more_.notify_one();
    thread_.join();
  }
  Client(const Client&) = delete;

  /// Queues requests; all or, when it throws, none.
  void Start(std::vector<Request> requests) {
    {
      const std::lock_guard<std::mutex> lock(mu_);
      queue_.push_back(std::move(requests));
    }
    more_.notify_one();
  }
  /// Ends what is queued without doing it.
  void Hurry() { hurry_.store(true); }

 private:
  void Work() {
    std::unique_lock<std::mutex> lock(mu_);
    for (;;) {
      more_.wait(lock, [this] { return ending_ || !queue_.empty(); });
      if (queue_.empty()) return;
      std::vector<Request> requests = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      for (Request& r : requests) {
        size_t len = 0;
        Answer answer = Answer::kEnded;
        try {
          if (!hurry_.load()) answer = Do(r, &len);
        } catch (const std::bad_alloc&) {
          answer = Answer::kFull;  // an exception that leaves a thread ends the host
        }
        r.done(answer, len);
      }
      lock.lock();
    }
  }
  Answer Do(const Request& r, size_t* len) {
    const auto at = values_.find(std::string(r.key));
    if (r.verb == Verb::kWrite) {
      if (at == values_.end() && values_.size() >= max_keys_) return Answer::kFull;
      values_[std::string(r.key)].assign(r.from, r.from + r.size);
      return Answer::kOk;
    }
    if (at == values_.end()) return Answer::kAbsent;
    *len = at->second.size();
    if (r.verb == Verb::kRemove) {
      values_.erase(at);
      return Answer::kOk;
    }
    if (r.verb == Verb::kAsk) return Answer::kOk;
    if (at->second.size() != r.size) return Answer::kOtherSize;
    if (r.size != 0) std::memcpy(r.to, at->second.data(), r.size);
    return Answer::kOk;
  }

  const uint64_t max_keys_;
  std::atomic<bool> hurry_{false};
  std::mutex mu_;
  std::condition_variable more_;
  bool ending_ = false;                                            // guarded by mu_
  std::deque<std::vector<Request>> queue_;                         // guarded by mu_
  std::unordered_map<std::string, std::vector<uint8_t>> values_;  // the thread's only
  std::thread thread_;
};

}  // namespace shelf
