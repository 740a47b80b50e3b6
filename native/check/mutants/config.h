// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_MUTANT_CONFIG_H
#define SIXCALL_MUTANT_CONFIG_H

#include <cstdint>
#include <map>
#include <string>

namespace mutant {

/// A configuration: one JSON object of texts, numbers and booleans. What is nested
/// is allowed in x- keys only and read over.
struct Config {
  uint64_t workers = 3;
  uint64_t max_inflight = 256;
  uint64_t delay_us = 0;
  bool lazy = false;
  std::string name_space, password, base_path, endpoint, mistake;
};

/// Returns "" or what is wrong.
std::string Parse(const std::string& json, Config* out);

extern const char* const kSchema;

}  // namespace mutant

#endif  // SIXCALL_MUTANT_CONFIG_H
