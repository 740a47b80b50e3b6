// SPDX-License-Identifier: Apache-2.0
#include "nixl_api.h"

#include <dlfcn.h>
#include <glob.h>
#include <sys/auxv.h>
#include <sys/stat.h>

#include <cstdlib>

#include "sixcall/connector.hpp"

namespace nixl {

namespace {

constexpr const char* kFile = "libnixl_capi.so";
constexpr const char* kPackage = "PyPI's nixl-cu12==1.5.1 brings it (--no-deps)";
/// NIXL 1.5 brought the first C function of this name; older libraries mix up the
/// errors of requests and take short reads for whole ones.
constexpr const char* kNewIn15 = "nixl_capi_opt_args_set_custom_param";

bool IsFolder(const std::string& path) {
  struct stat st;
  return stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}
bool IsFile(const std::string& path) {
  struct stat st;
  return stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode);
}

std::vector<std::string> Glob(const std::string& pattern) {
  std::vector<std::string> found;
  glob_t result = {};
  if (glob(pattern.c_str(), 0, nullptr, &result) == 0) found.assign(result.gl_pathv, result.gl_pathv + result.gl_pathc);
  globfree(&result);
  return found;
}

constexpr const char* kWheelFolders[] = {".nixl_cu12.mesonpy.libs/", ".nixl_cu13.mesonpy.libs/"};

/// The library behind a path that a user gave, or "".
std::string Resolve(const std::string& given) {
  if (!IsFolder(given)) return IsFile(given) ? given : "";
  if (IsFile(given + "/" + kFile)) return given + "/" + kFile;
  for (const char* folder : kWheelFolders) {
    const std::string path = given + "/" + folder + kFile;
    if (IsFile(path)) return path;
  }
  return "";
}

const char* Environment(const char* name) {
  // A process with raised privileges takes no library from its caller's environment.
  return getauxval(AT_SECURE) != 0 ? nullptr : getenv(name);
}

std::string Find(const std::string& configured) {
  std::string found, places;
  const char* environment = Environment("SIXCALL_NIXL_LIBRARY");
  const std::string given = !configured.empty() ? configured : environment != nullptr ? environment : "";
  if (!given.empty()) {
    found = Resolve(given);
    places = given;
  } else {
    std::vector<std::string> folders = {"/usr/local/lib/python3*/*-packages", "/usr/lib/python3*/*-packages"};
    if (const char* venv = Environment("VIRTUAL_ENV"); venv != nullptr) folders.insert(folders.begin(), std::string(venv) + "/lib/python3*/site-packages");
    for (const auto& folder : folders) {
      places += (places.empty() ? "" : ", ") + folder;
      for (const char* wheel : kWheelFolders) {
        const auto all = Glob(folder + "/" + wheel + kFile);
        if (found.empty() && !all.empty()) found = all.front();
      }
    }
  }
  if (!found.empty()) return found;
  // The places last: they are what may be cut.
  throw sixcall::Error(SIXCALL_E_CONFIG, std::string(kFile) + " is missing; " + kPackage + "; or set \"library\" or SIXCALL_NIXL_LIBRARY; looked in " + places);
}

}  // namespace

std::shared_ptr<const Api> LoadApi(const std::string& configured) {
  auto api = std::make_shared<Api>();
  api->path = Find(configured);
  // Not closed again, whatever happens: its threads and exit handlers stay.
  void* library = dlopen(api->path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = dlerror();
    throw sixcall::Error(SIXCALL_E_CONFIG, "cannot load " + api->path + ": " + (why == nullptr ? "no reason given" : why) + "; " + kPackage);
  }
#define SIXCALL_NIXL_RESOLVE(name, result, ...)                                                                                      \
  api->name = reinterpret_cast<result (*)(__VA_ARGS__)>(dlsym(library, "nixl_capi_" #name));                                          \
  if (api->name == nullptr) throw sixcall::Error(SIXCALL_E_VERSION, api->path + " has no nixl_capi_" #name ", want NIXL 1.5 or newer; " + std::string(kPackage));
  SIXCALL_NIXL_FUNCTIONS(SIXCALL_NIXL_RESOLVE)
#undef SIXCALL_NIXL_RESOLVE
  if (api->is_stub()) throw sixcall::Error(SIXCALL_E_VERSION, api->path + " is a stub that does nothing; " + kPackage);
  if (dlsym(library, kNewIn15) == nullptr) throw sixcall::Error(SIXCALL_E_VERSION, api->path + " is older than NIXL 1.5; " + kPackage);
  return api;
}

std::string StatusText(int rc) {
  const char* text = "NIXL returned an unknown status";
  switch (rc) {
    case kDone: text = "done"; break;
    case kInProgress: text = "in progress"; break;
    case kBadParameter: text = "NIXL calls a parameter wrong"; break;
    case kBackendError: text = "the NIXL backend failed"; break;
    case kBadState: text = "NIXL is in a wrong state"; break;
    case kException: text = "NIXL caught an exception"; break;
    case kNoTelemetry: text = "NIXL has no telemetry"; break;
    case kNotFound: text = "NIXL found no backend or registration"; break;
    default: break;
  }
  return std::string(text) + " (" + std::to_string(rc) + ")";
}

}  // namespace nixl
