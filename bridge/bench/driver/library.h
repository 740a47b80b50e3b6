// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_DRIVER_LIBRARY_H
#define SIXCALL_DRIVER_LIBRARY_H

#include <cstdint>
#include <string>

#include "sixcall/connector.h"

namespace driver {

// The name of a SIXCALL_E_ code, such as "AGAIN (-2)".
std::string CodeText(int32_t code);

// Loads the connector at path and returns its table after the checks that a
// host makes. The library stays loaded for the life of the process. Throws
// RunError that names the path and what is wrong.
const sixcall_api *LoadConnector(const std::string &path);

// An open connection, closed by Close or the destructor. One thread.
class Connection {
 public:
  // Throws RunError with the connector's words.
  Connection(const sixcall_api *api, const std::string &params, uint32_t max_inflight, uint32_t max_batch,
             uint64_t value_len_hint);
  Connection(const Connection &) = delete;
  Connection &operator=(const Connection &) = delete;
  ~Connection();

  const sixcall_api &api() const { return *api_; }
  sixcall_conn *handle() const { return handle_; }
  int fd() const { return fd_; }

  // Throws RunError when the connector cannot stop.
  void Close();

 private:
  const sixcall_api *api_;
  sixcall_conn *handle_ = nullptr;
  int fd_ = -1;
};

}  // namespace driver

#endif  // SIXCALL_DRIVER_LIBRARY_H
