// SPDX-License-Identifier: Apache-2.0
#include "host.h"

#include <dlfcn.h>
#include <poll.h>

#include <cstdio>
#include <cstring>
#include <functional>
#include <stdexcept>

namespace mooncake_test {
namespace {

void LogLine(void*, int32_t level, const char* text, uint64_t len) {
  static const char* const kNames[] = {"error", "warning", "info", "debug"};
  std::fprintf(stderr, "connector %s: %.*s\n", kNames[level & 3], static_cast<int>(len), text);
}

const sixcall_host kHost = {sizeof(sixcall_host), SIXCALL_ABI_MAJOR, SIXCALL_ABI_MINOR, 0, "mooncake-test", "1", nullptr, LogLine, SIXCALL_LOG_INFO, 0};

/// A cheap sequence of numbers that depends on all of its seed.
uint64_t Next(uint64_t* state) {
  uint64_t z = (*state += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

uint64_t Seed(const std::string& key, uint64_t version) { return std::hash<std::string>()(key) * 31 + version; }

}  // namespace

void Call::Set(size_t i, const std::string& key, void* buf, uint64_t len) {
  if (keys.size() < items.size()) keys.resize(items.size());
  keys[i] = key;
  items[i] = {reinterpret_cast<const uint8_t*>(keys[i].data()), static_cast<uint32_t>(keys[i].size()), 0, buf, len};
}

Host::Host(const std::string& path) {
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error(::dlerror());
  void* symbol = ::dlsym(library, SIXCALL_ENTRY_SYMBOL);
  sixcall_connector_entry_fn entry = nullptr;
  std::memcpy(&entry, &symbol, sizeof(symbol));
  if (entry == nullptr || (api_ = entry(&kHost)) == nullptr) throw std::runtime_error(path + " is not a connector");
}

Host::~Host() {
  if (conn_ != nullptr) Close(10000);
}

int32_t Host::Open(const std::string& config, uint32_t timeout_ms, std::string* error) {
  sixcall_open_args args = {};
  args.struct_size = sizeof(args);
  args.config_json = config.data();
  args.config_len = config.size();
  args.open_timeout_ms = timeout_ms;
  sixcall_err err = {};
  err.struct_size = sizeof(err);
  const int32_t rc = api_->open(&kHost, &args, &conn_, &err);
  if (rc < 0) {
    conn_ = nullptr;
    *error = std::string(err.msg, err.len);
    return rc;
  }
  fd_ = api_->event_fd(conn_);
  stop_ = false;
  drainer_ = std::thread([this] { DrainLoop(); });
  return 0;
}

int32_t Host::Close(uint32_t grace_ms) {
  stop_ = true;
  drainer_.join();
  const int32_t rc = api_->close(conn_, grace_ms);
  conn_ = nullptr;
  return rc;
}

void Host::DrainLoop() {
  sixcall_completion records[64];
  while (!stop_) {
    pollfd wait = {fd_, POLLIN, 0};
    if (::poll(&wait, 1, 50) <= 0) continue;
    const int32_t n = api_->drain_completions(conn_, records, 64, sizeof(records[0]));
    for (int32_t i = 0; i < n; i++) {
      Call& call = *reinterpret_cast<Call*>(records[i].ticket);
      std::lock_guard<std::mutex> lock(call.mu);
      call.completion = records[i];
      call.done = true;
      call.changed.notify_all();
    }
  }
}

int32_t Host::Start(uint32_t op, Call& call, uint64_t mem_handle) {
  sixcall_batch batch = {};
  batch.struct_size = sizeof(batch);
  batch.ticket = reinterpret_cast<uint64_t>(&call);
  batch.n = static_cast<uint32_t>(op == SIXCALL_OP_PING ? 0 : call.items.size());
  batch.item_stride = sizeof(sixcall_item);
  batch.items = call.items.data();
  batch.status = call.status.data();
  batch.value_lens = call.lens.data();
  batch.err = &call.err;
  batch.mem_handle = mem_handle;
  call.err = {};
  call.err.struct_size = sizeof(call.err);
  std::memset(call.status.data(), SIXCALL_STATUS_UNSET, call.status.size());
  call.done = false;
  const auto submit = op == SIXCALL_OP_GET      ? api_->submit_batch_get
                      : op == SIXCALL_OP_SET    ? api_->submit_batch_set
                      : op == SIXCALL_OP_EXISTS ? api_->submit_batch_exists
                      : op == SIXCALL_OP_DELETE ? api_->submit_batch_delete
                                                : api_->submit_ping;
  for (;;) {
    const int32_t rc = submit(conn_, &batch);
    if (rc != SIXCALL_E_AGAIN) {
      if (rc != 0) call.done = true;
      return rc;
    }
    std::this_thread::yield();
  }
}

bool Host::Wait(Call& call, std::chrono::seconds limit) {
  std::unique_lock<std::mutex> lock(call.mu);
  return call.changed.wait_for(lock, limit, [&] { return call.done; });
}

void FillValue(const std::string& key, uint64_t version, uint8_t* out, size_t n) {
  uint64_t state = Seed(key, version);
  for (size_t at = 0; at < n; at += 8) {
    const uint64_t word = Next(&state);
    std::memcpy(out + at, &word, n - at < 8 ? n - at : 8);
  }
}

bool IsValue(const std::string& key, uint64_t version, const uint8_t* bytes, size_t n) {
  uint64_t state = Seed(key, version);
  for (size_t at = 0; at < n; at += 8) {
    const uint64_t word = Next(&state);
    if (std::memcmp(bytes + at, &word, n - at < 8 ? n - at : 8) != 0) return false;
  }
  return true;
}

}  // namespace mooncake_test
