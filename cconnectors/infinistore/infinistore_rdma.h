// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_INFINISTORE_RDMA_H
#define SIXCALL_INFINISTORE_RDMA_H

#include <string>

namespace infinistore {

/// Throws sixcall::Error (UNSUPPORTED): transfers over RDMA are not implemented. In a
/// build with SIXCALL_INFINISTORE_RDMA it first sets the device up as far as that
/// goes without a peer, and the text says what it found.
[[noreturn]] void RefuseRdma(const std::string& device, const std::string& link_type);

}  // namespace infinistore

#endif  // SIXCALL_INFINISTORE_RDMA_H
