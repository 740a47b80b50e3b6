// SPDX-License-Identifier: Apache-2.0
#include "agent.h"

#include <pthread.h>
#include <signal.h>

#include <cstdlib>
#include <mutex>
#include <utility>

#include "mooncake_signals.h"
#include "sixcall/connector.hpp"

namespace nixl_peer {

namespace {

using nixl::kDone;
using nixl::kDram;

/// Keeps what a backend does when it is made from the host: its threads take no
/// asynchronous signal, and signal actions that it has changed are put back. One
/// backend is made at a time.
class Quiet {
 public:
  Quiet() : lock_(mu_), before_(mooncake::LoadedCode()) {
    sigset_t all;
    sigfillset(&all);
    for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) sigdelset(&all, signal);
    pthread_sigmask(SIG_BLOCK, &all, &mask_);
  }
  ~Quiet() {
    static mooncake::CodeRanges foreign;  // guarded by mu_
    const mooncake::CodeRanges fresh = mooncake::NewCode(before_, mooncake::LoadedCode());
    foreign.insert(foreign.end(), fresh.begin(), fresh.end());
    signals_.Restore(foreign);
    pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
  }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;

 private:
  static std::mutex mu_;
  std::lock_guard<std::mutex> lock_;
  const mooncake::CodeRanges before_;
  const mooncake::SignalGuard signals_;
  sigset_t mask_;
};

std::mutex Quiet::mu_;

[[noreturn]] void Throw(int32_t code, const std::string& what, int rc) { throw sixcall::Error(code, what + ": " + nixl::StatusText(rc), rc); }

}  // namespace

Agent::Agent(std::shared_ptr<const nixl::Api> api, const std::string& backend, const std::map<std::string, std::string>& params, std::string name,
             uint64_t progress_us)
    : api_(std::move(api)), name_(std::move(name)) {
  const Quiet quiet;
  nixl::AgentConfig config = {};
  config.progress_thread = progress_us != 0;
  config.progress_delay_us = progress_us;
  config.sync = 1;
  int rc = api_->create_configured_agent(name_.c_str(), &config, &agent_);
  if (rc != kDone) Throw(SIXCALL_E_CONNECT, "make a NIXL agent", rc);
  void *memories = nullptr, *all = nullptr;
  rc = api_->get_plugin_params(agent_, backend.c_str(), &memories, &all);
  if (rc != kDone) {
    Destroy();
    Throw(SIXCALL_E_CONFIG, "load NIXL's plugin \"" + backend + "\" (NIXL writes the reason to stderr)", rc);
  }
  api_->destroy_mem_list(memories);
  for (const auto& [key, value] : params) rc = rc == kDone ? api_->params_add(all, key.c_str(), value.c_str()) : rc;
  if (rc == kDone) rc = api_->create_backend(agent_, backend.c_str(), all, &backend_);
  api_->destroy_params(all);
  if (rc == kDone) rc = api_->create_opt_args(&args_);
  if (rc == kDone) rc = api_->opt_args_add_backend(args_, backend_);
  if (rc == kDone) return;
  Destroy();
  Throw(SIXCALL_E_CONNECT, "make the NIXL backend \"" + backend + "\" (check backend_params; NIXL writes the reason to stderr)", rc);
}

Agent::~Agent() { Destroy(); }

void Agent::Destroy() noexcept {
  if (args_ != nullptr) api_->destroy_opt_args(args_);
  if (backend_ != nullptr) api_->destroy_backend(backend_);
  if (agent_ != nullptr) api_->destroy_agent(agent_);
  args_ = backend_ = agent_ = nullptr;
}

void Agent::Register(void* memory, uint64_t len) {
  void* list = nullptr;
  int rc = api_->create_reg_dlist(kDram, &list);
  if (rc == kDone) rc = api_->reg_dlist_add_desc(list, reinterpret_cast<uintptr_t>(memory), len, 0, nullptr, 0);
  if (rc == kDone) rc = api_->register_mem(agent_, list, args_);
  if (list != nullptr) api_->destroy_reg_dlist(list);
  if (rc != kDone) Throw(SIXCALL_E_NOMEM, "register " + std::to_string(len) + " bytes of memory with NIXL", rc);
}

void Agent::Unregister(void* memory, uint64_t len) noexcept {
  void* list = nullptr;
  int rc = api_->create_reg_dlist(kDram, &list);
  if (rc == kDone) rc = api_->reg_dlist_add_desc(list, reinterpret_cast<uintptr_t>(memory), len, 0, nullptr, 0);
  if (rc == kDone) api_->deregister_mem(agent_, list, args_);
  if (list != nullptr) api_->destroy_reg_dlist(list);
}

std::string Agent::Metadata() const {
  void* data = nullptr;
  size_t len = 0;
  const int rc = api_->get_local_md(agent_, &data, &len);
  if (rc != kDone) Throw(SIXCALL_E_CONNECT, "ask NIXL for this agent's metadata", rc);
  std::string text(static_cast<const char*>(data), len);
  std::free(data);
  return text;
}

void Agent::Learn(const std::string& name, const std::string& metadata) {
  char* found = nullptr;
  const int rc = api_->load_remote_md(agent_, metadata.data(), metadata.size(), &found);
  const bool same = rc == kDone && found != nullptr && name == found;
  if (rc == kDone && !same && found != nullptr) api_->invalidate_remote_md(agent_, found);
  std::free(found);
  if (rc != kDone) Throw(SIXCALL_E_IO, "NIXL does not take the metadata of a peer", rc);
  if (!same) throw sixcall::Error(SIXCALL_E_IO, "the metadata of a peer is that of another agent");
}

void Agent::Forget(const std::string& name) noexcept { api_->invalidate_remote_md(agent_, name.c_str()); }

void* Agent::StartRead(const std::string& from, uint64_t address, void* to, uint64_t len, int* status) {
  void *local = nullptr, *remote = nullptr, *request = nullptr;
  int rc = api_->create_xfer_dlist(kDram, &local);
  if (rc == kDone) rc = api_->create_xfer_dlist(kDram, &remote);
  if (rc == kDone) rc = api_->xfer_dlist_add_desc(local, reinterpret_cast<uintptr_t>(to), len, 0);
  if (rc == kDone) rc = api_->xfer_dlist_add_desc(remote, address, len, 0);
  if (rc == kDone) rc = api_->create_xfer_req(agent_, nixl::kRead, local, remote, from.c_str(), &request, args_);
  if (local != nullptr) api_->destroy_xfer_dlist(local);
  if (remote != nullptr) api_->destroy_xfer_dlist(remote);
  *status = rc;
  if (rc != kDone) return nullptr;
  *status = api_->post_xfer_req(agent_, request, args_);
  if (*status == nixl::kInProgress) return request;
  Finish(request);
  return nullptr;
}

void Agent::Finish(void* request) noexcept {
  api_->release_xfer_req(agent_, request);
  api_->destroy_xfer_req(request);
}

}  // namespace nixl_peer
