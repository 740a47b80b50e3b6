// SPDX-License-Identifier: Apache-2.0
#include "infinistore_keys.h"

#include <chrono>

#include "infinistore_hash.h"

namespace infinistore {

Keys& Keys::OfProcess() {
  static Keys* const keys = new Keys;
  return *keys;
}

uint32_t Keys::Server(const std::string& address) {
  std::lock_guard<std::mutex> lock(servers_mu_);
  return servers_.emplace(address, static_cast<uint32_t>(servers_.size())).first->second;
}

Keys::Lock Keys::Take(uint32_t server, std::string_view key, bool alone, const std::function<bool()>& wait) {
  const uint64_t id = HashOnce(key.data(), key.size(), server);
  Shard& shard = ShardOf(id);
  std::unique_lock<std::mutex> lock(shard.mu);
  bool announced = false;  // in waiting_alone, which keeps new readers out
  for (;;) {
    State& state = shard.states[id];
    if (announced) state.waiting_alone--;
    announced = false;
    if (!state.alone && (alone ? state.sharing == 0 : state.waiting_alone == 0)) {
      if (alone) {
        state.alone = true;
      } else {
        state.sharing++;
      }
      return Lock(this, id, alone);
    }
    if (alone) state.waiting_alone++, announced = true;
    shard.changed.wait_for(lock, std::chrono::milliseconds(25));
    lock.unlock();
    const bool go_on = wait();
    lock.lock();
    if (go_on) continue;
    const auto it = shard.states.find(id);
    if (it == shard.states.end()) return Lock();
    if (announced) it->second.waiting_alone--;
    if (!it->second.alone && it->second.sharing == 0 && it->second.waiting_alone == 0) shard.states.erase(it);
    shard.changed.notify_all();
    return Lock();
  }
}

void Keys::Give(uint64_t id, bool alone) {
  Shard& shard = ShardOf(id);
  std::lock_guard<std::mutex> lock(shard.mu);
  const auto it = shard.states.find(id);
  State& state = it->second;
  if (alone) {
    state.alone = false;
  } else {
    state.sharing--;
  }
  if (!state.alone && state.sharing == 0) {
    if (state.waiting_alone == 0) shard.states.erase(it);
    shard.changed.notify_all();
  }
}

void Keys::Lock::Release() {
  if (keys_ != nullptr) std::exchange(keys_, nullptr)->Give(id_, alone_);
}

void Keys::AddCut(uint32_t server, std::string_view key) {
  std::lock_guard<std::mutex> lock(cut_mu_);
  cut_.emplace(server, std::string(key));
  cut_count_.store(cut_.size(), std::memory_order_release);
}

bool Keys::IsCut(uint32_t server, std::string_view key) const {
  if (!HasCut()) return false;
  std::lock_guard<std::mutex> lock(cut_mu_);
  return cut_.count({server, std::string(key)}) != 0;
}

void Keys::RemoveCut(uint32_t server, std::string_view key) {
  if (!HasCut()) return;
  std::lock_guard<std::mutex> lock(cut_mu_);
  cut_.erase({server, std::string(key)});
  cut_count_.store(cut_.size(), std::memory_order_release);
}

bool Keys::AnyCut(uint32_t server, std::string* key) const {
  if (!HasCut()) return false;
  std::lock_guard<std::mutex> lock(cut_mu_);
  const auto it = cut_.lower_bound({server, std::string()});
  if (it == cut_.end() || it->first != server) return false;
  *key = it->second;
  return true;
}

}  // namespace infinistore
