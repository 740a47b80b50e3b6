// SPDX-License-Identifier: Apache-2.0
// What a worker does before it has heard of a library, and how it ends.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "mini_host.h"

namespace worker_test {
namespace {

std::string ProcPath(pid_t pid, const std::string& name) { return "/proc/" + std::to_string(pid) + "/" + name; }

std::string ReadAll(const std::string& path) {
  std::ifstream in(path);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

/// The fields of /proc/pid/status.
std::map<std::string, std::string> StatusOf(pid_t pid) {
  std::map<std::string, std::string> out;
  std::istringstream in(ReadAll(ProcPath(pid, "status")));
  for (std::string line; std::getline(in, line);) {
    const size_t colon = line.find(':');
    const size_t from = line.find_first_not_of(" \t", colon + 1);
    out[line.substr(0, colon)] = from == std::string::npos ? "" : line.substr(from);
  }
  return out;
}

std::set<int> FdsOf(pid_t pid) {
  std::set<int> out;
  for (const auto& entry : std::filesystem::directory_iterator(ProcPath(pid, "fd"))) out.insert(std::stoi(entry.path().filename()));
  return out;
}

/// Name to thread id.
std::map<std::string, std::string> ThreadsOf(pid_t pid) {
  std::map<std::string, std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(ProcPath(pid, "task"))) {
    std::string name = ReadAll(entry.path() / "comm");
    if (!name.empty()) name.pop_back();
    out[name] = entry.path().filename();
  }
  return out;
}

std::string LimitOf(pid_t pid, const std::string& name) {
  std::istringstream in(ReadAll(ProcPath(pid, "limits")));
  for (std::string line; std::getline(in, line);) {
    if (line.compare(0, name.size(), name) != 0) continue;
    std::istringstream fields(line.substr(name.size()));
    std::string soft, hard;
    fields >> soft >> hard;
    return soft + " " + hard;
  }
  return "";
}

TEST(Start, HelloNamesTheVersions) {
  MiniHost host;
  const auto* hello = host.hello().As<wire::Hello>();
  ASSERT_NE(hello, nullptr);
  EXPECT_EQ(hello->protocol_major(), 1);
  EXPECT_EQ(hello->protocol_minor(), 1);
  EXPECT_EQ(hello->abi_major(), SIXCALL_ABI_MAJOR);
  EXPECT_EQ(hello->abi_minor(), SIXCALL_ABI_MINOR);
  EXPECT_EQ(hello->version()->str(), SIXCALL_TEST_VERSION);
  EXPECT_EQ(hello->pid(), host.process().pid());
}

TEST(Start, StrayDescriptorsAreClosedAndStdinIsEmpty) {
  HostOptions options;
  options.leave_stray_fd = true;
  MiniHost host(options);
  EXPECT_EQ(FdsOf(host.process().pid()), (std::set<int>{0, 1, 2, 9}));
  EXPECT_EQ(std::filesystem::read_symlink(ProcPath(host.process().pid(), "fd/0")), "/dev/null");
}

TEST(Start, PrivilegesAndSignalsAreWhatTheyShouldBe) {
  HostOptions options;
  options.wrapper = {"env", "--ignore-signal=INT", "--block-signal=USR1"};
  MiniHost host(options);
  auto status = StatusOf(host.process().pid());
  EXPECT_EQ(status["NoNewPrivs"], "1");
  EXPECT_EQ(status["SigBlk"], "0000000000000000");
  // Signals 32 and 33 are the C library's: it lets nobody change them, and make ignores them for its children.
  const uint64_t ignored = std::stoull(status["SigIgn"], nullptr, 16) & ~uint64_t{0x180000000};
  EXPECT_EQ(ignored, uint64_t{1} << (SIGPIPE - 1)) << "SIGPIPE alone is ignored";
  EXPECT_EQ(status["Seccomp"], "0") << "the profile depends on what the host wants";
  host.Connect(MemLibrary());
  EXPECT_EQ(StatusOf(host.process().pid())["Seccomp"], "2");
  const std::string pump = ThreadsOf(host.process().pid())["sixcall:pump"];
  EXPECT_NE(ReadAll(ProcPath(host.process().pid(), "task/" + pump + "/status")).find("Seccomp:\t2"), std::string::npos);
}

TEST(Start, WithExecAllowedThereIsNoProfile) {
  HostOptions options;
  options.allow_exec = true;
  MiniHost host(options);
  host.Connect(MemLibrary());
  EXPECT_EQ(StatusOf(host.process().pid())["Seccomp"], "0");
}

TEST(Start, NoCoreIsWrittenUnlessAsked) {
  MiniHost without;
  without.Connect(MemLibrary());
  EXPECT_EQ(LimitOf(without.process().pid(), "Max core file size"), "1 1");
  HostOptions options;
  options.core_dumps = true;
  MiniHost with(options);
  with.Connect(MemLibrary());
  rlimit mine;
  getrlimit(RLIMIT_CORE, &mine);
  const std::string most = mine.rlim_max == RLIM_INFINITY ? "unlimited" : std::to_string(mine.rlim_max);
  EXPECT_EQ(LimitOf(with.process().pid(), "Max core file size"), most + " " + most);
}

TEST(Start, AMemoryLimitBoundsDataAtTwiceItsSize) {
  if (kSanitized) GTEST_SKIP() << "the shadow memory of sanitizers counts as data";
  HostOptions options;
  options.memory_limit = uint64_t{1} << 30;
  MiniHost large(options);
  large.Connect(MemLibrary());
  EXPECT_EQ(LimitOf(large.process().pid(), "Max data size"), "2147483648 2147483648");
  options.memory_limit = 64 << 20;
  MiniHost small(options);
  small.Connect(MemLibrary());
  EXPECT_EQ(LimitOf(small.process().pid(), "Max data size"), "335544320 335544320") << "stacks need room too";
}

TEST(Start, ThreadsHaveNames) {
  MiniHost host;
  host.Connect(MemLibrary());
  const auto threads = ThreadsOf(host.process().pid());
  for (const char* name : {"sixcall-worker", "sixcall:service", "sixcall:pump"}) EXPECT_TRUE(threads.count(name)) << name;
}

TEST(Start, AnIdlePumpSleeps) {
  MiniHost host;
  host.Connect(MemLibrary());
  Batch batch;
  host.Run(&batch, SIXCALL_OP_EXISTS, {{"a", 0}});
  const std::string path = ProcPath(host.process().pid(), "task/" + ThreadsOf(host.process().pid())["sixcall:pump"] + "/status");
  const auto switches = [&] {
    const std::string status = ReadAll(path);
    return status.substr(status.find("voluntary_ctxt_switches"));
  };
  // It goes to sleep at some time; from then on nothing wakes it.
  std::string before = switches();
  for (int i = 0; i < 200; i++) {
    usleep(50000);
    const std::string now = switches();
    if (now == before) break;
    before = now;
  }
  EXPECT_EQ(__atomic_load_n(&host.ring()->sq_need_wake, __ATOMIC_SEQ_CST), 1u);
  usleep(300000);
  EXPECT_EQ(switches(), before);
}

TEST(Arguments, WrongOnesAreRefusedWithASentence) {
  const struct {
    std::vector<std::string> arguments;
    const char* want;
  } cases[] = {
      {{}, "want either --control-fd or --library"},
      {{"--control-fd", "x"}, "--control-fd wants a descriptor above 2, got x"},
      {{"--control-fd", "1"}, "--control-fd wants a descriptor above 2, got 1"},
      {{"--control-fd", "9", "--library", "a"}, "want either --control-fd or --library"},
      {{"--control-fd", "9", "--exercise"}, "belong to --library"},
      {{"--control-fd", "9"}, "--control-fd is no Unix socket of type SOCK_SEQPACKET"},
      {{"--library", "a", "--timeout-ms", "0"}, "--timeout-ms wants milliseconds, at least 1, got 0"},
      {{"--library", "a", "b"}, "unknown argument b"},
      {{"--nonsense"}, "wrong arguments"},
  };
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  const Fd ours(pair[0]), theirs(pair[1]);
  for (const auto& one : cases) {
    std::vector<std::string> argv = {SIXCALL_TEST_WORKER};
    argv.insert(argv.end(), one.arguments.begin(), one.arguments.end());
    Process process(argv, theirs.get(), 9);
    EXPECT_EQ(process.End(), "exit 2");
    EXPECT_NE(process.Output().find(one.want), std::string::npos) << one.want << " is not in " << process.Output();
  }
}

TEST(End, CloseIsAnsweredAndExitIsZero) {
  MiniHost host;
  host.Connect(MemLibrary());
  EXPECT_NE(host.Close().As<wire::Done>(), nullptr);
  EXPECT_EQ(host.process().End(), "exit 0");
  EXPECT_EQ(host.process().Output(), "");
}

TEST(End, CloseBeforeAnythingWorks) {
  MiniHost host;
  EXPECT_NE(host.Close().As<wire::Done>(), nullptr);
  EXPECT_EQ(host.process().End(), "exit 0");
}

TEST(End, AClosedSocketEndsTheWorker) {
  MiniHost early;
  early.socket() = Fd();
  EXPECT_EQ(early.process().End(), "exit 4");
  EXPECT_NE(early.process().Output().find("the host is gone"), std::string::npos);

  MiniHost serving;
  serving.Connect(MemLibrary());
  serving.socket() = Fd();
  EXPECT_EQ(serving.process().End(), "exit 4");
}

TEST(End, AClosedSocketEndsAWorkerThatHangsInTheLibrary) {
  for (const char* call : {"get", "open"}) {
    MiniHost host;
    ASSERT_NE(host.Load(FaultyLibrary()).As<wire::Loaded>(), nullptr);
    host.SendOpen(std::string(R"({"x-fault":"hang_in_)") + call + "\"}");
    if (std::string(call) == "get") {
      host.WaitFor(2);
      host.Submit(SIXCALL_OP_GET, {{"a", 1}});
      host.WaitForCall(SIXCALL_CALL_SUBMIT | SIXCALL_OP_GET);
    }
    host.socket() = Fd();
    EXPECT_EQ(host.process().End(), "exit 4") << call;
  }
}

// The socket stays open here, in this process: it is the death signal that ends
// the worker.
TEST(End, TheDeathOfTheHostEndsTheWorker) {
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);  // the orphan comes to us
  int pair[2], pids[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
  ASSERT_EQ(pipe(pids), 0);
  const Fd ours(pair[0]), theirs(pair[1]), from(pids[0]), to(pids[1]);
  const pid_t host = fork();
  ASSERT_GE(host, 0);
  if (host == 0) {
    auto* worker = new Process({SIXCALL_TEST_WORKER, "--control-fd", "9"}, theirs.get(), 9);
    const pid_t pid = worker->pid();
    if (write(to.get(), &pid, sizeof(pid)) != sizeof(pid)) _exit(1);
    for (;;) pause();
  }
  pid_t worker = 0;
  ASSERT_EQ(read(from.get(), &worker, sizeof(worker)), static_cast<ssize_t>(sizeof(worker)));
  pollfd hello = {ours.get(), POLLIN, 0};
  ASSERT_EQ(poll(&hello, 1, 60000), 1) << "no Hello";
  ASSERT_EQ(kill(host, SIGKILL), 0);
  ASSERT_EQ(waitpid(host, nullptr, 0), host);
  int status = 0;
  ASSERT_EQ(waitpid(worker, &status, 0), worker);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "status " << status;
  prctl(PR_SET_CHILD_SUBREAPER, 0);
}

}  // namespace
}  // namespace worker_test
