// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_TEST_HELPER_SCRIPTED_H
#define SIXCALL_TEST_HELPER_SCRIPTED_H

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "../harness/connection.h"
#include "sixcall/connector.hpp"

namespace sixcall_test {

// The table of connector class C, without an entry point.
template <class C>
const sixcall_api *TableOf(uint64_t extra_caps = 0, const char *schema = nullptr) {
  static const char *kept_schema;
  kept_schema = schema;
  const auto open = [](const sixcall_host *host, const sixcall_open_args *args, sixcall_conn **out, sixcall_err *err) {
    return sixcall::detail::Glue<C>::Open(host, args, "scripted", kept_schema, out, err);
  };
  static const sixcall_api api = sixcall::detail::Glue<C>::Table(open, sixcall::detail::SlotCaps<C>() | extra_caps,
                                                                "scripted", "1.0.0", "Sixcall", schema);
  return &api;
}

// A door that hooks stop at until it is opened. Safe for concurrent use.
class Gate {
 public:
  void Open() {
    const std::lock_guard<std::mutex> lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  // Waits until the gate is open.
  void Pass() {
    std::unique_lock<std::mutex> lock(mutex_);
    ++waiting_;
    changed_.wait(lock, [this] { return open_; });
    --waiting_;
  }
  int waiting() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return waiting_;
  }

 private:
  mutable std::mutex mutex_;  // guards the two below
  bool open_ = false;
  int waiting_ = 0;
  std::condition_variable changed_;
};

// What a ScriptedConnector does, shared between a test and the connector's
// threads. By default it is a map in memory. The functions are set before open
// and run on the threads of the helper.
struct Script {
  std::function<void(const sixcall::Config &, sixcall::Options &)> start = [](const auto &, auto &) {};
  std::function<void()> connect = [] {};
  std::function<void(uint32_t op, std::string_view key)> before_key = [](uint32_t, std::string_view) {};
  std::function<void(sixcall::Tile &)> before_tile = [](sixcall::Tile &) {};
  std::function<void()> ping = [] {};

  std::atomic<int> connects{0};  // attempts
  std::atomic<int> sessions{0};  // alive

  std::mutex mutex;  // guards the two below
  std::map<std::string, std::string> values;
  std::vector<std::vector<std::string>> tiles;  // the keys of every tile that ran

  std::vector<std::vector<std::string>> Tiles() {
    const std::lock_guard<std::mutex> lock(mutex);
    return tiles;
  }
};

class ScriptedSession {
 public:
  explicit ScriptedSession(std::shared_ptr<Script> script) : script_(std::move(script)) { ++script_->sessions; }
  ~ScriptedSession() { --script_->sessions; }

 private:
  std::shared_ptr<Script> script_;
};

class ScriptedConnector : public sixcall::Connector<ScriptedSession> {
 public:
  // The script of the connectors that are opened from here on.
  static std::shared_ptr<Script> &Current() {
    static std::shared_ptr<Script> script;
    return script;
  }

  void Start(const sixcall::Config &config) override {
    script_ = Current();
    mutable_options().workers = 1;
    script_->start(config, mutable_options());
  }
  std::unique_ptr<ScriptedSession> Connect(const sixcall::Config &) override {
    ++script_->connects;
    script_->connect();
    return std::make_unique<ScriptedSession>(script_);
  }
  sixcall::Result Get(ScriptedSession &, sixcall::Key key, sixcall::MutableBytes buffer) override {
    script_->before_key(SIXCALL_OP_GET, key);
    const std::lock_guard<std::mutex> lock(script_->mutex);
    const auto found = script_->values.find(std::string(key));
    if (found == script_->values.end()) return sixcall::Status::kMiss;
    const std::string &value = found->second;
    if (value.size() != buffer.size()) return {sixcall::Status::kSize, value.size()};
    std::copy(value.begin(), value.end(), buffer.begin());
    return sixcall::Status::kHit;
  }
  sixcall::Status Set(ScriptedSession &, sixcall::Key key, sixcall::Bytes value) override {
    script_->before_key(SIXCALL_OP_SET, key);
    const std::lock_guard<std::mutex> lock(script_->mutex);
    script_->values[std::string(key)] = std::string(value.begin(), value.end());
    return sixcall::Status::kHit;
  }
  sixcall::Result Exists(ScriptedSession &, sixcall::Key key) override {
    script_->before_key(SIXCALL_OP_EXISTS, key);
    const std::lock_guard<std::mutex> lock(script_->mutex);
    const auto found = script_->values.find(std::string(key));
    if (found == script_->values.end()) return sixcall::Status::kMiss;
    return {sixcall::Status::kHit, found->second.size()};
  }
  sixcall::Status Erase(ScriptedSession &, sixcall::Key key) override {
    script_->before_key(SIXCALL_OP_DELETE, key);
    const std::lock_guard<std::mutex> lock(script_->mutex);
    return script_->values.erase(std::string(key)) != 0 ? sixcall::Status::kHit : sixcall::Status::kMiss;
  }
  void Ping(ScriptedSession &) override { script_->ping(); }

  void GetTile(ScriptedSession &session, sixcall::Tile &tile) override {
    Record(tile);
    Connector::GetTile(session, tile);
  }
  void SetTile(ScriptedSession &session, sixcall::Tile &tile) override {
    Record(tile);
    Connector::SetTile(session, tile);
  }
  void ExistsTile(ScriptedSession &session, sixcall::Tile &tile) override {
    Record(tile);
    Connector::ExistsTile(session, tile);
  }

 private:
  void Record(sixcall::Tile &tile) {
    std::vector<std::string> keys;
    for (size_t i = 0; i < tile.size(); ++i) keys.emplace_back(tile.key(i));
    {
      const std::lock_guard<std::mutex> lock(script_->mutex);
      script_->tiles.push_back(std::move(keys));
    }
    script_->before_tile(tile);
  }

  std::shared_ptr<Script> script_;
};

// A fixture with a fresh script.
class HelperTest : public testing::Test {
 protected:
  HelperTest() : script(std::make_shared<Script>()) { ScriptedConnector::Current() = script; }

  static const sixcall_api *Api() { return TableOf<ScriptedConnector>(SIXCALL_CAP_READ_YOUR_WRITES); }

  static OpenOptions WithConfig(const std::string &config) {
    OpenOptions options;
    options.config = config;
    return options;
  }

  const std::shared_ptr<Script> script;
};

// n keys "k0", "k1", ...
inline std::vector<std::string> Keys(size_t n, const std::string &prefix = "k") {
  std::vector<std::string> keys;
  for (size_t i = 0; i < n; ++i) keys.push_back(prefix + std::to_string(i));
  return keys;
}

}  // namespace sixcall_test

#endif  // SIXCALL_TEST_HELPER_SCRIPTED_H
