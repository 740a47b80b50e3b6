// SPDX-License-Identifier: Apache-2.0
#include "mooncake_library.h"

#include <dlfcn.h>

#include <cstring>
#include <exception>
#include <map>
#include <mutex>

#include "mooncake_find.h"
#include "sixcall/connector.hpp"

namespace mooncake {
namespace {

void* OpenFile(const std::string& path, int flags) {
  void* handle = ::dlopen(path.c_str(), flags);
  if (handle != nullptr) return handle;
  const char* why = ::dlerror();
  const std::string error = why == nullptr ? "no reason given" : why;
  // The loader's text begins with the path of the file or of what it needs.
  const std::string hint = LoadHint(error);
  throw sixcall::Error(SIXCALL_E_CONFIG, "load " + error + (hint.empty() ? "" : "; " + hint) + "; wanted by " + path);
}

template <class F>
bool Resolve(void* handle, const char* name, F** out) {
  void* symbol = ::dlsym(handle, (std::string("mooncake_store_") + name).c_str());
  std::memcpy(out, &symbol, sizeof(symbol));
  return symbol != nullptr;
}

}  // namespace

const Library& Library::Load(const std::string& path, const std::vector<std::string>& preload) {
  // Never freed: the library's threads outlive every connection.
  static auto& mu = *new std::mutex;
  static auto& loaded = *new std::map<std::string, Library*>;
  std::lock_guard<std::mutex> lock(mu);
  Library*& slot = loaded[path];
  if (slot != nullptr) return *slot;
  std::unique_ptr<Library> library(new Library(path));
  // On a thread that takes no signal, so that threads which the library starts
  // while it is loaded take none either.
  std::exception_ptr failed;
  sixcall::detail::StartThread("mooncake", [&] {
    try {
      library->Open(preload);
    } catch (...) {
      failed = std::current_exception();
    }
  }).join();
  if (failed != nullptr) std::rethrow_exception(failed);
  slot = library.release();
  return *slot;
}

void Library::Open(const std::vector<std::string>& preload) {
  for (const auto& path : preload) {
    CheckLibraryFile(path, "config key \"preload\"");
    OpenFile(path, RTLD_NOW | RTLD_GLOBAL);
  }
  const CodeRanges before = LoadedCode();
  const SignalGuard guard;
  std::exception_ptr failed;
  try {
    handle_ = OpenFile(path_, RTLD_NOW | RTLD_LOCAL);
  } catch (...) {
    failed = std::current_exception();
  }
  code_ = NewCode(before, LoadedCode());
  guard.Restore(code_);
  if (failed != nullptr) std::rethrow_exception(failed);
  Bind();
}

void Library::Bind() {
  std::string missing;
  const auto require = [&](const char* name, auto* out) {
    if (!Resolve(handle_, name, out) && missing.empty()) missing = name;
  };
  require("create", &api_.create);
  require("setup", &api_.setup);
  require("destroy", &api_.destroy);
  require("batch_put_from", &api_.batch_put_from);
  require("batch_get_into", &api_.batch_get_into);
  require("batch_is_exist", &api_.batch_is_exist);
  require("get_size", &api_.get_size);
  require("remove", &api_.remove);
  require("register_buffer", &api_.register_buffer);
  require("unregister_buffer", &api_.unregister_buffer);
  Resolve(handle_, "get_hostname", &api_.get_hostname);
  if (missing.empty()) return;
  throw sixcall::Error(SIXCALL_E_CONFIG, path_ + " has no mooncake_store_" + missing + "; want Mooncake's C library, 0.3.13 or later");
}

void Library::Guarded(const std::function<void()>& fn) const {
  const SignalGuard guard;
  struct Restore {
    const SignalGuard& guard;
    const CodeRanges& code;
    ~Restore() { guard.Restore(code); }
  } restore{guard, code_};
  fn();
}

void Library::SetLogLevel(int level) const {
  // glog's flag, as gflags names it. Found through the library, which needs glog.
  void* flag = ::dlsym(handle_, "_ZN3fLI17FLAGS_minloglevelE");
  if (flag != nullptr) *static_cast<volatile int32_t*>(flag) = level;
}

}  // namespace mooncake
