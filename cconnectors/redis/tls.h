// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_REDIS_TLS_H
#define SIXCALL_REDIS_TLS_H

#include <memory>
#include <string>

#include "stream.h"

namespace redis {

/// How a server proves itself to us, and we to it. Paths name PEM files.
struct TlsSettings {
  bool enabled = false;
  bool verify = true;
  std::string ca_file;      // empty = the system's certificates
  std::string cert_file;    // ours, for mutual TLS
  std::string key_file;     // of cert_file
  std::string server_name;  // empty = the host that is connected to
};

/// What all connections share. Immutable, safe for concurrent use.
class TlsContext {
 public:
  /// Reads the files. Throws SIXCALL_E_CONFIG, naming the key and the file, or
  /// SIXCALL_E_UNSUPPORTED when this library was built without TLS.
  explicit TlsContext(const TlsSettings& settings);
  ~TlsContext();

  /// A connected stream in TLS, before its handshake.
  std::unique_ptr<Stream> Wrap(std::unique_ptr<Stream> plain, const std::string& host) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace redis

#endif  // SIXCALL_REDIS_TLS_H
