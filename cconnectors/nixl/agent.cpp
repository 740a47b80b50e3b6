// SPDX-License-Identifier: Apache-2.0
#include "agent.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

#include "sixcall/connector.hpp"

namespace nixl {

namespace {

/// The user's part of every address space that Linux gives a process.
constexpr uintptr_t kFirstAddress = 4096;
constexpr uint64_t kAllMemory = uint64_t{1} << 56;
/// One descriptor moves at most this much: the kernel cuts a longer read or write.
constexpr uint64_t kMaxPiece = uint64_t{1} << 30;
constexpr uint64_t kBounceStep = 64 << 10;
constexpr uint64_t kMaxSpare = 64 << 20;  // bytes of unused bounce memory that an agent keeps

[[noreturn]] void Throw(int32_t code, const std::string& what, int rc) { throw sixcall::Error(code, what + ": " + StatusText(rc), rc); }

}  // namespace

std::atomic<uint64_t> Agent::bounce_bytes_{0};

Agent::Agent(std::shared_ptr<const Api> api, const BackendSpec& spec, const std::string& name) : api_(std::move(api)), name_(name) {
  AgentConfig config = {};
  config.sync = 1;  // another thread may register an arena
  const int rc = api_->create_configured_agent(name_.c_str(), &config, &agent_);
  if (rc != kDone) Throw(SIXCALL_E_CONNECT, "make a NIXL agent", rc);
  try {
    MakeBackend(spec);
    if (spec.memory_is_free) all_memory_ = RegisterMemory(kFirstAddress, kAllMemory, false) == kDone;
  } catch (...) {
    Destroy();
    throw;
  }
}

void Agent::MakeBackend(const BackendSpec& spec) {
  void* memories = nullptr;
  void* params = nullptr;
  int rc = api_->get_plugin_params(agent_, spec.name.c_str(), &memories, &params);
  if (rc != kDone) {
    Throw(SIXCALL_E_CONFIG, "load NIXL's plugin \"" + spec.name + "\" (the plugins are in the folder plugins beside libnixl.so; NIXL writes the reason to stderr)", rc);
  }
  size_t n = 0;
  bool dram = false, file = false, object = false;
  api_->mem_list_size(memories, &n);
  for (size_t i = 0; i < n; i++) {
    int memory = -1;
    if (api_->mem_list_get(memories, i, &memory) != kDone) continue;
    dram = dram || memory == kDram;
    file = file || memory == kFile;
    object = object || memory == kObject;
  }
  api_->destroy_mem_list(memories);
  if (!dram || file == object) {
    api_->destroy_params(params);
    throw sixcall::Error(SIXCALL_E_CONFIG, "backend \"" + spec.name + "\" does not move host memory to either files or objects; POSIX and OBJ do");
  }
  kind_ = file ? kFile : kObject;
  for (const auto& [key, value] : spec.params) rc = rc == kDone ? api_->params_add(params, key.c_str(), value.c_str()) : rc;
  if (rc == kDone) rc = api_->create_backend(agent_, spec.name.c_str(), params, &backend_);
  api_->destroy_params(params);
  if (rc != kDone) Throw(SIXCALL_E_CONNECT, "make the NIXL backend \"" + spec.name + "\" (check backend_params; NIXL writes the reason to stderr)", rc);
  rc = api_->create_opt_args(&args_);
  if (rc == kDone) rc = api_->opt_args_add_backend(args_, backend_);
  if (rc != kDone) Throw(SIXCALL_E_CONNECT, "make the options of NIXL's calls", rc);
}

Agent::~Agent() {
  while (!spare_.empty()) {
    const Bounce block = spare_.begin()->second;
    spare_.erase(spare_.begin());
    DropBounce(block);
  }
  Destroy();
}

void Agent::Destroy() noexcept {
  if (args_ != nullptr) api_->destroy_opt_args(args_);
  if (backend_ != nullptr) api_->destroy_backend(backend_);
  if (agent_ != nullptr) api_->destroy_agent(agent_);
  args_ = backend_ = agent_ = nullptr;
}

int Agent::RegisterMemory(uintptr_t address, uint64_t len, bool undo) noexcept {
  void* list = nullptr;
  int rc = api_->create_reg_dlist(kDram, &list);
  if (rc == kDone) rc = api_->reg_dlist_add_desc(list, address, len, 0, nullptr, 0);
  if (rc == kDone) rc = undo ? api_->deregister_mem(agent_, list, args_) : api_->register_mem(agent_, list, args_);
  if (list != nullptr) api_->destroy_reg_dlist(list);
  return rc;
}

bool Agent::Covers(const void* data, uint64_t len) const {
  if (all_memory_) return true;
  const auto address = reinterpret_cast<uintptr_t>(data);
  std::lock_guard<std::mutex> lock(arenas_mu_);
  auto it = arenas_.upper_bound(address);
  if (it == arenas_.begin()) return false;
  --it;
  return address - it->first <= it->second && len <= it->second - (address - it->first);
}

void Agent::RegisterArena(const void* base, uint64_t len) {
  if (all_memory_) return;
  const auto address = reinterpret_cast<uintptr_t>(base);
  std::lock_guard<std::mutex> lock(arenas_mu_);
  const int rc = RegisterMemory(address, len, false);
  if (rc != kDone) Throw(SIXCALL_E_IO, "register " + std::to_string(len) + " bytes of memory", rc);
  arenas_[address] = len;
}

void Agent::UnregisterArena(const void* base, uint64_t len) {
  if (all_memory_) return;
  const auto address = reinterpret_cast<uintptr_t>(base);
  std::lock_guard<std::mutex> lock(arenas_mu_);
  if (arenas_.erase(address) != 0) RegisterMemory(address, len, true);
}

void* Agent::Register(const std::vector<Stored>& stored) {
  void* list = nullptr;
  int rc = api_->create_reg_dlist(kind_, &list);
  for (const Stored& s : stored) {
    if (rc != kDone) break;
    rc = api_->reg_dlist_add_desc(list, 0, s.len, s.device, s.meta.empty() ? nullptr : s.meta.data(), s.meta.size());
  }
  if (rc == kDone) rc = api_->register_mem(agent_, list, args_);
  if (rc == kDone) return list;
  if (list != nullptr) api_->destroy_reg_dlist(list);
  Throw(SIXCALL_E_IO, "register " + std::to_string(stored.size()) + (kind_ == kFile ? " files" : " objects"), rc);
}

void Agent::Forget(void* list) noexcept {
  if (list == nullptr) return;
  api_->deregister_mem(agent_, list, args_);
  api_->destroy_reg_dlist(list);
}

void* Agent::Start(Direction direction, const void* data, uint64_t len, uint64_t device, int* status) noexcept {
  void *local = nullptr, *remote = nullptr, *request = nullptr;
  int rc = api_->create_xfer_dlist(kDram, &local);
  if (rc == kDone) rc = api_->create_xfer_dlist(kind_, &remote);
  // An object is one request of its protocol, so it is never cut.
  const uint64_t piece = kind_ == kFile ? kMaxPiece : len;
  for (uint64_t at = 0; at < len && rc == kDone; at += piece) {
    const uint64_t n = std::min(piece, len - at);
    rc = api_->xfer_dlist_add_desc(local, reinterpret_cast<uintptr_t>(data) + at, n, 0);
    if (rc == kDone) rc = api_->xfer_dlist_add_desc(remote, at, n, device);
  }
  if (rc == kDone) rc = api_->create_xfer_req(agent_, direction, local, remote, name_.c_str(), &request, args_);
  if (local != nullptr) api_->destroy_xfer_dlist(local);
  if (remote != nullptr) api_->destroy_xfer_dlist(remote);
  *status = rc;
  if (rc != kDone) return nullptr;
  *status = api_->post_xfer_req(agent_, request, args_);
  if (*status == kInProgress) return request;
  Finish(request);  // done at once, or refused and then nothing is in progress
  return nullptr;
}

void Agent::Finish(void* request) noexcept {
  api_->release_xfer_req(agent_, request);
  api_->destroy_xfer_req(request);
}

int Agent::Query(const std::vector<std::string>& names, std::vector<bool>* exists) noexcept {
  void *list = nullptr, *response = nullptr;
  int rc = api_->create_reg_dlist(kind_, &list);
  for (const auto& name : names) {
    if (rc == kDone) rc = api_->reg_dlist_add_desc(list, 0, 0, NextDevice(), name.data(), name.size());
  }
  if (rc == kDone) rc = api_->create_query_resp_list(&response);
  if (rc == kDone) rc = api_->query_mem(agent_, list, response, args_);
  size_t n = 0;
  if (rc == kDone) rc = api_->query_resp_list_size(response, &n);
  if (rc == kDone && n != names.size()) rc = kBadState;
  exists->assign(names.size(), false);
  for (size_t i = 0; i < names.size() && rc == kDone; i++) {
    bool has = false;
    rc = api_->query_resp_list_has_value(response, i, &has);
    (*exists)[i] = has;
  }
  if (response != nullptr) api_->destroy_query_resp_list(response);
  if (list != nullptr) api_->destroy_reg_dlist(list);
  return rc;
}

Bounce Agent::Take(uint64_t len) {
  const auto it = spare_.lower_bound(len);
  if (it != spare_.end() && it->first <= 2 * len + kBounceStep) {
    const Bounce block = it->second;
    spare_.erase(it);
    spare_bytes_ -= block.size;
    return block;
  }
  Bounce block;
  block.size = (len + kBounceStep - 1) / kBounceStep * kBounceStep;
  void* data = mmap(nullptr, block.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) throw sixcall::Error(SIXCALL_E_NOMEM, "no memory for a transfer of " + std::to_string(len) + " bytes", errno);
  block.data = static_cast<uint8_t*>(data);
  bounce_bytes_.fetch_add(block.size, std::memory_order_relaxed);
  if (all_memory_) return block;
  const int rc = RegisterMemory(reinterpret_cast<uintptr_t>(block.data), block.size, false);
  if (rc == kDone) return block;
  munmap(block.data, block.size);
  bounce_bytes_.fetch_sub(block.size, std::memory_order_relaxed);
  Throw(SIXCALL_E_IO, "register " + std::to_string(block.size) + " bytes of memory", rc);
}

void Agent::Give(Bounce block) noexcept {
  if (block.data == nullptr) return;
  if (block.size > kMaxSpare || spare_bytes_ + block.size > kMaxSpare) return DropBounce(block);
  try {
    spare_.emplace(block.size, block);
    spare_bytes_ += block.size;
  } catch (...) {
    DropBounce(block);
  }
}

void Agent::DropBounce(Bounce block) noexcept {
  if (!all_memory_) RegisterMemory(reinterpret_cast<uintptr_t>(block.data), block.size, true);
  munmap(block.data, block.size);
  bounce_bytes_.fetch_sub(block.size, std::memory_order_relaxed);
}

}  // namespace nixl
