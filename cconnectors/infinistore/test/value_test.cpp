// SPDX-License-Identifier: Apache-2.0
// The connector through the ABI, against a server that behaves: values, sizes, limits,
// configuration.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "harness/basics.h"
#include "infinistore.h"

namespace infinistore_test {
namespace {

using sixcall_test::Connection;
using sixcall_test::OpenOptions;
using ToolRequest = sixcall_test::Request;
using sixcall_test::Result;

TEST(InfiniStoreValue, Basics) {
  for (const char *trailer : {"true", "false"}) {
    FakeServer server;
    {
      Connection c(Library(), To(server.port(), std::string(R"(,"trailer":)") + trailer));
      ASSERT_TRUE(c.ok()) << c.open_error();
      sixcall_test::RunBasics(c);
      EXPECT_EQ(c.Run(ToolRequest::Delete({"end/a", "none"})).status, (Status{kHit, kMiss}));
      EXPECT_EQ(c.Run(ToolRequest::Ping()).rc, SIXCALL_OK);
      EXPECT_EQ(c.Close(), SIXCALL_OK);
    }
    EXPECT_EQ(server.hazards(), std::vector<std::string>());
  }
}

TEST(InfiniStoreValue, LayoutWithAndWithoutTrailer) {
  FakeServer server;
  Connection bare(Library(), To(server.port(), R"(,"trailer":false)"));
  Connection sealed(Library(), To(server.port()));
  bare.Run(ToolRequest::Set({"b"}, {"value"}));
  EXPECT_EQ(server.Stored("b"), "value");
  sealed.Run(ToolRequest::Set({"s"}, {"value"}));
  EXPECT_EQ(server.Stored("s").size(), 29u);
  EXPECT_EQ(server.Stored("s").substr(0, 5), "value");
  EXPECT_EQ(server.Stored("s").substr(5, 8), "6CinfiV1");

  // A value of the other layout that has the right size by chance.
  server.Store("f", std::string(29, 'f'));
  EXPECT_EQ(sealed.Run(ToolRequest::Get({"f", "s"}, {5, 5})).status, (Status{kCorrupt, kHit}));
  // A whole value under another key, as an old block would hold it.
  server.Store("g", server.Stored("s"));
  EXPECT_EQ(sealed.Run(ToolRequest::Get({"g"}, 5)).status, Status{kCorrupt});
  EXPECT_EQ(Stat(sealed, "corrupt_total"), 2u);
}

TEST(InfiniStoreValue, AnotherSizeTellsTheStoredOneAndKeepsTheConnection) {
  FakeServer server;
  Connection c(Library(), To(server.port(), R"(,"workers":1,"lookup_workers":1)"));
  c.Run(ToolRequest::Set({"a", "b"}, {std::string(300000, 'a'), "bb"}));
  server.Store("tiny", "x");
  const int connections = server.connections();
  ToolRequest request = ToolRequest::Get({"a", "b", "a", "tiny", "b"}, {1, 3, 300001, 7, 2});
  request.value_lens = true;
  const Result result = c.Run(request);
  EXPECT_EQ(result.status, (Status{kSize, kSize, kSize, kSize, kHit}));
  EXPECT_EQ(result.value_lens, (std::vector<uint64_t>{300000, 2, 300000, UINT64_MAX, 2}));
  EXPECT_EQ(result.values[4], "bb");
  EXPECT_EQ(server.connections(), connections);
}

TEST(InfiniStoreValue, EmptyValuesNeedTheTrailer) {
  FakeServer server;
  Connection sealed(Library(), To(server.port()));
  EXPECT_EQ(sealed.Run(ToolRequest::Set({"e"}, {""})).status, Status{kHit});
  EXPECT_EQ(sealed.Run(ToolRequest::Get({"e"}, 0)).status, Status{kHit});
  EXPECT_EQ(sealed.Run(ToolRequest::Get({"e"}, 1)).status, Status{kSize});
  Connection bare(Library(), To(server.port(), R"(,"trailer":false)"));
  const Result result = bare.Run(ToolRequest::Set({"x", "y"}, {"", "y"}));
  EXPECT_EQ(result.status, (Status{kRefused, kHit}));
  EXPECT_NE(result.err_text.find("empty"), std::string::npos) << result.err_text;
  EXPECT_FALSE(server.Has("x"));
  EXPECT_EQ(server.hazards(), std::vector<std::string>());
}

TEST(InfiniStoreValue, WhatMustNotBeSentIsRefused) {
  FakeServer server;
  Connection c(Library(), To(server.port(), R"(,"max_value_bytes":1000)"));
  const std::string request("\xef\xbe\xad\xde and so on", 14);
  const Result result = c.Run(ToolRequest::Set({"big", "fits", "magic"}, {std::string(1001, 'b'), std::string(1000, 'f'), request}));
  EXPECT_EQ(result.status, (Status{kRefused, kHit, kRefused}));
  EXPECT_EQ(server.log().size(), 1u);
  EXPECT_EQ(c.TrySubmit(ToolRequest::Exists({""})), SIXCALL_E_INVAL) << "an empty key";
  EXPECT_EQ(c.TrySubmit(ToolRequest::Exists({std::string(4097, 'k')})), SIXCALL_E_INVAL);
  EXPECT_EQ(server.hazards(), std::vector<std::string>());
}

TEST(InfiniStoreValue, Limits) {
  FakeServer server;
  for (const bool trailer : {true, false}) {
    Connection c(Library(), To(server.port(), trailer ? "" : R"(,"trailer":false)"));
    sixcall_limits limits = {};
    limits.struct_size = sizeof(limits);
    ASSERT_EQ(c.api().limits(c.handle(), &limits), SIXCALL_OK);
    EXPECT_EQ(limits.max_value_len, 2147483647u - (trailer ? 24 : 0));
    EXPECT_EQ(limits.max_key_len, 4096u);
  }
}

TEST(InfiniStoreValue, KeysAreAnyBytes) {
  FakeServer server;
  Connection c(Library(), To(server.port()));
  std::vector<std::string> keys, values;
  for (int byte = 0; byte < 256; ++byte) keys.push_back(std::string(1 + byte % 9, static_cast<char>(byte)) + (byte % 2 == 0 ? "" : "/x"));
  keys.push_back(std::string(4096, 'k'));
  for (const std::string &key : keys) values.push_back("v" + key);
  std::vector<uint64_t> lens;
  for (const std::string &value : values) lens.push_back(value.size());
  EXPECT_EQ(c.Run(ToolRequest::Set(keys, values)).n_ok, keys.size());
  EXPECT_EQ(c.Run(ToolRequest::Get(keys, lens)).values, values);
  EXPECT_EQ(c.Run(ToolRequest::Delete(keys)).n_ok, keys.size());
  EXPECT_EQ(server.hazards(), std::vector<std::string>());
}

TEST(InfiniStoreConfig, MistakesAreNamed) {
  const auto error = [](const std::string &config) {
    OpenOptions options;
    options.config = config;
    Connection c(Library(), options);
    EXPECT_FALSE(c.ok()) << config;
    return std::to_string(c.open_rc()) + " " + c.open_error();
  };
  EXPECT_NE(error("{}").find("-11 config key \"host\" is missing"), std::string::npos) << error("{}");
  EXPECT_NE(error(R"({"host":"127.0.0.1","port":0})").find("\"port\" is 0"), std::string::npos);
  EXPECT_NE(error(R"({"host":"127.0.0.1","prot":1})").find("unknown config key \"prot\""), std::string::npos);
  EXPECT_NE(error(R"({"host":"127.0.0.1","link_type":"ib"})").find("LINK_ETHERNET, LINK_IB"), std::string::npos);
  EXPECT_NE(error(R"({"host":"127.0.0.1","trailer":1})").find("true or false"), std::string::npos);
  EXPECT_NE(error(R"({"host":"127.0.0.1","transport":"rdma"})").find("-4 transport \"rdma\" is not implemented"), std::string::npos);
}

}  // namespace
}  // namespace infinistore_test
