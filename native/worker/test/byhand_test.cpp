// SPDX-License-Identifier: Apache-2.0
// The program without a host.
#include <gtest/gtest.h>

#include "../text.h"
#include "mini_host.h"

namespace worker_test {
namespace {

struct Outcome {
  std::string end, output;
  bool Has(const std::string& text) const { return output.find(text) != std::string::npos; }
};

Outcome RunProgram(std::vector<std::string> arguments, bool crashes = false) {
  arguments.insert(arguments.begin(), SIXCALL_TEST_WORKER);
  Process process(arguments, -1, -1);
  if (crashes) process.ExpectReport();
  const std::string end = process.End();
  return {end, process.Output()};
}

TEST(ByHand, VersionsAndHelp) {
  const Outcome version = RunProgram({"--version"});
  EXPECT_EQ(version.end, "exit 0");
  EXPECT_EQ(version.output, "sixcall-worker " SIXCALL_TEST_VERSION "\nprotocol 1.1\nabi 1.0\n");
  const Outcome help = RunProgram({"--help"});
  EXPECT_EQ(help.end, "exit 0");
  EXPECT_EQ(help.output.rfind("usage: sixcall-worker --control-fd N", 0), 0u);
}

TEST(ByHand, ALibraryIsLoadedOpenedAndExercised) {
  const Outcome mem = RunProgram({"--library", MemLibrary(), "--params", R"({"capacity_bytes":100000000})", "--exercise"});
  EXPECT_EQ(mem.end, "exit 0") << mem.output;
  EXPECT_TRUE(mem.Has("connector    mem ")) << mem.output;
  EXPECT_TRUE(mem.Has("exercise     get: 5 keys")) << mem.output;
  EXPECT_TRUE(mem.Has("exercise     get after: 5 keys")) << mem.output;
  EXPECT_TRUE(mem.Has("ok           closed")) << mem.output;
  EXPECT_FALSE(mem.Has("changed")) << mem.output;
  const Outcome bare = RunProgram({"--library", FaultyLibrary("bare"), "--exercise"});
  EXPECT_EQ(bare.end, "exit 0") << bare.output;
}

TEST(ByHand, FailuresAreNamed) {
  const struct {
    std::vector<std::string> arguments;
    const char* want;
  } cases[] = {
      {{"--library", "/nonexistent.so"}, "load /nonexistent.so: No such file or directory"},
      {{"--library", FaultyLibrary("wrong_abi")}, "implements ABI 7.0, this host speaks ABI 1.0"},
      {{"--library", MemLibrary(), "--params", R"({"nonsense":1})"}, "nonsense"},
      {{"--library", FaultyLibrary(), "--params", R"({"x-fault":"fail_in_open"})"}, "connect to 192.0.2.1:7: refused on demand (code -10)"},
      {{"--library", FaultyLibrary(), "--exercise", "--params", R"({"x-behaviour":"refuse"})"}, "ping: submit returned -5"},
      {{"--library", FaultyLibrary(), "--exercise", "--params", R"({"x-behaviour":"unset"})"}, "exists before: status of sixcall-exercise-"},
      {{"--library", FaultyLibrary(), "--exercise", "--params", R"({"x-behaviour":"double"})"}, "was completed, want ticket "},
      {{"--library", FaultyLibrary(), "--exercise", "--timeout-ms", "50", "--params", R"({"x-hold":1})"}, "exercise: operation 5 is not done after 50 ms"},
      {{"--library", FaultyLibrary(), "--params", R"({"x-behaviour":"busy"})"}, "could not stop everything"},
  };
  for (const auto& one : cases) {
    const Outcome outcome = RunProgram(one.arguments);
    EXPECT_EQ(outcome.end, "exit 1") << outcome.output;
    EXPECT_TRUE(outcome.Has(one.want)) << outcome.output << "want " << one.want;
  }
}

TEST(ByHand, ACrashIsLeftToTheDebugger) {
  const Outcome outcome = RunProgram({"--library", FaultyLibrary(), "--exercise", "--params", R"({"x-fault":"crash_in_get"})"}, true);
  EXPECT_TRUE(kSanitized || outcome.end == "signal 11") << outcome.end;
  EXPECT_NE(outcome.end, "exit 0");
  EXPECT_FALSE(outcome.Has("sixcall-worker: SIGSEGV")) << outcome.output;
}

TEST(Text, IsMadePrintable) {
  using sixcall::worker::Printable;
  EXPECT_EQ(Printable("plain"), "plain");
  EXPECT_EQ(Printable("a\nb\tc\x7f"), "a b c ");
  EXPECT_EQ(Printable("gr\xC3\xBC\xC3\x9F"), "gr\xC3\xBC\xC3\x9F");
  EXPECT_EQ(Printable("a\xFF\xFE" "b"), "a\xEF\xBF\xBD" "b") << "a run of wrong bytes is one character";
  EXPECT_EQ(Printable("\xC3"), "\xEF\xBF\xBD");
  EXPECT_EQ(Printable("\xC0\xAF"), "\xEF\xBF\xBD") << "an overlong form";
  EXPECT_EQ(Printable("\xED\xA0\x80"), "\xEF\xBF\xBD") << "half of a surrogate pair";
  EXPECT_EQ(Printable("\xE2\x80\xA8|\xC2\x85|"), " | |") << "line ends of Unicode";
  EXPECT_EQ(Printable("\xF0\x9F\x98\x80"), "\xF0\x9F\x98\x80");
}

}  // namespace
}  // namespace worker_test
