// SPDX-License-Identifier: Apache-2.0
// One exchange against a socket whose other end the test plays: every split, every
// place to close, every place to leave.
#include "infinistore_exchange.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

namespace {

using infinistore::Exchange;
using Step = infinistore::Exchange::Step;

std::string Int(int32_t v) { return std::string(reinterpret_cast<const char *>(&v), 4); }

std::string Sealed(const std::string &key, const std::string &value) {
  infinistore::TrailerHash hash;
  hash.Begin(key);
  hash.Add(reinterpret_cast<const uint8_t *>(value.data()), value.size());
  uint8_t trailer[infinistore::kTrailerBytes];
  hash.Write(value.size(), trailer);
  return value + std::string(reinterpret_cast<char *>(trailer), sizeof(trailer));
}

class InfiniStoreExchange : public testing::Test {
 protected:
  void SetUp() override { Renew(); }
  void TearDown() override { Shut(); }
  void Renew() {
    Shut();
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds_), 0);
    x_ = std::make_unique<Exchange>();
  }
  void Shut() {
    for (int &fd : fds_) {
      if (fd >= 0) close(fd);
      fd = -1;
    }
  }
  // Until it waits, is done or broken.
  Step Run() {
    for (;;) {
      const Step step = x_->Run(fds_[0], MSG_DONTWAIT, scratch_.data());
      if (step != Step::kMore) return step;
    }
  }
  void Say(const std::string &bytes) { ASSERT_EQ(write(fds_[1], bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size())); }
  // Everything that was sent, without waiting.
  std::string Hear() {
    std::string out;
    char buf[4096];
    for (ssize_t n; (n = recv(fds_[1], buf, sizeof(buf), MSG_DONTWAIT)) > 0;) out.append(buf, static_cast<size_t>(n));
    return out;
  }
  void CloseServer() {
    close(fds_[1]);
    fds_[1] = -1;
  }

  int fds_[2] = {-1, -1};
  std::unique_ptr<Exchange> x_;
  std::vector<uint8_t> scratch_ = std::vector<uint8_t>(Exchange::kScratchBytes);
};

TEST_F(InfiniStoreExchange, AnswersSplitAnywhereAreTheSame) {
  const std::string value = "0123456789", sealed = Sealed("k", value);
  for (const bool trailer : {false, true}) {
    const std::string stored = trailer ? sealed : value;
    const std::string answer = Int(200) + Int(static_cast<int32_t>(stored.size())) + stored;
    for (size_t first = 0; first <= answer.size(); ++first) {
      for (size_t second = first; second <= answer.size(); second += 3) {
        Renew();
        std::string got(value.size(), '?');
        x_->StartGet("k", reinterpret_cast<uint8_t *>(&got[0]), got.size(), trailer);
        EXPECT_EQ(Run(), Step::kWait);
        if (first > 0) Say(answer.substr(0, first));
        if (first < answer.size()) {
          EXPECT_EQ(Run(), Step::kWait) << first;
        }
        Say(answer.substr(first, second - first));
        if (second < answer.size() && first < answer.size()) {
          EXPECT_EQ(Run(), Step::kWait) << first << " " << second;
        }
        Say(answer.substr(second));
        ASSERT_EQ(Run(), Step::kDone) << first << " " << second;
        EXPECT_EQ(x_->code(), 200);
        EXPECT_TRUE(x_->size_fits());
        EXPECT_EQ(got, value);
        if (trailer) {
          EXPECT_TRUE(x_->intact()) << first << " " << second;
        }
        EXPECT_TRUE(x_->reusable());
      }
    }
  }
}

