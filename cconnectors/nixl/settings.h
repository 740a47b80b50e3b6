// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_NIXL_SETTINGS_H
#define SIXCALL_NIXL_SETTINGS_H

#include <cstdint>
#include <string>

#include "agent.h"
#include "files.h"
#include "sixcall/connector.hpp"

namespace nixl {

/// The checked configuration of one connection; README.md explains the keys.
struct Settings {
  std::string library;  ///< "" = look for it
  BackendSpec backend;
  FileOptions files;
  std::string key_prefix;
  bool seal = true;
  bool probe = true;
  std::string endpoint, scheme;  ///< of an object backend, if it was given one
  uint32_t queue_depth = 64;     ///< requests in flight per worker
  uint64_t bounce_bytes = 0;     ///< per worker
  uint64_t request_timeout_ns = 0;
};

/// Reads the configuration and refuses what cannot work. Sets the defaults of the
/// options that depend on the backend.
Settings ReadSettings(const sixcall::Config& config, sixcall::Options& options);

/// The JSON Schema of the configuration.
extern const char kSchema[];

}  // namespace nixl

#endif  // SIXCALL_NIXL_SETTINGS_H
