// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_DRIVER_ERROR_H
#define SIXCALL_DRIVER_ERROR_H

#include <stdexcept>

namespace driver {

// The command line is wrong: exit code 2.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The library, the system or a batch failed: exit code 1.
struct RunError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace driver

#endif  // SIXCALL_DRIVER_ERROR_H
