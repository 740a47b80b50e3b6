// SPDX-License-Identifier: Apache-2.0
#include "shared_host.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>

namespace sixcall_test {
namespace {

constexpr int kStallMs = 20000;  // of silence with tickets in flight; only a broken connector waits so long

const sixcall_host kHost = {sizeof(sixcall_host), SIXCALL_ABI_MAJOR, SIXCALL_ABI_MINOR, 0, "test", "0", nullptr, nullptr,
                            SIXCALL_LOG_ERROR,    0};

auto SubmitCall(const sixcall_api &api, uint32_t op) {
  if (op == SIXCALL_OP_GET) return api.submit_batch_get;
  if (op == SIXCALL_OP_SET) return api.submit_batch_set;
  return op == SIXCALL_OP_DELETE ? api.submit_batch_delete : api.submit_batch_exists;
}

}  // namespace

SharedHost::Call::Call(uint32_t n) : items(n), status(n, SIXCALL_STATUS_UNSET), value_lens(n) {}

void SharedHost::Call::SetKey(uint32_t i, const std::string &key) {
  items[i].key = reinterpret_cast<const uint8_t *>(key.data());
  items[i].key_len = static_cast<uint32_t>(key.size());
}

void SharedHost::Call::SetBuf(uint32_t i, void *buf, uint64_t len) {
  items[i].buf = buf;
  items[i].len = len;
}

SharedHost::SharedHost(const sixcall_api *api, const std::string &config, uint32_t drain_cap)
    : api_(api), drain_cap_(drain_cap) {
  sixcall_open_args args = {};
  args.struct_size = sizeof(args);
  args.config_json = config.data();
  args.config_len = config.size();
  sixcall_err err = {};
  err.struct_size = sizeof(err);
  if (api_->open(&kHost, &args, &conn_, &err) != SIXCALL_OK) throw std::runtime_error(std::string("open: ") + err.msg);
  fd_ = api_->event_fd(conn_);
  stop_fd_ = eventfd(0, EFD_CLOEXEC);
  drainer_ = std::thread(&SharedHost::DrainLoop, this);
}

SharedHost::~SharedHost() {
  EXPECT_EQ(eventfd_write(stop_fd_, 1), 0);
  drainer_.join();
  close(stop_fd_);
  EXPECT_EQ(api_->close(conn_, 30000), SIXCALL_OK);
}

void SharedHost::Start(uint32_t op, Call &call) {
  sixcall_batch batch = {};
  batch.struct_size = sizeof(batch);
  batch.ticket = reinterpret_cast<uintptr_t>(&call);
  batch.n = static_cast<uint32_t>(call.items.size());
  batch.item_stride = sizeof(sixcall_item);
  batch.items = call.items.data();
  batch.status = call.status.data();
  batch.value_lens = call.value_lens.data();
  std::fill(call.status.begin(), call.status.end(), uint8_t{SIXCALL_STATUS_UNSET});
  {
    const std::lock_guard<std::mutex> lock(call.mutex);
    call.done = false;
  }
  if (call.in_flight.exchange(true)) throw std::logic_error("the call is in flight already");
  ++started_;
  for (;;) {
    const int32_t rc = SubmitCall(*api_, op)(conn_, &batch);
    if (rc == SIXCALL_OK) return;
    if (rc != SIXCALL_E_AGAIN) throw std::runtime_error("submit was refused with " + std::to_string(rc));
    std::this_thread::yield();
  }
}

void SharedHost::Wait(Call &call) {
  std::unique_lock<std::mutex> lock(call.mutex);
  call.changed.wait(lock, [&] { return call.done; });
}

void SharedHost::DrainLoop() {
  std::vector<sixcall_completion> done(drain_cap_);
  bool stalled = false;
  for (;;) {
    pollfd fds[2] = {{fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
    const int ready = poll(fds, 2, kStallMs);
    if (ready == 0 && started_.load() == completions_.load()) continue;
    if (ready == 0 && !stalled) {
      stalled = true;
      ADD_FAILURE() << started_.load() - completions_.load() << " tickets in flight and a silent event fd";
    }
    if (ready > 0 && (fds[0].revents & POLLIN) == 0) return;  // stop, and nothing waits
    const int32_t n = api_->drain_completions(conn_, done.data(), drain_cap_, sizeof(sixcall_completion));
    ++drains_;
    if (n < 0 || static_cast<uint32_t>(n) > drain_cap_) {
      ADD_FAILURE() << "drain returned " << n;
      return;
    }
    for (int32_t i = 0; i < n; ++i) {
      auto &call = *reinterpret_cast<Call *>(static_cast<uintptr_t>(done[static_cast<size_t>(i)].ticket));
      if (!call.in_flight.exchange(false)) ADD_FAILURE() << "a ticket was completed twice";
      ++completions_;
      const std::lock_guard<std::mutex> lock(call.mutex);
      call.rc = done[static_cast<size_t>(i)].rc;
      call.n_ok = done[static_cast<size_t>(i)].n_ok;
      call.done = true;
      call.changed.notify_one();
    }
  }
}

}  // namespace sixcall_test
