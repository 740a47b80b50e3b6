// SPDX-License-Identifier: Apache-2.0
//
// Finding and loading the library, its signal handlers, the configuration.
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>

#include "mooncake.h"
#include "mooncake_batch.h"
#include "mooncake_find.h"
#include "mooncake_master.h"
#include "sixcall/connector.hpp"

namespace sixcall_test {
namespace {

namespace fs = std::filesystem;

class MooncakeLibrary : public MooncakeTest {
 protected:
  void SetUp() override {
    MooncakeTest::SetUp();
    ::unsetenv("SIXCALL_MOONCAKE_LIBRARY");
    char name[] = "/tmp/mooncake-test-XXXXXX";
    folder_ = ::mkdtemp(name);
  }
  void TearDown() override {
    MooncakeTest::TearDown();
    fs::remove_all(folder_);
  }
  std::string Copy(const std::string &from, const std::string &name) {
    const std::string to = folder_ + "/" + name;
    fs::create_directories(fs::path(to).parent_path());
    fs::copy_file(from, to);
    return to;
  }
  OpenOptions With(const std::string &members) {
    OpenOptions options;
    options.config = R"({"master_server_address":")" + master_.address() + "\"" + members + "}";
    return options;
  }
  void Refused(const std::string &members, const std::vector<std::string> &texts) {
    Connection connection(Mooncake(), With(members));
    EXPECT_EQ(connection.open_rc(), SIXCALL_E_CONFIG) << members;
    for (const auto &text : texts) EXPECT_NE(connection.open_error().find(text), std::string::npos) << text << " in: " << connection.open_error();
  }
  std::string folder_;
};

TEST_F(MooncakeLibrary, AMissingLibraryIsNamedWithItsPackage) {
  Refused(R"(,"library":"/nowhere/libmooncake_store.so")",
          {"config key \"library\": /nowhere/libmooncake_store.so: No such file or directory", "PyPI's tokenspeed-mooncake"});
  Refused(R"(,"library":"libmooncake_store.so")", {"not an absolute path"});
  Refused(",\"library\":\"" + folder_ + "\"", {"not a file"});
  ::setenv("SIXCALL_MOONCAKE_LIBRARY", "/nowhere/either.so", 1);
  Refused("", {"SIXCALL_MOONCAKE_LIBRARY: /nowhere/either.so: No such file"});
}

TEST_F(MooncakeLibrary, TheEnvironmentAndThePlacesOfPackagesAreSearched) {
  ::setenv("SIXCALL_MOONCAKE_LIBRARY", SIXCALL_TEST_FAKE, 1);
  {
    Connection connection(Mooncake(), With(""));
    EXPECT_TRUE(connection.ok()) << connection.open_error();
  }
  ::unsetenv("SIXCALL_MOONCAKE_LIBRARY");
  ::setenv("VIRTUAL_ENV", folder_.c_str(), 1);
  ::setenv("HOME", folder_.c_str(), 1);
  EXPECT_EQ(mooncake::SearchPatterns()[0], folder_ + "/lib/python3*/site-packages/mooncake/libmooncake_store.so");
  EXPECT_EQ(mooncake::SearchPatterns()[1], folder_ + "/.local/lib/python3*/site-packages/mooncake/libmooncake_store.so");
  const std::string copy = Copy(SIXCALL_TEST_FAKE, "lib/python3.99/site-packages/mooncake/libmooncake_store.so");
  EXPECT_EQ(mooncake::FindLibrary(""), copy);
}

TEST_F(MooncakeLibrary, ALibraryThatEverybodyMayWriteIsRefused) {
  const std::string copy = Copy(SIXCALL_TEST_FAKE, "libmooncake_store.so");
  ::chmod(copy.c_str(), 0777);
  Refused(",\"library\":\"" + copy + "\"", {copy, "everybody may write it"});
}

TEST_F(MooncakeLibrary, WhatIsNotTheLibraryIsRefused) {
  const std::string text = folder_ + "/text.so";
  std::ofstream(text) << "not a library\n";
  Refused(",\"library\":\"" + text + "\"", {text, "load "});
  Refused(",\"library\":\"" SIXCALL_TEST_MOONCAKE "\"", {"has no mooncake_store_create", "0.3.13"});
}

TEST_F(MooncakeLibrary, ALibraryThatTheLibraryNeedsIsNamedAndCanBePreloaded) {
  const std::string copy = Copy(SIXCALL_TEST_NEEDS, "libmooncake_store.so");
  Refused(",\"library\":\"" + copy + "\"", {"libcudart.so.13: cannot open shared object file", "PyPI's nvidia-cuda-runtime has it", copy});
  Refused(",\"library\":\"" + copy + "\",\"preload\":[\"/nowhere/libcudart.so.13\"]", {"config key \"preload\": /nowhere/libcudart.so.13: No such file"});
  // Now it loads, and what is missing is another thing.
  Refused(",\"library\":\"" + copy + "\",\"preload\":[\"" SIXCALL_TEST_CUDART "\"]", {"has no mooncake_store_create"});
}

TEST_F(MooncakeLibrary, HintsNameThePackages) {
  EXPECT_EQ(mooncake::LoadHint("libcuda.so.1: cannot open shared object file"),
            "it comes with the GPU's driver; without a GPU use a build without CUDA, or \"preload\" a stand-in");
  EXPECT_EQ(mooncake::LoadHint("libmlx5.so.1: cannot open"), "Debian: libibverbs1 ibverbs-providers");
  EXPECT_EQ(mooncake::LoadHint("undefined symbol: x"), "");
}

TEST_F(MooncakeLibrary, SignalActionsAreAsBefore) {
  { Connection warm(Mooncake(), Options()); }  // the harness takes signals of its own
  // The fake takes SIGURG and SIGFPE and ignores SIGPIPE when it is loaded, and
  // takes SIGUSR2 in setup. A copy is another library: it is loaded again.
  const std::string copy = Copy(SIXCALL_TEST_FAKE, "libmooncake_store.so");
  const auto actions = [] {  // as the kernel has them: a sanitizer shows other ones
    std::vector<std::array<uint64_t, 4>> all(65);
    for (int signal = 1; signal < 65; signal++) ::syscall(SYS_rt_sigaction, signal, nullptr, all[static_cast<size_t>(signal)].data(), 8);
    return all;
  };
  struct sigaction mine = {};
  mine.sa_handler = [](int) {};
  mine.sa_flags = SA_RESTART | SA_ONSTACK;
  ::sigaction(SIGURG, &mine, nullptr);
  const auto before = actions();
  {
    Connection connection(Mooncake(), With(",\"library\":\"" + copy + "\""));
    ASSERT_TRUE(connection.ok()) << connection.open_error();
    EXPECT_EQ(actions(), before);
  }
  EXPECT_EQ(actions(), before);
}

TEST_F(MooncakeLibrary, ThreadsAreNamedAndTakeNoSignals) {
  { Connection warm(Mooncake(), Options()); }
  const auto before = ListThreads();
  Connection connection(Mooncake(), Options(R"("workers":2,"lookup_workers":1)"));
  EXPECT_TRUE(Eventually([&] { return NewThreads(before).size() == 3; })) << "the thread of the set-up ends";
  for (const ThreadInfo &thread : NewThreads(before)) {
    EXPECT_EQ(thread.name, "sixcall:mooncak");
    EXPECT_NE(thread.blocked & (uint64_t{1} << (SIGURG - 1)), 0u);
  }
}

TEST_F(MooncakeLibrary, SetupGetsTheConfiguration) {
  {
    Connection connection(Mooncake(), Options());
    EXPECT_EQ(FakeLastSetup(), "127.0.0.1|P2PHANDSHAKE|0|16777216|tcp||" + master_.address()) << "the own address is found out";
  }
  Connection connection(Mooncake(), Options(R"("local_hostname":"node7","metadata_server":"http://m:8080/metadata","global_segment_size":1048576,)"
                                            R"("local_buffer_size":0,"protocol":"rdma","device_name":"mlx5_0")"));
  EXPECT_EQ(FakeLastSetup(), "node7|http://m:8080/metadata|1048576|0|rdma|mlx5_0|" + master_.address());
}

TEST_F(MooncakeLibrary, AnAddressWithASchemeIsLeftToTheLibrary) {
  OpenOptions options;
  options.config = R"({"library":")" SIXCALL_TEST_FAKE R"(","master_server_address":"etcd://10.0.0.1:2379;10.0.0.2:2379","local_hostname":"n1"})";
  {
    Connection connection(Mooncake(), options);
    EXPECT_TRUE(connection.ok()) << connection.open_error();
    EXPECT_NE(FakeLastSetup().find("|etcd://10.0.0.1:2379;10.0.0.2:2379"), std::string::npos);
  }
  options.config = R"({"library":")" SIXCALL_TEST_FAKE R"(","master_server_address":"etcd://10.0.0.1:2379"})";
  Connection connection(Mooncake(), options);
  EXPECT_EQ(connection.open_rc(), SIXCALL_E_CONFIG);
  EXPECT_NE(connection.open_error().find("config key \"local_hostname\" is missing"), std::string::npos) << connection.open_error();
}

TEST_F(MooncakeLibrary, RefusesAWrongConfigurationInWords) {
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"{}", "config key \"master_server_address\" is missing, want a string"},
      {R"({"master_server_address":"h:1","existing":"overwrite"})", "config key \"existing\" is \"overwrite\", want one of compare, keep, replace"},
      {R"({"master_server_address":"h:1","library_log":"debug"})", "config key \"library_log\" is \"debug\", want one of info, warning, error, none"},
      {R"({"master_server_address":"h:1","replica_num":0})", "config key \"replica_num\" is 0, want an integer from 1 to 64"},
      {R"({"master_server_address":"h:1","global_segment_size":"80GB"})", "config key \"global_segment_size\" is \"80GB\", want an integer"},
      {R"({"master_server_address":"h:1","setup_timeout_ms":0})", "config key \"setup_timeout_ms\" is 0, want an integer from 1 to 600000"},
      {R"({"master_server_address":"h:1","preload":"x"})", "config key \"preload\" is \"x\", want an array of strings"},
      {R"({"master_server_address":"h:1","master_server_addr":"h:1"})", "unknown config key \"master_server_addr\"; the nearest known key is \"master_server_address\""},
  };
  for (const auto &[config, text] : wrong) {
    OpenOptions options;
    options.config = config;
    Connection connection(Mooncake(), options);
    EXPECT_EQ(connection.open_rc(), SIXCALL_E_CONFIG) << config;
    EXPECT_EQ(connection.open_error().substr(0, text.size()), text);
  }
  EXPECT_EQ(FakeCalls("create"), 0);
}

