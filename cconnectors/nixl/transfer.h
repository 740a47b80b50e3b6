// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_NIXL_TRANSFER_H
#define SIXCALL_NIXL_TRANSFER_H

#include <cstdint>
#include <string>

#include "agent.h"
#include "name.h"
#include "sixcall/connector.hpp"

namespace nixl {

/// One value on its way. Belongs to the thread of its engine.
struct Transfer {
  size_t index = 0;         ///< of the key in the batch
  uint8_t* data = nullptr;  ///< the host's memory; read-only for a store
  uint64_t len = 0;         ///< bytes of the value
  Place place;

  void* request = nullptr;   ///< NIXL's, in progress
  int status = kInProgress;  ///< NIXL's last word
  Bounce bounce;             ///< in place of data, if it has a block
  bool bounced = false;
  uint64_t device = 0;

  int fd = -1;       ///< files only
  std::string temp;  ///< the file's temporary name, if it has one

  bool settled = false;  ///< result is known
  sixcall::Result result = sixcall::Status::kError;
  sixcall::Error error = {0, ""};  ///< why, if its code is below 0

  void Settle(sixcall::Result r) {
    settled = true;
    result = r;
  }
  void Fail(sixcall::Error e) {
    settled = true;
    result = e.status();
    error = std::move(e);
  }
};

}  // namespace nixl

#endif  // SIXCALL_NIXL_TRANSFER_H
