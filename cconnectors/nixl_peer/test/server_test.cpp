// SPDX-License-Identifier: Apache-2.0
#include "server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "peer.h"
#include "wire.h"

namespace {

using nixl_peer::Answer;
using nixl_peer::Op;
using nixl_peer::Peer;
using nixl_peer::Pool;
using nixl_peer::Server;

std::string Hello(const std::string& name, const std::string& metadata) {
  std::string hello(nixl_peer::kMagic, nixl_peer::kMagicBytes);
  nixl_peer::Append(hello, static_cast<uint16_t>(name.size()));
  hello += name;
  nixl_peer::Append(hello, static_cast<uint32_t>(metadata.size()));
  return hello + metadata;
}

struct Fixture : testing::Test {
  Pool pool{1 << 20};
  Server server{pool, "127.0.0.1", 0, Hello("agent", "metadata"), std::chrono::milliseconds(30000)};

  void SetUp() override { ASSERT_EQ(pool.Set("k", reinterpret_cast<const uint8_t*>("value"), 5), sixcall::Status::kHit); }
  std::unique_ptr<Peer> Connected() {
    auto peer = std::make_unique<Peer>("127.0.0.1", std::to_string(server.port()), nixl_peer::PeerLimits{});
    peer->Connect();
    return peer;
  }
  /// Waits for a number that another thread sets.
  template <class F>
  void Until(F&& ok) {
    for (int i = 0; i < 6000 && !ok(); i++) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_TRUE(ok());
  }
  /// What the server says to bytes of a stranger, until it ends the connection or has said n bytes.
  std::string Say(const std::string& bytes, size_t n) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at = {};
    at.sin_family = AF_INET;
    at.sin_port = htons(server.port());
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&at), sizeof(at)), 0);
    EXPECT_EQ(send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
    std::string said;
    char buffer[4096];
    for (ssize_t got; said.size() < n && (got = recv(fd, buffer, sizeof(buffer), 0)) > 0;) said.append(buffer, static_cast<size_t>(got));
    close(fd);
    return said;
  }
};

TEST_F(Fixture, AnswersAndLeases) {
  auto peer = Connected();
  EXPECT_EQ(peer->agent(), "agent");
  EXPECT_EQ(peer->metadata(), "metadata");
  EXPECT_FALSE(peer->Ask(Op::kExists, "absent").found);
  EXPECT_FALSE(peer->Ask(Op::kGet, "absent").found);
  Answer a = peer->Ask(Op::kExists, "k");
  EXPECT_TRUE(a.found);
  EXPECT_EQ(a.len, 5u);
  EXPECT_EQ(server.leases(), 0u);
  a = peer->Ask(Op::kGet, "k");
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(a.address), a.len), "value");
  EXPECT_EQ(a.hash, nixl_peer::HashOf("k", reinterpret_cast<const uint8_t*>("value"), 5));
  EXPECT_EQ(server.leases(), 1u);
  peer->Ask(Op::kGet, "k");
  EXPECT_EQ(server.leases(), 1u) << "one for a connection";
  peer->Release();
  Until([&] { return server.leases() == 0; });
  peer->Ask(Op::kGet, "k");
  peer->Close();
  Until([&] { return server.leases() == 0 && server.connections() == 0; });
}

TEST_F(Fixture, RequestsMayComeInPiecesAndTogether) {
  const std::string magic(nixl_peer::kMagic, nixl_peer::kMagicBytes), hello = Hello("agent", "metadata");
  const std::string both = magic + Request(Op::kExists, "k") + Request(Op::kRelease, "") + Request(Op::kExists, "absent");
  EXPECT_EQ(Say(both, hello.size() + 2 * nixl_peer::kAnswerBytes).size(), hello.size() + 2 * nixl_peer::kAnswerBytes);
  EXPECT_EQ(Say(magic.substr(0, 3) + magic.substr(3), hello.size()), hello);
}

TEST_F(Fixture, WhoBreaksTheRulesIsDisconnected) {
  const std::string magic(nixl_peer::kMagic, nixl_peer::kMagicBytes);
  EXPECT_EQ(Say("GET / HTTP/1.1\r\n\r\n", 1000), "");
  EXPECT_EQ(Say("7", 1000), "");
  EXPECT_LE(Say(magic + std::string("Z\0\0", 3), 1000).size(), Hello("agent", "metadata").size());
  EXPECT_LE(Say(magic + "G\xff\xff", 1000).size(), Hello("agent", "metadata").size());
  EXPECT_TRUE(Connected()->Ask(Op::kExists, "k").found) << "the others are served";
}

TEST(Server, LeasesEnd) {
  Pool pool(1 << 16);
  pool.Set("k", reinterpret_cast<const uint8_t*>("value"), 5);
  Server server(pool, "127.0.0.1", 0, Hello("a", "m"), std::chrono::milliseconds(1));
  Peer peer("127.0.0.1", std::to_string(server.port()), {});
  peer.Connect();
  EXPECT_TRUE(peer.Ask(Op::kGet, "k").found);
  for (int i = 0; i < 6000 && server.connections() != 0; i++) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(server.connections(), 0u) << "who holds a value for too long is disconnected";
  EXPECT_EQ(server.leases(), 0u);
  EXPECT_THROW(
      {
        peer.Ask(Op::kExists, "k");
        peer.Ask(Op::kExists, "k");
      },
      sixcall::Error);
  peer.Failed();
  EXPECT_FALSE(peer.Due());
}

TEST(Peer, WhatIsNoPeerIsAnError) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at = {};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(at);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof(at)), 0);
  ASSERT_EQ(listen(fd, 5), 0);
  ASSERT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size), 0);
  for (const std::string& text : {std::string("220 smtp ready, what do you want?\r\n"), std::string("6CPEER01\0\0more", 14), std::string("6C")}) {
    std::thread server([&] {
      const int client = accept(fd, nullptr, nullptr);
      EXPECT_EQ(send(client, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
      shutdown(client, SHUT_WR);
      char buffer[64];
      while (recv(client, buffer, sizeof(buffer), 0) > 0) {
      }
      close(client);
    });
    Peer peer("127.0.0.1", std::to_string(ntohs(at.sin_port)), {});
    EXPECT_THROW(peer.Connect(), sixcall::Error);
    peer.Close();
    server.join();
  }
  close(fd);
}

TEST(Address, IsSplit) {
  std::string host, port;
  nixl_peer::SplitAddress("listen", "10.0.0.1:80", &host, &port);
  EXPECT_EQ(host + " " + port, "10.0.0.1 80");
  nixl_peer::SplitAddress("listen", "[::1]:65535", &host, &port);
  EXPECT_EQ(host + " " + port, "::1 65535");
  for (const char* bad : {"", "h", "h:", ":1", "h:x", "h:65536", "h:123456"}) EXPECT_THROW(nixl_peer::SplitAddress("listen", bad, &host, &port), sixcall::Error) << bad;
}

}  // namespace