TEST_F(InfiniStoreExchange, AnotherSizeIsSkippedExactly) {
  const std::string room(10, '?');
  for (const size_t stored : {1, 9, 11, 17, 18, 33, 34, 35, 1000, 100000}) {
    for (const bool trailer : {false, true}) {
      if (stored == room.size() + (trailer ? infinistore::kTrailerBytes : 0)) continue;
      Renew();
      std::string got = room + "guard";
      x_->StartGet("k", reinterpret_cast<uint8_t *>(&got[0]), room.size(), trailer);
      EXPECT_EQ(Run(), Step::kWait);
      Say(Int(200) + Int(static_cast<int32_t>(stored)));
      Step step = Run();
      for (size_t at = 0; at < stored; at += 50000) {
        ASSERT_EQ(step, Step::kWait) << stored;
        Say(std::string(std::min<size_t>(50000, stored - at), 'x'));
        step = Run();
      }
      ASSERT_EQ(step, Step::kDone) << stored;
      EXPECT_FALSE(x_->size_fits());
      EXPECT_EQ(x_->stored_bytes(), stored);
      EXPECT_EQ(got.substr(room.size()), "guard");
      // The next exchange on the same connection finds its own answer.
      Hear();
      x_->StartExists("k");
      EXPECT_EQ(Run(), Step::kWait);
      Say(Int(200) + Int(1));
      ASSERT_EQ(Run(), Step::kDone);
      EXPECT_EQ(x_->number(), 1);
    }
  }
}

TEST_F(InfiniStoreExchange, WrongAnswersBreakTheConnectionOrSaySo) {
  const auto ask = [&](const std::string &answer, bool get) {
    Renew();
    static uint8_t buf[10];
    if (get) {
      x_->StartGet("k", buf, sizeof(buf), true);
    } else {
      x_->StartExists("k");
    }
    EXPECT_EQ(Run(), Step::kWait);
    Say(answer);
    return Run();
  };
  EXPECT_EQ(ask(Int(404), true), Step::kDone);
  EXPECT_TRUE(x_->reusable());
  for (const int32_t code : {0, -1, 202, 400, 408, 500, 503, 507, 404 << 16, 12345}) {
    EXPECT_EQ(ask(Int(code), true), Step::kDone) << code;
    EXPECT_FALSE(x_->reusable()) << code;
    EXPECT_EQ(ask(Int(code), false), Step::kDone) << code;
    EXPECT_FALSE(x_->reusable()) << code;
  }
  EXPECT_EQ(ask(Int(404) + "x", true), Step::kBroken) << "more than the answer";
  EXPECT_EQ(ask(Int(200) + Int(-1), true), Step::kBroken) << "4 GiB";
  EXPECT_NE(x_->error().find("4294967295"), std::string::npos) << x_->error();
  EXPECT_EQ(ask(Int(200) + Int(3) + "abcd", true), Step::kBroken) << "more than announced";
  EXPECT_EQ(ask(Int(200) + Int(0), true), Step::kDone);
  EXPECT_FALSE(x_->size_fits());
}

TEST_F(InfiniStoreExchange, ATornValueIsNotIntact) {
  const std::string value = "0123456789";
  std::string stored = Sealed("k", value);
  for (size_t i = 0; i < stored.size(); ++i) {
    Renew();
    std::string torn = stored, got(value.size(), '?');
    torn[i] = static_cast<char>(torn[i] ^ 0x10);
    x_->StartGet("k", reinterpret_cast<uint8_t *>(&got[0]), got.size(), true);
    EXPECT_EQ(Run(), Step::kWait);
    Say(Int(200) + Int(static_cast<int32_t>(torn.size())) + torn);
    ASSERT_EQ(Run(), Step::kDone);
    EXPECT_FALSE(x_->intact()) << i;
  }
}

TEST_F(InfiniStoreExchange, AServerThatClosesAnywhereBreaksIt) {
  const std::string value = "0123456789";
  const std::string answer = Int(200) + Int(34) + Sealed("k", value);
  for (size_t n = 0; n < answer.size(); ++n) {
    Renew();
    std::string got(value.size(), '?');
    x_->StartGet("k", reinterpret_cast<uint8_t *>(&got[0]), got.size(), true);
    EXPECT_EQ(Run(), Step::kWait);
    Say(answer.substr(0, n));
    Hear();
    CloseServer();
    EXPECT_EQ(Run(), Step::kBroken) << n;
    EXPECT_EQ(x_->error(), "the server closed the connection");
  }
}

