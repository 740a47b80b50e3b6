// SPDX-License-Identifier: Apache-2.0
// Memory, Ping, and what is no message.
#include <gtest/gtest.h>

#include <random>

#include "mini_host.h"

namespace worker_test {
namespace {

TEST(Map, OnlyWhatIsThereIsMapped) {
  MiniHost host;
  const Shared memory = MakeShared(8192);
  const int fd = memory.fd.get();
  const auto map = [&](uint64_t len, uint64_t offset, const std::vector<int>& fds) {
    flatbuffers::FlatBufferBuilder builder;
    return host.Ask(builder, wire::CreateMap(builder, len, offset), fds).Failure();
  };
  EXPECT_EQ(map(0, 0, {fd}), "code -1: map 0 bytes at 0: want at least one byte, at a multiple of 4096");
  EXPECT_EQ(map(4096, 100, {fd}), "code -1: map 4096 bytes at 100: want at least one byte, at a multiple of 4096");
  EXPECT_EQ(map(8192, 4096, {fd}), "code -1: map 8192 bytes at 4096: the memory ends at 8192");
  EXPECT_EQ(map(UINT64_MAX, 4096, {fd}).rfind("code -1: map 18446744073709551615 bytes at 4096: want", 0), 0u);
  EXPECT_EQ(map(8192, 0, {}), "code -1: Map came with 0 descriptors, want 1: the memory");
  EXPECT_EQ(map(4096, 0, {host.sq_event()}).rfind("code -1: map 4096 bytes: ", 0), 0u) << "an eventfd cannot be mapped";
  EXPECT_EQ(map(4096, 4096, {fd}), "");
}

TEST(Map, UnmapTakesOnlyWhatMapGave) {
  MiniHost host;
  Shared memory = MakeShared(8192);
  ASSERT_EQ(host.Map(&memory, false).Failure(), "");
  EXPECT_NE(memory.base, 0u);
  EXPECT_EQ(memory.handle, 0u);
  memory.len = 4096;
  EXPECT_EQ(host.Unmap(memory).Failure().rfind("code -1: unmap 4096 bytes at ", 0), 0u);
  memory.len = 8192;
  EXPECT_NE(host.Unmap(memory).As<wire::Done>(), nullptr);
  EXPECT_EQ(host.Unmap(memory).Failure().rfind("code -1: unmap 8192 bytes at ", 0), 0u);
}

TEST(Map, RegistersWithTheConnector) {
  MiniHost host;
  Shared memory = MakeShared(4096);
  EXPECT_EQ(host.Map(&memory, true).Failure(), "code -3: the connection is not open");
  host.Connect(FaultyLibrary());
  ASSERT_EQ(host.Map(&memory, true).Failure(), "");
  EXPECT_EQ(memory.handle, 7u);
  memory.handle = 8;
  EXPECT_EQ(host.Unmap(memory).Failure(), "code -1: \"faulty\" refused the handle 8");
  memory.handle = 7;
  EXPECT_NE(host.Unmap(memory).As<wire::Done>(), nullptr);
}

TEST(Map, WhatCannotBeRegisteredIsNotMapped) {
  MiniHost host;
  host.Connect(FaultyLibrary(), R"({"x-fault":"fail_in_register"})");
  Shared memory = MakeShared(4096);
  EXPECT_EQ(host.Map(&memory, true).Failure(), "code -15: no more memory regions");
  ASSERT_EQ(host.Map(&memory, true).Failure(), "") << "only the first one fails";
  MiniHost without;
  without.Connect(MemLibrary());
  EXPECT_EQ(without.Map(&memory, true).Failure(), "code -4: \"mem\" does not have the capability register_memory");
}

TEST(Map, MemoryThatCannotBeUnregisteredStaysMapped) {
  MiniHost host;
  host.Connect(FaultyLibrary(), R"({"x-fault":"fail_in_unregister"})");
  Shared memory = MakeShared(4096);
  ASSERT_EQ(host.Map(&memory, true).Failure(), "");
  EXPECT_EQ(host.Unmap(memory).Failure(), "code -14: \"faulty\" refused the handle 7");
  EXPECT_NE(host.Unmap(memory).As<wire::Done>(), nullptr);
}

TEST(Protocol, AnUnknownRequestIsAnswered) {
  MiniHost host;
  flatbuffers::FlatBufferBuilder builder;
  const auto done = wire::CreateDone(builder).Union();
  wire::FinishMessageBuffer(builder, wire::CreateMessage(builder, 77, static_cast<wire::Body>(200), done));
  host.SendBytes(builder.GetBufferPointer(), builder.GetSize());
  EXPECT_EQ(host.WaitFor(77).Failure(), "code -4: message type 200 is none of a host, or of a protocol later than 1.1");
  builder.Clear();
  EXPECT_EQ(host.Ask(builder, wire::CreatePong(builder)).Failure().rfind("code -4: ", 0), 0u);
}

TEST(Protocol, WhatIsNoMessageEndsTheWorker) {
  const std::string garbage(300, '\xA5');
  flatbuffers::FlatBufferBuilder builder;
  wire::FinishMessageBuffer(builder, wire::CreateMessage(builder, 1));
  const std::string empty(reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize());
  const struct {
    std::string bytes;
    size_t fds;
    const char* want;
  } cases[] = {
      {garbage, 0, "the host sent 300 bytes that are no message of protocol 1"},
      {"x", 0, "the host sent 1 bytes that are no message of protocol 1"},
      {std::string(70000, 'x'), 0, "the host sent a message of more than 65536 bytes"},
      {std::string(65537, 'x'), 0, "the host sent a message of more than 65536 bytes"},
      {garbage, 9, "the host sent more than 8 descriptors with a message"},
      {empty, 0, "the host sent a message without a body"},
  };
  for (const auto& one : cases) {
    MiniHost host;
    host.SendBytes(one.bytes.data(), one.bytes.size(), std::vector<int>(one.fds, host.sq_event()));
    EXPECT_EQ(host.process().End(), "exit 3") << one.want;
    EXPECT_NE(host.process().Output().find(one.want), std::string::npos) << host.process().Output();
  }
}

// Messages with flipped bytes: each is answered, or ends the worker with the code
// for what is no message; none crashes it.
TEST(Protocol, DamagedMessagesNeverCrash) {
  std::mt19937 random(20240607);
  auto host = std::make_unique<MiniHost>();
  const std::vector<uint8_t> cursor(40, 7);
  int ended = 0, answered = 0;
  for (int i = 0; i < 400; i++) {
    flatbuffers::FlatBufferBuilder builder;
    switch (i % 5) {
      case 0: wire::FinishMessageBuffer(builder, wire::CreateMessage(builder, 9, wire::Body::Map, wire::CreateMap(builder, 4096, 0).Union())); break;
      case 1: wire::FinishMessageBuffer(builder, wire::CreateMessage(builder, 9, wire::Body::List, wire::CreateList(builder, builder.CreateVector(cursor), 5).Union())); break;
      case 2: wire::FinishMessageBuffer(builder, wire::CreateMessage(builder, 9, wire::Body::Unmap, wire::CreateUnmap(builder, 1, 2, 3).Union())); break;
      case 3: wire::FinishMessageBuffer(builder, wire::CreateMessage(builder, 9, wire::Body::Open, wire::CreateOpen(builder, 2, builder.CreateString("me"), 1, 2, 3, 4).Union())); break;
      default: {
        const wire::FileIdentity identity(1, 2, 3, 4);
        const auto path = builder.CreateString("/nonexistent/libsixcall_x.so");
        wire::FinishMessageBuffer(builder, wire::CreateMessage(builder, 9, wire::Body::Load, wire::CreateLoad(builder, 0, 0, path, &identity).Union()));
      }
    }
    std::vector<uint8_t> bytes(builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize());
    for (int flips = 1 + static_cast<int>(random() % 3); flips > 0; flips--) bytes[random() % bytes.size()] ^= static_cast<uint8_t>(1u << random() % 8);
    if (random() % 8 == 0) bytes.resize(1 + random() % bytes.size());
    host->SendBytes(bytes.data(), bytes.size(), i % 5 == 0 || i % 5 == 3 ? std::vector<int>{host->ring_fd()} : std::vector<int>{});
    // The ping behind it is answered, unless the message was taken for a Close.
    std::string end;
    try {
      host->WaitFor(host->SendPing());
      answered++;
      continue;
    } catch (const std::exception&) {
      end = host->process().End();
    }
    ended++;
    ASSERT_TRUE(end == "exit 3" || end == "exit 0") << "message " << i << ": " << end << ": " << host->process().Output();
    host = std::make_unique<MiniHost>();
  }
  EXPECT_GT(ended, 20);
  EXPECT_GT(answered, 20);
}

TEST(Pong, CountsWhatThePumpDid) {
  MiniHost host;
  const Answer before = host.Ping();
  EXPECT_EQ(before.As<wire::Pong>()->calls(), 0u);
  host.Connect(MemLibrary());
  Batch batch;
  for (int i = 0; i < 10; i++) host.Run(&batch, SIXCALL_OP_EXISTS, {{"a", 0}});
  const Answer after = host.Ping();
  EXPECT_EQ(after.As<wire::Pong>()->completions(), 10u);
  EXPECT_GE(after.As<wire::Pong>()->calls(), 20u) << "ten submits and as many drains";
}

}  // namespace
}  // namespace worker_test
