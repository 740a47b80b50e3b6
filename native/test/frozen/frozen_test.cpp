// SPDX-License-Identifier: Apache-2.0
//
// Libraries that were built with the frozen header of ABI 1.0 must load and run
// under code that was built with the current one.
#include <gtest/gtest.h>

#include "../harness/basics.h"
#include "../harness/threads.h"
#include "sixcall/connector.h"

namespace sixcall_test {
namespace {

class Frozen : public testing::TestWithParam<const char *> {};

TEST_P(Frozen, LoadsWithATableThatThisHeaderUnderstands) {
  const sixcall_api *api = LoadLibrary(GetParam());
  EXPECT_EQ(api, LoadLibrary(GetParam())) << "the table has one address";
  EXPECT_EQ(api->abi_major, 1);
  EXPECT_EQ(api->abi_minor, 0);
  EXPECT_EQ(api->struct_size, 200u) << "the size of the table in 1.0";
}

TEST_P(Frozen, PassesTheBasicRun) {
  Connection connection(LoadLibrary(GetParam()));
  ASSERT_TRUE(connection.ok()) << connection.open_error();
  RunBasics(connection);
  EXPECT_EQ(connection.Close(), SIXCALL_OK);
}

TEST_P(Frozen, LeavesNothingBehind) {
  const auto threads = ListThreads();
  const auto fds = OpenFds();
  for (int i = 0; i < 3; ++i) {
    Connection connection(LoadLibrary(GetParam()));
    ASSERT_TRUE(connection.ok());
    connection.Run(Request::Set({"k"}, {"v"}));
  }
  EXPECT_TRUE(Eventually([&] { return NewThreads(threads).empty(); }));
  EXPECT_EQ(OpenFds(), fds);
}

INSTANTIATE_TEST_SUITE_P(Libraries, Frozen, testing::Values(SIXCALL_TEST_FROZEN_C, SIXCALL_TEST_FROZEN_CPP),
                         [](const auto &library) { return library.index == 0 ? "C" : "Cpp"; });

}  // namespace
}  // namespace sixcall_test
