// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_MOONCAKE_TEST_MOONCAKE_H
#define SIXCALL_MOONCAKE_TEST_MOONCAKE_H

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

#include "harness/connection.h"
#include "harness/threads.h"

namespace sixcall_test {

using Statuses = std::vector<uint8_t>;
constexpr uint8_t kMiss = SIXCALL_STATUS_MISS, kHit = SIXCALL_STATUS_HIT, kError = SIXCALL_STATUS_ERROR, kSize = SIXCALL_STATUS_SIZE,
                  kCancelled = SIXCALL_STATUS_CANCELLED, kTimeout = SIXCALL_STATUS_TIMEOUT, kRefused = SIXCALL_STATUS_REFUSED,
                  kCorrupt = SIXCALL_STATUS_CORRUPT;

// The connector under test, loaded once.
inline const sixcall_api *Mooncake() {
  static const sixcall_api *api = LoadLibrary(SIXCALL_TEST_MOONCAKE);
  return api;
}

// The control functions of the fake library, found by name.
template <class F>
F *Fake(const char *name);

// A port that takes connections and hangs up: all that the connector itself asks
// of a master. The fake library does the rest.
class Master {
 public:
  Master();
  ~Master() { Stop(); }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  // Connections are refused from now on, or taken again.
  void Stop();
  void Start();
  int accepted() const { return accepted_.load(); }

 private:
  int port_ = 0;
  int fd_ = -1;
  std::atomic<int> accepted_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// A fresh fake library and a master.
class MooncakeTest : public testing::Test {
 protected:
  void SetUp() override;
  // Releases what is held, and sees to it that every handle is destroyed.
  void TearDown() override;

  // A configuration for the fake library, with more members such as R"("workers":1)".
  std::string Config(const std::string &more = "") const;
  OpenOptions Options(const std::string &more = "", uint32_t open_timeout_ms = 10000) const;

  Master master_;
};

// The fake's control, by the names of fake_store.h.
void FakeResult(const char *call, int64_t code, int count = 1, int skip = 0);
void FakeRc(const char *call, int rc, int count = 1);
void FakeHold(const char *call);
void FakeRelease(const char *call);
int FakeHeld(const char *call);
int64_t FakeCalls(const char *call);
int64_t FakeKeys(const char *call);
int FakeHandles();
int FakeRegistered();
void FakeKillHandles();
bool FakeHas(const std::string &key);
void FakeLeases();
void FakeWantsRegistered();
int64_t FakeCollidingPuts();
std::string FakeLastSetup();
std::string FakeLastConfig();

// The value of a counter in stats_text, or -1.
int64_t Stat(Connection &connection, const std::string &name);

}  // namespace sixcall_test

#endif  // SIXCALL_MOONCAKE_TEST_MOONCAKE_H
