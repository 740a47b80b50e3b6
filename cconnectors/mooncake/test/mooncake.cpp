// SPDX-License-Identifier: Apache-2.0
#include "mooncake.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>

#include "fake_store.h"

namespace sixcall_test {

Master::Master() { Start(); }

void Master::Start() {
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port_));
  socklen_t size = sizeof(address);
  if (::bind(fd_, reinterpret_cast<sockaddr *>(&address), size) != 0 || ::listen(fd_, 64) != 0) throw std::runtime_error("listen failed");
  ::getsockname(fd_, reinterpret_cast<sockaddr *>(&address), &size);
  port_ = ntohs(address.sin_port);
  stop_ = false;
  thread_ = std::thread([this] {
    while (!stop_) {
      pollfd wait = {fd_, POLLIN, 0};
      if (::poll(&wait, 1, 10) <= 0) continue;
      const int peer = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (peer < 0) continue;
      accepted_++;
      ::close(peer);
    }
  });
}

void Master::Stop() {
  if (!thread_.joinable()) return;
  stop_ = true;
  thread_.join();
  ::close(fd_);
}

template <class F>
F *Fake(const char *name) {
  static void *library = [] {
    void *handle = ::dlopen(SIXCALL_TEST_FAKE, RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) throw std::runtime_error(::dlerror());
    return handle;
  }();
  void *symbol = ::dlsym(library, name);
  if (symbol == nullptr) throw std::runtime_error(::dlerror());
  F *function = nullptr;
  std::memcpy(&function, &symbol, sizeof(symbol));
  return function;
}

void FakeResult(const char *call, int64_t code, int count, int skip) { Fake<decltype(fake_result)>("fake_result")(call, code, count, skip); }
void FakeRc(const char *call, int rc, int count) { Fake<decltype(fake_rc)>("fake_rc")(call, rc, count); }
void FakeHold(const char *call) { Fake<decltype(fake_hold)>("fake_hold")(call); }
void FakeRelease(const char *call) { Fake<decltype(fake_release)>("fake_release")(call); }
int FakeHeld(const char *call) { return Fake<decltype(fake_held)>("fake_held")(call); }
int64_t FakeCalls(const char *call) { return Fake<decltype(fake_calls)>("fake_calls")(call); }
int64_t FakeKeys(const char *call) { return Fake<decltype(fake_keys)>("fake_keys")(call); }
int FakeHandles() { return Fake<decltype(fake_handles)>("fake_handles")(); }
int FakeRegistered() { return Fake<decltype(fake_registered)>("fake_registered")(); }
void FakeKillHandles() { Fake<decltype(fake_kill_handles)>("fake_kill_handles")(); }
bool FakeHas(const std::string &key) { return Fake<decltype(fake_has)>("fake_has")(key.c_str()) == 1; }
void FakeLeases() { Fake<decltype(fake_leases)>("fake_leases")(1); }
void FakeWantsRegistered() { Fake<decltype(fake_wants_registered)>("fake_wants_registered")(1); }
int64_t FakeCollidingPuts() { return Fake<decltype(fake_colliding_puts)>("fake_colliding_puts")(); }
std::string FakeLastSetup() { return Fake<decltype(fake_last_setup)>("fake_last_setup")(); }
std::string FakeLastConfig() { return Fake<decltype(fake_last_config)>("fake_last_config")(); }

void MooncakeTest::SetUp() { Fake<decltype(fake_reset)>("fake_reset")(); }

void MooncakeTest::TearDown() {
  Fake<decltype(fake_reset)>("fake_reset")();
  EXPECT_TRUE(Eventually([] { return FakeHandles() == 0; })) << FakeHandles() << " handles of the library are left";
}

std::string MooncakeTest::Config(const std::string &more) const {
  return R"({"library":")" SIXCALL_TEST_FAKE R"(","master_server_address":")" + master_.address() + "\"" + (more.empty() ? "" : "," + more) + "}";
}

OpenOptions MooncakeTest::Options(const std::string &more, uint32_t open_timeout_ms) const {
  OpenOptions options;
  options.config = Config(more);
  options.open_timeout_ms = open_timeout_ms;
  return options;
}

int64_t Stat(Connection &connection, const std::string &name) {
  std::string text(65536, '\0');
  text.resize(static_cast<size_t>(connection.api().stats_text(connection.handle(), text.data(), text.size())));
  const size_t at = text.find("\n" + name + " ");
  return at == std::string::npos ? -1 : std::stoll(text.substr(at + name.size() + 2));
}

}  // namespace sixcall_test
