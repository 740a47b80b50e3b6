// SPDX-License-Identifier: Apache-2.0
#include "mooncake_find.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <system_error>

#include "sixcall/connector.hpp"

namespace mooncake {
namespace {

constexpr const char* kVariable = "SIXCALL_MOONCAKE_LIBRARY";

std::string FromEnvironment(const char* name) {
  const char* value = ::secure_getenv(name);
  return value == nullptr ? "" : value;
}

/// The last match, so that the newest Python wins.
std::string Match(const std::string& pattern) {
  glob_t found = {};
  std::string path;
  if (::glob(pattern.c_str(), 0, nullptr, &found) == 0 && found.gl_pathc > 0) path = found.gl_pathv[found.gl_pathc - 1];
  ::globfree(&found);
  return path;
}

}  // namespace

void CheckLibraryFile(const std::string& path, const std::string& what) {
  const auto refuse = [&](const std::string& why) { throw sixcall::Error(SIXCALL_E_CONFIG, what + ": " + path + ": " + why); };
  if (path.empty() || path[0] != '/') refuse("not an absolute path");
  struct stat file = {};
  if (::stat(path.c_str(), &file) != 0) {
    refuse(std::generic_category().message(errno) + "; PyPI's tokenspeed-mooncake brings libmooncake_store.so");
  }
  if (!S_ISREG(file.st_mode)) refuse("not a file");
  if ((file.st_mode & S_IWOTH) != 0) refuse("everybody may write it; chmod o-w");
}

std::vector<std::string> SearchPatterns() {
  std::vector<std::string> roots;
  const std::string environment = FromEnvironment("VIRTUAL_ENV"), home = FromEnvironment("HOME");
  if (!environment.empty() && environment[0] == '/') roots.push_back(environment + "/lib/python3*/site-packages");
  if (!home.empty() && home[0] == '/') roots.push_back(home + "/.local/lib/python3*/site-packages");
  roots.push_back("/usr/local/lib/python3*/*-packages");
  roots.push_back("/usr/lib/python3*/*-packages");
  std::vector<std::string> patterns;
  for (const auto& root : roots) patterns.push_back(root + "/mooncake/libmooncake_store.so");
#if defined(__x86_64__)
  const std::string multiarch = "x86_64-linux-gnu";
#else
  const std::string multiarch = "aarch64-linux-gnu";
#endif
  for (const std::string& folder : {std::string("/usr/local/lib"), "/usr/lib/" + multiarch, std::string("/usr/lib")}) {
    patterns.push_back(folder + "/libmooncake_store.so");
  }
  return patterns;
}

std::string FindLibrary(const std::string& configured) {
  if (!configured.empty()) {
    CheckLibraryFile(configured, "config key \"library\"");
    return configured;
  }
  const std::string variable = FromEnvironment(kVariable);
  if (!variable.empty()) {
    CheckLibraryFile(variable, kVariable);
    return variable;
  }
  std::string places;
  for (const auto& pattern : SearchPatterns()) {
    const std::string path = Match(pattern);
    if (!path.empty()) {
      CheckLibraryFile(path, "found");
      return path;
    }
    // The folder is enough: the error has little room.
    places += (places.empty() ? "" : " ") + pattern.substr(0, pattern.rfind('/'));
  }
  throw sixcall::Error(SIXCALL_E_CONFIG, std::string("no libmooncake_store.so (PyPI: tokenspeed-mooncake); set config key \"library\" or ") +
                                             kVariable + "; looked in " + places);
}

std::string LoadHint(const std::string& error) {
  const auto misses = [&](const char* name) { return error.find(name) != std::string::npos; };
  if (misses("libcudart.so")) return "PyPI's nvidia-cuda-runtime has it";
  if (misses("libcuda.so")) return "it comes with the GPU's driver; without a GPU use a build without CUDA, or \"preload\" a stand-in";
  if (misses("libibverbs.so") || misses("libmlx5.so")) return "Debian: libibverbs1 ibverbs-providers";
  if (misses("libcurl.so")) return "Debian: libcurl4";
  if (misses("libnuma.so")) return "Debian: libnuma1";
  return "";
}

}  // namespace mooncake
