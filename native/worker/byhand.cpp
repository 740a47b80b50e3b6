// SPDX-License-Identifier: Apache-2.0
#include "byhand.h"

#include <stdlib.h>
#include <unistd.h>

#include <cstdio>

#include "connection.h"
#include "exercise.h"
#include "library.h"

namespace sixcall::worker {
namespace {

int Fail(const char* op, const std::string& path, const Failure& failure) {
  std::fprintf(stderr, "sixcall-worker: %s %s: %s (code %d)\n", op, path.c_str(), failure.text.c_str(), failure.code);
  return kExitFailed;
}

void PrintAll(const char* what, const std::vector<std::string>& texts) {
  for (const std::string& text : texts) std::printf("%-12s %s\n", what, text.c_str());
}

std::string CapNames(uint64_t caps) {
  std::vector<std::string> names;
  for (int bit = 0; bit < 64; bit++) {
    if ((caps >> bit & 1) != 0) names.push_back(CapName(uint64_t{1} << bit));
  }
  return Join(names, " ");
}

void PrintTable(const Library& lib) {
  static const char* const kModels[] = {"serial", "per_handle", "parallel"};
  std::printf("%-12s %s\n", "file", lib.path.c_str());
  std::printf("%-12s %s %s (%s)\n", "connector", lib.name.c_str(), lib.version.c_str(), lib.vendor.c_str());
  std::printf("%-12s %u.%u, table of %u bytes\n", "abi", lib.api.abi_major, lib.api.abi_minor, lib.table_size);
  std::printf("%-12s %s\n", "threads", kModels[lib.threads]);
  std::printf("%-12s %s\n", "capabilities", CapNames(lib.caps).c_str());
  if (!lib.schema.empty()) std::printf("%-12s %s\n", "schema", Printable(lib.schema).c_str());
  PrintAll("warning", lib.warnings);
  PrintAll("changed", lib.changed);
}

void PrintConnection(const Connection& connection) {
  if (const auto& l = connection.limits()) {
    std::printf("%-12s max_batch %u, max_key_len %u, max_value_len %llu, buf_align %u, best_batch %u, max_inflight %u\n", "limits", l->max_batch, l->max_key_len,
                static_cast<unsigned long long>(l->max_value_len), l->buf_align, l->best_batch, l->max_inflight);
  }
  PrintAll("warning", connection.warnings());
  PrintAll("changed", connection.changed());
}

bool PrintLine(int32_t level, std::string_view text, uint64_t) {
  static const char* const kLevels[] = {"error", "warning", "info", "debug"};
  std::fprintf(stderr, "log %s: %s\n", kLevels[level > 3 ? 3 : level], Printable(text).c_str());
  return true;
}

}  // namespace

int RunByHand(const HandOptions& options) {
  SetHostVersion(SIXCALL_WORKER_VERSION);
  // A bare name would be looked up in the loader's path.
  char* real = realpath(options.library.c_str(), nullptr);
  if (real == nullptr) return Fail("load", options.library, {SIXCALL_E_CONFIG, ErrnoText(errno)});
  const std::string path = real;
  free(real);
  // Static: a library that could not close everything may still use them.
  static Library library;
  LoadOptions load;
  load.keep_handlers = true;
  if (const auto failure = LoadLibrary(path, load, &library)) return Fail("load", path, *failure);
  PrintTable(library);
  std::fflush(stdout);

  static LogSink log(SIXCALL_LOG_DEBUG, PrintLine);
  static Connection connection(library);
  OpenRequest open;
  open.config = options.params;
  open.open_timeout_ms = options.timeout_ms;
  open.keep_handlers = true;
  if (const auto failure = connection.Open(open, &log)) return Fail("open", path, *failure);
  PrintConnection(connection);
  int code = kExitOk;
  if (options.exercise) {
    if (const auto failure = Exercise(&connection, options.timeout_ms)) code = Fail("exercise", path, *failure);
  }
  if (const auto failure = connection.Close(options.timeout_ms, options.timeout_ms)) code = Fail("close", path, *failure);
  if (code == kExitOk) std::printf("%-12s closed\n", "ok");
  return code;
}

}  // namespace sixcall::worker
