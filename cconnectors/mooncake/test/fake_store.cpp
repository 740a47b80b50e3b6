// SPDX-License-Identifier: Apache-2.0
//
// A libmooncake_store.so for unit tests: the C ABI over a map in memory, with the
// habits of the real one that matter (write-once values, leases, a key twice in a
// get fills one buffer only), and results on demand. Like the real one it takes
// signal handlers when it is loaded.
#include "fake_store.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "mooncake_api.h"

namespace {

struct Script {
  int64_t code;
  int count, skip;
};

struct Client {
  bool ready = false, dead = false;
  std::map<uintptr_t, size_t> buffers;
};

struct State {
  std::mutex mu;  // guards all below
  std::condition_variable changed;
  std::map<std::string, std::deque<Script>> results;
  std::map<std::string, Script> rcs;
  std::set<std::string> held_calls;
  std::map<std::string, int> held;
  std::map<std::string, int64_t> calls, keys;
  std::map<std::string, std::string> values;
  std::set<std::string> leased, putting;
  std::set<Client*> clients;
  bool leases = false, wants_registered = false;
  int64_t colliding = 0;
  std::string last_setup, last_config;
};

State& S() {
  static auto& state = *new State;  // threads may outlive the end of main
  return state;
}

/// Counts a call, blocks if it is held, and says whether it has to fail as a whole.
bool Enter(std::unique_lock<std::mutex>& lock, const std::string& call, size_t keys, int* rc) {
  State& s = S();
  s.calls[call]++;
  s.keys[call] += static_cast<int64_t>(keys);
  s.held[call]++;
  s.changed.notify_all();
  s.changed.wait(lock, [&] { return s.held_calls.count(call) == 0; });
  s.held[call]--;
  Script& script = s.rcs[call];
  if (script.count == 0) return false;
  script.count--;
  *rc = static_cast<int>(script.code);
  return true;
}

/// Says whether a script decides the next result of a call.
bool Scripted(const std::string& call, int64_t* code) {
  auto& scripts = S().results[call];
  if (scripts.empty()) return false;
  Script& first = scripts.front();
  if (first.skip > 0) {
    first.skip--;
    return false;
  }
  *code = first.code;
  if (--first.count == 0) scripts.pop_front();
  return true;
}

bool Registered(const Client& client, const void* buf, size_t size) {
  const auto at = reinterpret_cast<uintptr_t>(buf);
  for (const auto& [base, len] : client.buffers) {
    if (at >= base && at + size <= base + len) return true;
  }
  return false;
}

void Lease(const char* key) {
  if (S().leases) S().leased.insert(key);
}

extern "C" void Handler(int) {}

/// By the system call, as a Go runtime does it: past the C library and what a
/// sanitizer puts in its place.
void Take(int signal, void (*handler)(int)) {
  uint64_t action[4] = {};  // handler, flags, restorer, mask
  std::memcpy(&action[0], &handler, sizeof(handler));
  syscall(SYS_rt_sigaction, signal, action, nullptr, 8);
}

__attribute__((constructor)) void TakeSignals() {
  for (int signal : {SIGURG, SIGFPE}) Take(signal, Handler);
  Take(SIGPIPE, SIG_IGN);
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

// ------------------------------------------------------------------ the ABI

EXPORT void* mooncake_store_create() {
  State& s = S();
  std::lock_guard<std::mutex> lock(s.mu);
  s.calls["create"]++;
  return *s.clients.insert(new Client).first;
}

EXPORT int mooncake_store_setup(void* handle, const char* host, const char* metadata, uint64_t segment, uint64_t buffer, const char* protocol,
                                const char* device, const char* master) {
  State& s = S();
  std::unique_lock<std::mutex> lock(s.mu);
  s.last_setup = std::string(host) + "|" + metadata + "|" + std::to_string(segment) + "|" + std::to_string(buffer) + "|" + protocol + "|" +
                 device + "|" + master;
  Take(SIGUSR2, Handler);
  int rc = 0;
  if (Enter(lock, "setup", 0, &rc)) return rc;
  static_cast<Client*>(handle)->ready = true;
  return 0;
}

EXPORT void mooncake_store_destroy(void* handle) {
  State& s = S();
  std::unique_lock<std::mutex> lock(s.mu);
  int rc = 0;
  Enter(lock, "destroy", 0, &rc);
  s.clients.erase(static_cast<Client*>(handle));
  delete static_cast<Client*>(handle);
}

EXPORT int mooncake_store_batch_put_from(void* handle, const char** keys, void** bufs, const size_t* sizes, size_t n,
                                         const mooncake::ReplicateConfig* config, int* results) {
  State& s = S();
  std::unique_lock<std::mutex> lock(s.mu);
  s.last_config = "none";
  if (config != nullptr) {
    s.last_config = std::to_string(config->replica_num) + "|" + std::to_string(config->with_soft_pin) + "|" + std::to_string(config->with_hard_pin);
    for (size_t i = 0; i < config->preferred_segments_count; i++) s.last_config += std::string("|") + config->preferred_segments[i];
  }
  std::vector<std::string> mine;
  for (size_t i = 0; i < n; i++) {
    mine.push_back(keys[i]);
    if (!s.putting.insert(keys[i]).second) s.colliding++;
  }
  int rc = 0;
  const bool failed = Enter(lock, "batch_put_from", n, &rc);
  lock.unlock();  // a moment for others to collide
  lock.lock();
  for (const auto& key : mine) s.putting.erase(key);
  if (failed) return rc;
  for (size_t i = 0; i < n; i++) {
    int64_t code = 0;
    if (Scripted("batch_put_from", &code)) {
      results[i] = static_cast<int>(code);
    } else if (static_cast<Client*>(handle)->dead) {
      results[i] = -900;
    } else if (sizes[i] == 0 || (s.wants_registered && !Registered(*static_cast<Client*>(handle), bufs[i], sizes[i]))) {
      results[i] = -600;
    } else {
      s.values.emplace(keys[i], std::string(static_cast<char*>(bufs[i]), sizes[i]));
      results[i] = 0;
    }
  }
  return 0;
}

EXPORT int mooncake_store_batch_get_into(void* handle, const char** keys, void** bufs, const size_t* sizes, size_t n, int64_t* results) {
  State& s = S();
  std::unique_lock<std::mutex> lock(s.mu);
  int rc = 0;
  if (Enter(lock, "batch_get_into", n, &rc)) return rc;
  std::map<std::string, size_t> last;
  for (size_t i = 0; i < n; i++) last[keys[i]] = i;
  for (size_t i = 0; i < n; i++) {
    const auto found = s.values.find(keys[i]);
    if (Scripted("batch_get_into", &results[i])) continue;
    if (static_cast<Client*>(handle)->dead) {
      results[i] = -900;
    } else if (found == s.values.end()) {
      results[i] = -704;
    } else if (found->second.size() > sizes[i] || (s.wants_registered && !Registered(*static_cast<Client*>(handle), bufs[i], sizes[i]))) {
      results[i] = -600;
    } else {
      Lease(keys[i]);
      if (last[keys[i]] == i) std::memcpy(bufs[i], found->second.data(), found->second.size());
      results[i] = static_cast<int64_t>(found->second.size());
    }
  }
  return 0;
}

EXPORT int mooncake_store_batch_is_exist(void* handle, const char** keys, size_t n, int* results) {
  State& s = S();
  std::unique_lock<std::mutex> lock(s.mu);
  int rc = 0;
  if (Enter(lock, "batch_is_exist", n, &rc)) return rc;
  for (size_t i = 0; i < n; i++) {
    int64_t code = 0;
    if (Scripted("batch_is_exist", &code)) {
      results[i] = static_cast<int>(code);
    } else if (static_cast<Client*>(handle)->dead) {
      results[i] = -900;
    } else {
      results[i] = static_cast<int>(s.values.count(keys[i]));
      if (results[i] == 1) Lease(keys[i]);
    }
  }
  return 0;
}

EXPORT int64_t mooncake_store_get_size(void* handle, const char* key) {
  State& s = S();
  std::unique_lock<std::mutex> lock(s.mu);
  int rc = 0;
  int64_t code = 0;
  if (Enter(lock, "get_size", 1, &rc)) return rc;
  if (Scripted("get_size", &code)) return code;
  if (static_cast<Client*>(handle)->dead) return -900;
  const auto found = s.values.find(key);
  return found == s.values.end() ? -704 : static_cast<int64_t>(found->second.size());
}

EXPORT int mooncake_store_remove(void* handle, const char* key, int force) {
  State& s = S();
  std::unique_lock<std::mutex> lock(s.mu);
  int rc = 0;
  int64_t code = 0;
  if (Enter(lock, "remove", 1, &rc)) return rc;
  if (Scripted("remove", &code)) return static_cast<int>(code);
  if (static_cast<Client*>(handle)->dead) return -900;
  if (s.values.count(key) == 0) return -704;
  if (force == 0 && s.leased.count(key) != 0) return -706;
  s.values.erase(key);
  s.leased.erase(key);
  return 0;
}

EXPORT int mooncake_store_register_buffer(void* handle, void* buf, size_t size) {
  State& s = S();
  std::unique_lock<std::mutex> lock(s.mu);
  int rc = 0;
  if (Enter(lock, "register_buffer", 0, &rc)) return rc;
  return static_cast<Client*>(handle)->buffers.emplace(reinterpret_cast<uintptr_t>(buf), size).second ? 0 : -600;
}

EXPORT int mooncake_store_unregister_buffer(void* handle, void* buf) {
  State& s = S();
  std::unique_lock<std::mutex> lock(s.mu);
  int rc = 0;
  if (Enter(lock, "unregister_buffer", 0, &rc)) return rc;
  return static_cast<Client*>(handle)->buffers.erase(reinterpret_cast<uintptr_t>(buf)) == 1 ? 0 : -600;
}

EXPORT int mooncake_store_get_hostname(void*, char* out, size_t cap) {
  std::strncpy(out, "fake-segment:1", cap);
  return 0;
}

// ------------------------------------------------------------------ control

EXPORT void fake_reset() {
  State& s = S();
  std::lock_guard<std::mutex> lock(s.mu);
  s.results.clear();
  s.rcs.clear();
  s.held_calls.clear();
  s.calls.clear();
  s.keys.clear();
  s.values.clear();
  s.leased.clear();
  s.leases = s.wants_registered = false;
  s.colliding = 0;
  s.changed.notify_all();
}

EXPORT void fake_result(const char* call, int64_t code, int count, int skip) {
  std::lock_guard<std::mutex> lock(S().mu);
  S().results[call].push_back({code, count, skip});
}

EXPORT void fake_rc(const char* call, int rc, int count) {
  std::lock_guard<std::mutex> lock(S().mu);
  S().rcs[call] = {rc, count, 0};
}

EXPORT void fake_hold(const char* call) {
  std::lock_guard<std::mutex> lock(S().mu);
  S().held_calls.insert(call);
}

EXPORT void fake_release(const char* call) {
  std::lock_guard<std::mutex> lock(S().mu);
  S().held_calls.erase(call);
  S().changed.notify_all();
}

EXPORT int fake_held(const char* call) {
  std::lock_guard<std::mutex> lock(S().mu);
  return S().held_calls.count(call) == 0 ? 0 : S().held[call];
}

EXPORT int64_t fake_calls(const char* call) {
  std::lock_guard<std::mutex> lock(S().mu);
  return S().calls[call];
}

EXPORT int64_t fake_keys(const char* call) {
  std::lock_guard<std::mutex> lock(S().mu);
  return S().keys[call];
}

EXPORT int fake_handles() {
  std::lock_guard<std::mutex> lock(S().mu);
  return static_cast<int>(S().clients.size());
}

EXPORT int fake_registered() {
  std::lock_guard<std::mutex> lock(S().mu);
  size_t n = 0;
  for (const Client* client : S().clients) n += client->buffers.size();
  return static_cast<int>(n);
}

EXPORT void fake_kill_handles() {
  std::lock_guard<std::mutex> lock(S().mu);
  for (Client* client : S().clients) client->dead = true;
}

EXPORT int fake_has(const char* key) {
  std::lock_guard<std::mutex> lock(S().mu);
  return static_cast<int>(S().values.count(key));
}

EXPORT void fake_leases(int on) {
  std::lock_guard<std::mutex> lock(S().mu);
  S().leases = on != 0;
}

EXPORT void fake_wants_registered(int on) {
  std::lock_guard<std::mutex> lock(S().mu);
  S().wants_registered = on != 0;
}

EXPORT int64_t fake_colliding_puts() {
  std::lock_guard<std::mutex> lock(S().mu);
  return S().colliding;
}

EXPORT const char* fake_last_setup() {
  std::lock_guard<std::mutex> lock(S().mu);
  return S().last_setup.c_str();
}

EXPORT const char* fake_last_config() {
  std::lock_guard<std::mutex> lock(S().mu);
  return S().last_config.c_str();
}