TEST(MooncakeMaster, AddressesAreRead) {
  const auto parse = [](const char *text) { return mooncake::MasterAddress::Parse(text); };
  EXPECT_EQ(parse("10.0.0.7:50051").host, "10.0.0.7");
  EXPECT_EQ(parse("10.0.0.7:50051").port, "50051");
  EXPECT_EQ(parse("[::1]:5").host, "::1");
  EXPECT_EQ(parse("etcd://a:1").host, "");
  for (const char *bad : {"host", "host:", ":1", "host:0", "host:65536", "host:1x", "::1:5", "host:123456", "[]:1"}) {
    EXPECT_THROW(parse(bad), sixcall::Error) << bad;
  }
}

TEST(MooncakeMaster, ANameThatIsUnknownIsAConnectError) {
  try {
    mooncake::CheckMaster(mooncake::MasterAddress::Parse("no such host:1"), std::chrono::milliseconds(1000));
    FAIL() << "connected to nothing";
  } catch (const sixcall::Error &e) {
    EXPECT_EQ(e.code(), SIXCALL_E_CONNECT);
    EXPECT_NE(e.text().find("no such host:1"), std::string::npos) << e.text();
  }
}

TEST(MooncakeMaster, AMasterThatDoesNotTakeTheConnectionIsATimeout) {
  // A listener that accepts nobody, with a queue that is full.
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr *>(&address), size), 0);
  ASSERT_EQ(::listen(listener, 0), 0);
  ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr *>(&address), &size), 0);
  std::vector<int> sockets = {listener};
  for (bool full = false; !full;) {
    ASSERT_LT(sockets.size(), 100u) << "the queue does not fill";
    sockets.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    ::connect(sockets.back(), reinterpret_cast<sockaddr *>(&address), size);
    pollfd connected = {sockets.back(), POLLOUT, 0};
    full = ::poll(&connected, 1, 500) == 0;
  }
  const auto master = mooncake::MasterAddress::Parse("127.0.0.1:" + std::to_string(ntohs(address.sin_port)));
  try {
    mooncake::CheckMaster(master, std::chrono::milliseconds(100));
    ADD_FAILURE() << "connected to a full queue";
  } catch (const sixcall::Error &e) {
    EXPECT_EQ(e.code(), SIXCALL_E_TIMEOUT) << e.text();
    EXPECT_NE(e.text().find("no answer within 100 ms"), std::string::npos) << e.text();
  }
  for (const int fd : sockets) ::close(fd);
}

