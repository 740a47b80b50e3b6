// SPDX-License-Identifier: Apache-2.0
// The library without OpenSSL.
#include "sixcall/connector.hpp"
#include "tls.h"

namespace redis {

struct TlsContext::Impl {};

TlsContext::TlsContext(const TlsSettings&) {
  throw sixcall::Error(SIXCALL_E_UNSUPPORTED, "\"tls\" is true, but this library was built without OpenSSL; install libssl-dev and build it again");
}
TlsContext::~TlsContext() = default;

std::unique_ptr<Stream> TlsContext::Wrap(std::unique_ptr<Stream> plain, const std::string&) const { return plain; }

}  // namespace redis
