// SPDX-License-Identifier: Apache-2.0
#include "library.h"

#include <dlfcn.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "core.h"

namespace probe {

Host::Host(const HostOptions& options)
    : options_(options), memory_(sizeof(sixcall_host) + options.tail, Edge::kEnd, "the host struct", options.tail == 0 ? 8 : 1) {
  // With a tail the struct still has to be aligned; it is, as all tails are multiples of 8.
  memset(memory_.data(), 0xEE, memory_.size());
  auto* host = reinterpret_cast<sixcall_host*>(memory_.data());
  memset(host, 0, sizeof(*host));
  host->struct_size = static_cast<uint32_t>(memory_.size());
  host->abi_major = SIXCALL_ABI_MAJOR;
  host->abi_minor = options.minor;
  host->features = options.features;
  host->name = "sixcall-probe";
  host->version = "1";
  host->log_ctx = this;
  host->log = options.log ? OnLog : nullptr;
  host->log_level = options.level;
  memory_.Protect(PROT_READ, ", which is read-only");
}

void Host::Violate(const std::string& text) {
  if (violation_.empty()) violation_ = text;
}

void Host::OnLog(void* context, int32_t level, const char* text, uint64_t len) {
  auto* self = static_cast<Host*>(context);
  self->inside_.fetch_add(1);
  self->last_thread_.store(syscall(SYS_gettid));
  {
    std::lock_guard<std::mutex> lock(self->mu_);
    self->count_.fetch_add(1);
    const bool sane = text != nullptr && len <= (1 << 20);
    const std::string line = sane ? std::string(text, len) : std::string();
    if (self->closed_.load()) self->Violate("log was called after close returned 0: " + Show(line));
    if (level < SIXCALL_LOG_ERROR || level > SIXCALL_LOG_DEBUG) self->Violate(Format("a line has level %d, want 0 to 3", level));
    if (level > self->options_.level) {
      self->Violate(Format("a line of level %d came although the host asked for at most %d: %s", level, self->options_.level, Show(line).c_str()));
    }
    if (!sane) self->Violate(Format("a line has no text or a length of %llu", static_cast<unsigned long long>(len)));
    if (!IsUtf8(line.data(), line.size())) self->Violate("a line is not UTF-8: " + Show(line));
    if (line.find('\n') != std::string::npos) self->Violate("a line holds a newline: " + Show(line));
    if (self->lines_.size() < 1000) self->lines_.push_back(line);
  }
  const uint64_t ms = self->block_ms_.load();
  if (ms != 0) SleepUs(ms * 1000);
  self->inside_.fetch_sub(1);
}

std::vector<std::string> Host::lines() const {
  std::lock_guard<std::mutex> lock(mu_);
  return lines_;
}

std::string Host::violation() const {
  std::lock_guard<std::mutex> lock(mu_);
  return violation_;
}

const sixcall_api* Entry(void* handle, const sixcall_host* host) {
  void* symbol = dlsym(handle, SIXCALL_ENTRY_SYMBOL);
  if (symbol == nullptr) return nullptr;
  sixcall_connector_entry_fn entry;
  memcpy(&entry, &symbol, sizeof(entry));
  return entry(host);
}

const sixcall_api* LoadFrom(const std::string& path, std::string* error, void** handle) {
  At("dlopen of %s", path.c_str());
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    *error = dlerror();
    return nullptr;
  }
  if (handle != nullptr) *handle = library;
  if (dlsym(library, SIXCALL_ENTRY_SYMBOL) == nullptr) {
    *error = "it does not export " SIXCALL_ENTRY_SYMBOL;
    return nullptr;
  }
  At("the entry point");
  static Host* const host = new Host;
  const sixcall_api* api = Entry(library, host->get());
  if (api == nullptr) *error = "the entry point returned NULL: the library refuses this host";
  return api;
}

const sixcall_api* Load() {
  static const sixcall_api* api = nullptr;
  if (api != nullptr) return api;
  std::string error;
  api = LoadFrom(In("library"), &error);
  if (api == nullptr) Fail("the library cannot be loaded: %s", error.c_str());
  if (api->struct_size < SIXCALL_API_REQUIRED_SIZE || api->open == nullptr || api->event_fd == nullptr || api->submit_batch_get == nullptr ||
      api->submit_batch_set == nullptr || api->submit_batch_exists == nullptr || api->drain_completions == nullptr || api->close == nullptr) {
    Fail("the table is too short or a required slot is NULL; see check L05");
  }
  return api;
}

void Require(const sixcall_api* api, uint64_t cap, const char* name) {
  if (!HasCap(api, cap)) Skip("the library does not declare the capability %s", name);
}

std::string ObjectOf(const void* address) {
  Dl_info info;
  if (dladdr(address, &info) == 0 || info.dli_fname == nullptr) return "no library";
  return info.dli_fname;
}

}  // namespace probe