TEST(MooncakeBatch, KeysBecomeTextsThatStayApart) {
  const auto text = [](std::string_view key) {
    std::string out;
    mooncake::AppendKey(key, &out);
    return out;
  };
  EXPECT_EQ(text("a\2\xFF"), "a\2\xFF");
  EXPECT_EQ(text(std::string_view("a\0b", 3)), "a\1\1b");
  EXPECT_EQ(text("a\1b"), "a\1\2b");
  // All keys of up to six bytes over the three that matter.
  std::set<std::string> texts;
  size_t keys = 0;
  for (size_t n = 1; n <= 6; n++) {
    for (size_t number = 0; number < static_cast<size_t>(std::pow(3, n)); number++) {
      std::string key;
      for (size_t i = 0, rest = number; i < n; i++, rest /= 3) key += static_cast<char>(rest % 3);
      const std::string t = text(key);
      EXPECT_EQ(t.find('\0'), std::string::npos);
      texts.insert(t);
      keys++;
    }
  }
  EXPECT_EQ(texts.size(), keys);
}

TEST(MooncakeBatch, AKeySetFindsKeysThatAreThere) {
  mooncake::KeySet set;
  std::vector<std::string> keys;
  for (int i = 0; i < 1000; i++) keys.push_back("key " + std::to_string(i));
  for (int round = 0; round < 2; round++) {
    set.Clear(keys.size());
    for (const auto &key : keys) EXPECT_TRUE(set.Insert(key));
    for (const auto &key : keys) EXPECT_FALSE(set.Insert(key));
  }
}

}  // namespace
}  // namespace sixcall_test
