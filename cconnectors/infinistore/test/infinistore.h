// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_INFINISTORE_TEST_H
#define SIXCALL_INFINISTORE_TEST_H

#include <string>

#include "fake_server.h"
#include "harness/connection.h"
#include "sixcall/connector.hpp"

namespace infinistore_test {

inline const sixcall_api *Library() { return sixcall_test::LoadLibrary(SIXCALL_TEST_INFINISTORE); }

// more: further members, with a comma in front.
inline sixcall_test::OpenOptions To(int port, const std::string &more = "") {
  sixcall_test::OpenOptions options;
  options.config = R"({"host":"127.0.0.1","port":)" + std::to_string(port) + more + "}";
  return options;
}

inline uint64_t InMs(uint64_t ms) { return sixcall::NowNs() + ms * 1000000; }

// One of the connector's own figures.
inline uint64_t Stat(const sixcall_test::Connection &c, const std::string &name) {
  std::string text(static_cast<size_t>(c.api().stats_text(c.handle(), nullptr, 0)) + 4096, 0);
  c.api().stats_text(c.handle(), &text[0], text.size());
  const std::string line = "\nsixcall_infinistore_" + name + " ";
  const size_t at = text.find(line);
  return at == std::string::npos ? UINT64_MAX : std::stoull(text.substr(at + line.size()));
}

using Status = std::vector<uint8_t>;
constexpr uint8_t kMiss = SIXCALL_STATUS_MISS, kHit = SIXCALL_STATUS_HIT, kError = SIXCALL_STATUS_ERROR, kSize = SIXCALL_STATUS_SIZE,
                  kTimeout = SIXCALL_STATUS_TIMEOUT, kRefused = SIXCALL_STATUS_REFUSED, kCorrupt = SIXCALL_STATUS_CORRUPT,
                  kCancelled = SIXCALL_STATUS_CANCELLED;

}  // namespace infinistore_test

#endif  // SIXCALL_INFINISTORE_TEST_H
