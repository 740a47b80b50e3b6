// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_MOONCAKE_MASTER_H
#define SIXCALL_MOONCAKE_MASTER_H

#include <chrono>
#include <string>

namespace mooncake {

/// Where the master is.
struct MasterAddress {
  std::string text;  ///< as configured, what the library gets
  std::string host;  ///< empty for an address with a scheme, such as etcd://, which only the library can follow
  std::string port;

  /// Reads "host:port" or "[v6]:port". Throws SIXCALL_E_CONFIG.
  static MasterAddress Parse(const std::string& text);
};

/// Connects to the master and hangs up, because the library itself would wait for
/// more than a minute. Returns the address that this machine has on the way there,
/// or "" for an address with a scheme, which is not checked. Throws
/// SIXCALL_E_CONNECT or SIXCALL_E_TIMEOUT. The look-up of a host name is not
/// bounded by timeout.
std::string CheckMaster(const MasterAddress& master, std::chrono::milliseconds timeout);

}  // namespace mooncake

#endif  // SIXCALL_MOONCAKE_MASTER_H
