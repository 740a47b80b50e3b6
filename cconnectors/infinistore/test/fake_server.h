// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_INFINISTORE_FAKE_SERVER_H
#define SIXCALL_INFINISTORE_FAKE_SERVER_H

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace infinistore_test {

// A request as the server reads it. op is 'P', 'G', 'C' or 'X'.
struct Request {
  char op = 0;
  std::string key;
  uint64_t value_len = 0;
};

// What the server does with one request, if not the right thing.
struct Plan {
  size_t chunk = 0;       // bytes of the answer sent at a time, with a turn of the client in between; 0 = all
  int64_t cut_after = -1;  // closes after so many bytes of the answer
  int64_t hold_after = -1;  // sends so many bytes of the answer, the rest after Release
  bool raw = false;        // sends `answer` instead
  std::string answer;
  bool hold = false;            // answers after Release
  int64_t stall_after = -1;     // put: stops reading after so many bytes of the value until Release
  int64_t cut_value_after = -1;  // put: closes after so many bytes of the value
  bool no_room = false;         // put: 507 at once, and reads the value as a request
};

// A server on loopback that keeps values in a map and notes everything that would
// have killed or wedged the real one. A thread per connection. Safe for concurrent use.
class FakeServer {
 public:
  explicit FakeServer(int port = 0);
  FakeServer(const FakeServer &) = delete;
  ~FakeServer();

  int port() const { return port_; }

  // Asked for every request, but for the probe of a new connection unless plan_probes.
  void SetPlan(std::function<Plan(const Request &)> plan, bool plan_probes = false);
  // Lets what is held or slow go on, and has no plan any more.
  void Release();
  // Waits until n requests are held, or values stalled.
  void AwaitHeld(int n);

  std::string Stored(const std::string &key) const;
  void Store(const std::string &key, const std::string &value);
  bool Has(const std::string &key) const;
  int connections() const;            // accepted so far
  int open_connections() const;       // of these, not closed by either side
  std::vector<Request> log() const;   // all requests but probes
  std::vector<std::string> hazards() const;

 private:
  struct Connection {
    int fd = -1;
    std::thread thread;
  };

  bool released() const;
  void Accept();
  void Serve(int fd);
  bool ServeOne(int fd);
  bool ReadValue(int fd, const Request &request, const Plan &plan, std::string *value);
  bool Answer(int fd, const Request &request, const Plan &plan, const std::string &answer);
  void Hold();
  void Hazard(const std::string &what);
  bool ReadAll(int fd, void *to, size_t n);
  bool Decode(char op, const std::string &body, Request *out);

  int listener_ = -1;
  int port_ = 0;
  int stop_fd_ = -1;
  std::thread acceptor_;

  mutable std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::vector<Connection> all_;
  int accepted_ = 0;
  int open_ = 0;
  int held_ = 0;
  bool released_ = false;
  bool plan_probes_ = false;
  bool stopping_ = false;
  std::function<Plan(const Request &)> plan_;
  std::map<std::string, std::string> values_;
  std::map<std::string, int> arriving_;  // puts whose value is on its way
  std::set<std::string> cut_;  // puts whose connection went away; they exist and must not be touched
  std::vector<Request> log_;
  std::vector<std::string> hazards_;
};

}  // namespace infinistore_test

#endif  // SIXCALL_INFINISTORE_FAKE_SERVER_H
