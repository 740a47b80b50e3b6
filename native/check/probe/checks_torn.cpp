// SPDX-License-Identifier: Apache-2.0
//
// B: what a killed process leaves behind.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tolerant.h"

namespace probe {
namespace {

constexpr int kTornKeys = 6;

std::string TornKey(int i) { return Key("torn/%d", i); }

/// Stores until it is killed.
[[noreturn]] void TornWriter(uint64_t from) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  Session s(Load());
  const uint64_t len = s.ValueLen(300000);
  for (uint64_t version = from;; version++) {
    std::vector<std::string> keys, values;
    for (int i = 0; i < kTornKeys; i++) {
      keys.push_back(TornKey(i));
      values.push_back(Sealed(keys.back(), version, len));
    }
    for (int i = 0; i < kTornKeys; i += 2) {
      const auto at = static_cast<size_t>(i);
      s.TrySubmit(Spec::Set({keys[at], keys[at + 1]}, {values[at], values[at + 1]}));
    }
    s.WaitAll();
  }
}

[[noreturn]] void TornReader() {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  Session s(Load());
  const uint64_t len = s.ValueLen(300000);
  int hits = 0;
  for (int i = 0; i < kTornKeys; i++) {
    std::string value;
    const uint8_t status = s.Get(TornKey(i), len, &value);
    hits += status == SIXCALL_STATUS_HIT;
    if (status == SIXCALL_STATUS_HIT && Unseal(TornKey(i), value) == 0) {
      Fail("after a process was killed in the middle of stores, a key has a mixture of values, or part of one, as a HIT");
    }
  }
  s.Close();
  Quit(70 + hits);
}

}  // namespace

PROBE_CHECK(B15) {
  // Nothing is loaded here: every child is a whole process.
  Nonce();
  Random random;
  const Deadline end(EffortMs() * 3);
  int rounds = 0, hits = 0;
  for (; !end.passed() || rounds < 5; rounds++) {
    const pid_t writer = fork();
    if (writer < 0) ToolError("fork failed");
    if (writer == 0) TornWriter(static_cast<uint64_t>(rounds) * 1000000 + 1);
    SleepUs(random.Between(15000, 120000));
    kill(writer, SIGKILL);
    int status = 0;
    waitpid(writer, &status, 0);
    if (WIFEXITED(status)) Quit(0);  // it has given a verdict
    const pid_t reader = fork();
    if (reader < 0) ToolError("fork failed");
    if (reader == 0) TornReader();
    waitpid(reader, &status, 0);
    if (WIFSIGNALED(status)) Fail("the process that opens after a crash dies of signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status) < 70) Quit(0);
    hits += WEXITSTATUS(status) - 70;
  }
  Figure("kills", rounds);
  Figure("hits", hits);
  if (hits == 0) Warn("no value was found after any of %d kills, although PERSISTENT is declared", rounds);
}

}  // namespace probe
