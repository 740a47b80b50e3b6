// SPDX-License-Identifier: Apache-2.0
//
// A second file of the same library: the helper is in both, and an asynchronous
// base beside the blocking one.
#include "sixcall/connector.hpp"

namespace vendor {

struct Part final : sixcall::AsyncConnector {
  void Submit(const sixcall::AsyncBatch &batch) override {
    FailRest(batch.ticket(), sixcall::Error(SIXCALL_E_UNSUPPORTED, "not this one"));
  }
  void Cancel(uint64_t) override {}
};

const void *MakePart() {
  static Part part;
  return &part;
}

}  // namespace vendor
