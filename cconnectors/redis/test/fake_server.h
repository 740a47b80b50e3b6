// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_REDIS_TEST_FAKE_SERVER_H
#define SIXCALL_REDIS_TEST_FAKE_SERVER_H

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace sixcall_test {

using Args = std::vector<std::string>;

// What a server says to one command.
struct Answer {
  std::string bytes;
  bool hang_up = false;  // after the bytes

  Answer(std::string text) : bytes(std::move(text)) {}
  Answer(const char *text) : bytes(text) {}
  static Answer HangUp(std::string text = "") {
    Answer a(std::move(text));
    a.hang_up = true;
    return a;
  }
};

// A bulk string.
std::string Bulk(const std::string &text);

// A little server for tests: keeps strings, and says something else where a test
// wants it to. It runs on threads of its own.
class FakeServer {
 public:
  // The answer to a command, or nothing for the usual one. Called on the threads
  // of the connections.
  using Script = std::function<std::optional<Answer>(const Args &)>;
  enum class Net { kUnix, kTcp };

  explicit FakeServer(Net net = Net::kUnix);
  FakeServer(const FakeServer &) = delete;
  ~FakeServer();

  // The configuration that leads here, as members of a JSON object.
  std::string Config() const;
  uint16_t port() const { return port_; }
  const std::string &path() const { return path_; }

  void SetScript(Script script);
  // Every byte by itself.
  void SetByteByByte(bool on) { byte_by_byte_ = on; }
  // Reads no more commands while on, and lets go of those that wait when off.
  void SetDeaf(bool on);

  // Ends all connections; Stop also closes the door, until Start.
  void HangUp();
  void Stop();
  void Start();

  int connections() const { return connections_; }            // that were ever made
  int Said(const std::string &command) const;                 // how often
  std::vector<Args> Commands() const;                         // all of them
  std::optional<std::string> Value(const std::string &key) const;
  void Put(const std::string &key, const std::string &value);
  size_t keys() const;

 private:
  void Accept();
  void Serve(int fd);
  bool ReadCommand(int fd, std::string &buffer, Args *out);
  Answer Usual(const Args &args);
  bool Write(int fd, const std::string &bytes) const;

  std::string folder_, path_;
  uint16_t port_ = 0;
  int listener_ = -1;
  std::thread acceptor_;
  std::atomic<int> connections_{0};
  std::atomic<bool> byte_by_byte_{false};

  mutable std::mutex mutex_;  // guards the rest
  std::condition_variable changed_;
  bool deaf_ = false, stopping_ = false;
  Script script_;
  std::map<std::string, std::string> data_;
  std::vector<Args> commands_;
  std::map<int, std::thread> peers_;  // by descriptor
  std::vector<std::thread> done_;
};

}  // namespace sixcall_test

#endif  // SIXCALL_REDIS_TEST_FAKE_SERVER_H
