// SPDX-License-Identifier: Apache-2.0
//
// NIXL's C library, opened at run time. The declarations are our own: opaque
// handles are void pointers, enums are ints.
#ifndef SIXCALL_NIXL_API_H
#define SIXCALL_NIXL_API_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace nixl {

/// Results of NIXL's calls.
enum : int {
  kDone = 0,
  kInProgress = 1,
  kBadParameter = -1,
  kBackendError = -2,
  kBadState = -3,
  kException = -4,
  kNoTelemetry = -5,
  kNotFound = -6,
};

enum Memory : int { kDram = 0, kVram = 1, kBlock = 2, kObject = 3, kFile = 4 };
enum Direction : int { kRead = 0, kWrite = 1 };

/// Configuration of an agent, laid out as the library expects it.
struct AgentConfig {
  bool progress_thread;
  bool listen_thread;
  int listen_port;
  int sync;  // 0 none, 1 strict, 2 readers and writers; none crashes with threads
  unsigned workers;
  uint64_t progress_delay_us;
  uint64_t listen_delay_us;
  bool telemetry;
};
static_assert(sizeof(AgentConfig) == 40 && offsetof(AgentConfig, sync) == 8 && offsetof(AgentConfig, progress_delay_us) == 16 &&
                  offsetof(AgentConfig, telemetry) == 32,
              "the library has another layout");

#define SIXCALL_NIXL_FUNCTIONS(F)                                                                      \
  F(create_configured_agent, int, const char* name, const AgentConfig* config, void** agent)           \
  F(destroy_agent, int, void* agent)                                                                   \
  F(get_plugin_params, int, void* agent, const char* plugin, void** memories, void** params)           \
  F(mem_list_size, int, void* list, size_t* n)                                                         \
  F(mem_list_get, int, void* list, size_t i, int* memory)                                              \
  F(destroy_mem_list, int, void* list)                                                                 \
  F(params_add, int, void* params, const char* key, const char* value)                                 \
  F(destroy_params, int, void* params)                                                                 \
  F(create_backend, int, void* agent, const char* plugin, void* params, void** backend)                \
  F(destroy_backend, int, void* backend)                                                               \
  F(create_opt_args, int, void** args)                                                                 \
  F(destroy_opt_args, int, void* args)                                                                 \
  F(opt_args_add_backend, int, void* args, void* backend)                                              \
  F(create_reg_dlist, int, int memory, void** list)                                                    \
  F(destroy_reg_dlist, int, void* list)                                                                \
  F(reg_dlist_add_desc, int, void* list, uintptr_t address, size_t len, uint64_t device, const void* meta, size_t meta_len) \
  F(register_mem, int, void* agent, void* list, void* args)                                            \
  F(deregister_mem, int, void* agent, void* list, void* args)                                          \
  F(create_xfer_dlist, int, int memory, void** list)                                                   \
  F(destroy_xfer_dlist, int, void* list)                                                               \
  F(xfer_dlist_add_desc, int, void* list, uintptr_t address, size_t len, uint64_t device)              \
  F(create_xfer_req, int, void* agent, int direction, void* local, void* remote, const char* remote_agent, void** request, void* args) \
  F(post_xfer_req, int, void* agent, void* request, void* args)                                        \
  F(get_xfer_status, int, void* agent, void* request)                                                  \
  F(release_xfer_req, int, void* agent, void* request)                                                 \
  F(destroy_xfer_req, int, void* request)                                                              \
  F(query_mem, int, void* agent, void* list, void* response, void* args)                               \
  F(create_query_resp_list, int, void** list)                                                          \
  F(destroy_query_resp_list, int, void* list)                                                          \
  F(query_resp_list_size, int, void* list, size_t* n)                                                  \
  F(query_resp_list_has_value, int, void* list, size_t i, bool* has)                                   \
  F(get_local_md, int, void* agent, void** data, size_t* len)                                          \
  F(load_remote_md, int, void* agent, const void* data, size_t len, char** name)                       \
  F(invalidate_remote_md, int, void* agent, const char* name)                                          \
  F(is_stub, bool)

/// The functions of one loaded library. The library stays loaded for ever.
struct Api {
#define SIXCALL_NIXL_DECLARE(name, result, ...) result (*name)(__VA_ARGS__) = nullptr;
  SIXCALL_NIXL_FUNCTIONS(SIXCALL_NIXL_DECLARE)
#undef SIXCALL_NIXL_DECLARE
  std::string path;
};

/// Opens libnixl_capi.so. Looked for at `configured` if that is not empty, else at
/// the environment's SIXCALL_NIXL_LIBRARY if that is set, else where pip puts the
/// wheel. A folder stands for the library in it, or in the wheel installed in it.
/// Throws sixcall::Error that names the package and every place tried.
std::shared_ptr<const Api> LoadApi(const std::string& configured);

/// What a result below 0 means, with its number: "the backend failed (-2)".
std::string StatusText(int rc);

}  // namespace nixl

#endif  // SIXCALL_NIXL_API_H
