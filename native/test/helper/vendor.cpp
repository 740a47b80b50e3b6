// SPDX-License-Identifier: Apache-2.0
//
// A connector as a vendor writes it, for helper_matrix.sh: every hook of the
// blocking base, the frozen or the current C header, the helper included twice.
#ifdef SIXCALL_TEST_FROZEN
#include "sixcall/connector_v1.h"
#endif
#include "sixcall/connector.hpp"
#include "sixcall/connector.hpp"

#include <map>
#include <mutex>

namespace {

struct VendorSession {
  explicit VendorSession(const sixcall::Config &config) : prefix(config.GetString("prefix")) {}
  std::string prefix;
};

struct Vendor final : sixcall::Connector<VendorSession> {
  std::mutex mutex;
  std::map<std::string, std::string> values;

  void Start(const sixcall::Config &) override { mutable_options().best_batch = 64; }
  sixcall::Result Get(VendorSession &, sixcall::Key key, sixcall::MutableBytes buffer) override {
    const std::lock_guard<std::mutex> lock(mutex);
    const auto found = values.find(std::string(key));
    if (found == values.end()) return sixcall::Status::kMiss;
    if (found->second.size() != buffer.size()) return {sixcall::Status::kSize, found->second.size()};
    std::copy(found->second.begin(), found->second.end(), buffer.begin());
    return sixcall::Status::kHit;
  }
  sixcall::Status Set(VendorSession &, sixcall::Key key, sixcall::Bytes value) override {
    const std::lock_guard<std::mutex> lock(mutex);
    values[std::string(key)] = std::string(value.begin(), value.end());
    return sixcall::Status::kHit;
  }
  sixcall::Result Exists(VendorSession &, sixcall::Key key) override {
    const std::lock_guard<std::mutex> lock(mutex);
    return values.count(std::string(key)) != 0 ? sixcall::Status::kHit : sixcall::Status::kMiss;
  }
  sixcall::Status Erase(VendorSession &, sixcall::Key key) override {
    const std::lock_guard<std::mutex> lock(mutex);
    return values.erase(std::string(key)) != 0 ? sixcall::Status::kHit : sixcall::Status::kMiss;
  }
  void Ping(VendorSession &) override {}
  void List(VendorSession &, sixcall::Page &page) override { page.SetLast(); }
  void Usage(sixcall_usage &out) override { out.keys = 0; }
  uint64_t RegisterMemory(const sixcall_memory &) override { return 1; }
};

}  // namespace

SIXCALL_CONNECTOR(Vendor, "vendor", "1.0.0", "Sixcall",
                  R"({"type":"object","properties":{)" SIXCALL_COMMON_PROPERTIES R"(,"prefix":{"type":"string"}}})",
                  SIXCALL_CAP_READ_YOUR_WRITES);
