// SPDX-License-Identifier: Apache-2.0
#include "library.h"

#include <dlfcn.h>

#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "error.h"

namespace driver {
namespace {

constexpr uint32_t kOpenTimeoutMs = 10000;
constexpr uint32_t kGraceMs = 10000;

void Log(void *, int32_t level, const char *text, uint64_t len) {
  static const char *const kNames[] = {"error", "warning"};
  std::fprintf(stderr, "sixcall-driver: connector %s: %.*s\n", kNames[level <= 0 ? 0 : 1],
               static_cast<int>(len > INT_MAX ? INT_MAX : len), text);
}

// Valid for the life of the process, which is longer than any handle.
const sixcall_host kHost = {
    sizeof(sixcall_host), SIXCALL_ABI_MAJOR, SIXCALL_ABI_MINOR, 0, "sixcall-driver", "1.0.0", nullptr, Log,
    SIXCALL_LOG_WARN,     0};

const char *MissingSlot(const sixcall_api &api) {
  if (api.open == nullptr) return "open";
  if (api.event_fd == nullptr) return "event_fd";
  if (api.submit_batch_get == nullptr) return "submit_batch_get";
  if (api.submit_batch_set == nullptr) return "submit_batch_set";
  if (api.submit_batch_exists == nullptr) return "submit_batch_exists";
  if (api.drain_completions == nullptr) return "drain_completions";
  if (api.close == nullptr) return "close";
  return nullptr;
}

void CheckTable(const std::string &path, const sixcall_api *api) {
  if (api == nullptr) throw RunError(path + ": the connector refuses this host: its entry point returned NULL");
  if (api->struct_size < SIXCALL_API_REQUIRED_SIZE) {
    throw RunError(path + ": the table has " + std::to_string(api->struct_size) + " bytes, want at least " +
                   std::to_string(SIXCALL_API_REQUIRED_SIZE));
  }
  if (api->abi_major != SIXCALL_ABI_MAJOR) {
    throw RunError(path + ": the table has ABI major " + std::to_string(api->abi_major) + ", want " +
                   std::to_string(SIXCALL_ABI_MAJOR));
  }
  if (api->needs != 0) throw RunError(path + ": the connector needs host features that this driver does not have");
  if (const char *slot = MissingSlot(*api)) throw RunError(path + ": required slot " + slot + " is NULL");
}

}  // namespace

std::string CodeText(int32_t code) {
  static const char *const kNames[] = {"OK",      "INVAL",  "AGAIN", "CLOSED",  "UNSUPPORTED", "IO",
                                       "NOMEM",   "TIMEOUT", "CANCELLED", "AUTH", "CONNECT",   "CONFIG",
                                       "INTERNAL", "VERSION", "BUSY", "NOSPACE", "CORRUPT"};
  constexpr int32_t kCount = sizeof(kNames) / sizeof(kNames[0]);
  const bool known = code <= 0 && code > -kCount;
  return std::string(known ? kNames[-code] : "unknown code") + " (" + std::to_string(code) + ")";
}

const sixcall_api *LoadConnector(const std::string &path) {
  // The loader searches its own folders for a name without a slash, and a
  // benchmark of some other library would look just as good.
  char resolved[PATH_MAX];
  if (realpath(path.c_str(), resolved) == nullptr) throw RunError(path + ": " + std::strerror(errno));
  void *library = dlopen(resolved, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw RunError(std::string("load the connector: ") + dlerror());
  void *symbol = dlsym(library, SIXCALL_ENTRY_SYMBOL);
  if (symbol == nullptr) throw RunError(path + ": no symbol " SIXCALL_ENTRY_SYMBOL "; is it a connector library?");
  sixcall_connector_entry_fn entry;
  static_assert(sizeof(entry) == sizeof(symbol), "dlsym returns functions as data pointers");
  std::memcpy(&entry, &symbol, sizeof(entry));
  const sixcall_api *api = entry(&kHost);
  CheckTable(path, api);
  return api;
}

Connection::Connection(const sixcall_api *api, const std::string &params, uint32_t max_inflight, uint32_t max_batch,
                       uint64_t value_len_hint)
    : api_(api) {
  sixcall_open_args args = {};
  args.struct_size = sizeof(args);
  args.config_json = params.data();
  args.config_len = params.size();
  args.instance = "sixcall-driver";
  args.max_inflight = max_inflight;
  args.max_batch = max_batch;
  args.value_len_hint = value_len_hint;
  args.open_timeout_ms = kOpenTimeoutMs;
  sixcall_err err = {};
  err.struct_size = sizeof(err);
  const int32_t rc = api->open(&kHost, &args, &handle_, &err);
  if (rc < 0) {
    handle_ = nullptr;
    err.msg[sizeof(err.msg) - 1] = '\0';
    throw RunError("open: " + CodeText(rc) + ": " + (err.msg[0] != '\0' ? err.msg : "the connector gave no reason"));
  }
  if (handle_ == nullptr) throw RunError("open: the connector returned 0 and no handle");
  fd_ = api->event_fd(handle_);
  if (fd_ < 0) {
    api->close(handle_, kGraceMs);
    throw RunError("event_fd: " + CodeText(fd_));
  }
}

Connection::~Connection() {
  if (handle_ != nullptr) api_->close(handle_, kGraceMs);
}

void Connection::Close() {
  sixcall_conn *handle = handle_;
  handle_ = nullptr;
  const int32_t rc = api_->close(handle, kGraceMs);
  if (rc != SIXCALL_OK) throw RunError("close: " + CodeText(rc));
}

}  // namespace driver