TEST_F(InfiniStoreExchange, LeftWhileReceivingItTouchesNothingAndDrains) {
  const std::string value = "0123456789";
  const std::string answer = Int(200) + Int(34) + Sealed("k", value);
  for (size_t n = 0; n < answer.size(); ++n) {
    Renew();
    auto got = std::make_unique<std::string>(value.size(), '?');
    x_->StartGet("k", reinterpret_cast<uint8_t *>(&(*got)[0]), got->size(), true);
    EXPECT_EQ(Run(), Step::kWait);
    Say(answer.substr(0, n));
    EXPECT_EQ(Run(), Step::kWait);
    x_->Detach();
    got.reset();  // a later touch is found by AddressSanitizer
    Say(answer.substr(n));
    EXPECT_EQ(Run(), Step::kDone) << n;
  }
}

// The bytes of a put that is left after `sent` bytes, as the server reads them.
TEST_F(InfiniStoreExchange, LeftWhileSendingItSendsTheAnnouncedBytes) {
  for (const bool trailer : {false, true}) {
    std::string whole;
    {
      const std::string value(3000, 'v');
      x_->StartPut("key", reinterpret_cast<const uint8_t *>(value.data()), value.size(), trailer);
      EXPECT_EQ(Run(), Step::kWait);
      whole = Hear();
    }
    const size_t request = whole.size() - 3000 - (trailer ? infinistore::kTrailerBytes : 0);
    // A socket with little room: the exchange stops at different places.
    for (const int room : {1, 2000, 4000}) {
      Renew();
      ASSERT_EQ(setsockopt(fds_[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
      auto value = std::make_unique<std::string>(1 << 20, 'v');
      x_->StartPut("key", reinterpret_cast<const uint8_t *>(value->data()), value->size(), trailer);
      EXPECT_EQ(Run(), Step::kWait);
      ASSERT_TRUE(x_->sending()) << "the test needs a put that is under way";
      x_->Detach();
      value.reset();
      std::string heard;
      while (x_->sending()) {
        heard += Hear();
        Run();
      }
      heard += Hear();
      EXPECT_EQ(heard.size(), request + (1 << 20) + (trailer ? infinistore::kTrailerBytes : 0));
      if (trailer) {
        const std::string stored = heard.substr(request);
        EXPECT_NE(stored, Sealed("key", std::string(1 << 20, 'v'))) << "it has failed, so it must not look whole";
      } else {
        EXPECT_TRUE(heard.substr(request) == std::string(1 << 20, 'v'));
      }
      Say(Int(200));
      EXPECT_EQ(Run(), Step::kDone);
    }
    Renew();
  }
}

TEST_F(InfiniStoreExchange, AnEarlyRefusalIsFoundBehindAFailedSend) {
  const std::string value(8 << 20, 'v');
  x_->StartPut("key", reinterpret_cast<const uint8_t *>(value.data()), value.size(), true);
  EXPECT_EQ(Run(), Step::kWait);
  Say(Int(507));
  ASSERT_EQ(shutdown(fds_[1], SHUT_RD), 0);  // from here on sending fails, what was said can be read
  EXPECT_EQ(Run(), Step::kDone);
  EXPECT_EQ(x_->code(), 507);
  EXPECT_FALSE(x_->reusable());
}

TEST_F(InfiniStoreExchange, AnEarlyRefusalIsFoundWhenTheServerStopsReading) {
  const std::string value(8 << 20, 'v');
  for (const int32_t code : {507, 200}) {
    Renew();
    x_->StartPut("key", reinterpret_cast<const uint8_t *>(value.data()), value.size(), true);
    EXPECT_EQ(Run(), Step::kWait);
    Say(Int(code));
    EXPECT_EQ(Run(), code == 507 ? Step::kDone : Step::kBroken) << "nothing was read of the value";
  }
}

}  // namespace
