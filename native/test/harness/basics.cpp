// SPDX-License-Identifier: Apache-2.0
#include "basics.h"

#include <gtest/gtest.h>

namespace sixcall_test {
namespace {

using Status = std::vector<uint8_t>;

constexpr uint8_t kMiss = SIXCALL_STATUS_MISS;
constexpr uint8_t kHit = SIXCALL_STATUS_HIT;
constexpr uint8_t kSize = SIXCALL_STATUS_SIZE;

void StoreAndLoad(Connection &connection, Edge edge, uint32_t item_stride, const std::string &prefix) {
  const std::vector<std::string> keys = {prefix + "a", prefix + "b", prefix + "c"};
  const std::vector<std::string> values = {std::string(1000, 'x'), std::string("\0y", 2), std::string(1, 'z')};
  const auto shaped = [&](Request request) {
    request.edge = edge;
    request.item_stride = item_stride;
    return request;
  };

  Result result = connection.Run(shaped(Request::Exists(keys)));
  EXPECT_EQ(result.rc, SIXCALL_OK);
  EXPECT_EQ(result.status, (Status{kMiss, kMiss, kMiss})) << "nothing is stored yet";

  result = connection.Run(shaped(Request::Set(keys, values)));
  EXPECT_EQ(result.rc, SIXCALL_OK);
  EXPECT_EQ(result.status, (Status{kHit, kHit, kHit}));

  result = connection.Run(shaped(Request::Exists({keys[0], prefix + "absent", keys[2]})));
  EXPECT_EQ(result.status, (Status{kHit, kMiss, kHit}));

  result = connection.Run(shaped(Request::Get(keys, {1000, 2, 1})));
  EXPECT_EQ(result.rc, SIXCALL_OK);
  EXPECT_EQ(result.status, (Status{kHit, kHit, kHit}));
  EXPECT_EQ(result.values, values);

  result = connection.Run(shaped(Request::Get({keys[0], prefix + "absent", keys[1], keys[2]}, {999, 10, 3, 1})));
  EXPECT_EQ(result.rc, SIXCALL_OK) << "a miss and a wrong size do not fail the batch";
  EXPECT_EQ(result.status, (Status{kSize, kMiss, kSize, kHit}));
  EXPECT_EQ(result.values[3], "z");

  result = connection.Run(shaped(Request::Set({keys[0]}, {"shorter"})));
  EXPECT_EQ(result.status, (Status{kHit}));
  result = connection.Run(shaped(Request::Get({keys[0]}, 7)));
  EXPECT_EQ(result.status, (Status{kHit}));
  EXPECT_EQ(result.values[0], "shorter");
}

void Refusals(Connection &connection) {
  Request empty = Request::Exists({});
  EXPECT_EQ(connection.TrySubmit(empty), SIXCALL_E_INVAL) << "no keys";

  Request stride = Request::Exists({"a", "b"});
  stride.item_stride = sizeof(sixcall_item) - 8;
  EXPECT_EQ(connection.TrySubmit(stride), SIXCALL_E_INVAL) << "a stride below the size of an item";

  EXPECT_FALSE(connection.Readable(50)) << "a refused batch has signalled the event fd";
  EXPECT_EQ(connection.Drain(1), 0u);
}

}  // namespace

void RunBasics(Connection &connection) {
  StoreAndLoad(connection, Edge::kEnd, sizeof(sixcall_item), "end/");
  StoreAndLoad(connection, Edge::kStart, sizeof(sixcall_item), "start/");
  StoreAndLoad(connection, Edge::kEnd, sizeof(sixcall_item) + 8, "wide/");

  for (const uint64_t ticket : {UINT64_C(0), UINT64_C(1) << 63, UINT64_MAX}) {
    Request request = Request::Exists({"end/a"});
    request.ticket = ticket;
    request.err = false;
    EXPECT_EQ(connection.Run(request).status, (Status{kHit})) << "ticket " << ticket;
  }
  Refusals(connection);
}

}  // namespace sixcall_test
