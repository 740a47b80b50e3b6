// SPDX-License-Identifier: Apache-2.0
//
// What every check uses: its input, its verdict, time, random numbers.
#ifndef SIXCALL_PROBE_CORE_H
#define SIXCALL_PROBE_CORE_H

#include <cstdarg>
#include <cstdint>
#include <string>
#include <vector>

#define PROBE_PRINTF(a, b) __attribute__((format(printf, a, b)))

namespace probe {

// ------------------------------------------------------------------- input

/// Reads the input file: records of "name<TAB>length<LF>", that many bytes, <LF>.
/// A name may occur several times. False if the file is not of that form.
bool ReadInput(const char* path);
/// Sets a value by hand, for runs under a debugger.
void SetInput(const std::string& name, const std::string& value);

/// The first value of a name, or `otherwise`.
const std::string& In(const std::string& name, const std::string& otherwise = std::string());
bool Has(const std::string& name);
/// All values of a name, in order.
std::vector<std::string> All(const std::string& name);
uint64_t InNumber(const std::string& name, uint64_t otherwise);

/// How long to wait for what should come at once, in milliseconds. Far above what
/// a connector that keeps the contract needs.
uint64_t PatienceMs();
/// How long the checks that repeat something go on, in milliseconds.
uint64_t EffortMs();

// ----------------------------------------------------------------- verdict

/// Opens the channel to the runner; without one (fd < 0) the verdict is printed.
void OpenResult(int fd);
/// Where the last call is noted for the runner; fd < 0: nowhere.
void OpenState(int fd);

/// End the process with a verdict. The first caller wins; others wait for the end.
[[noreturn]] void Pass();  ///< PASS, or WARN if there were warnings
[[noreturn]] void Fail(const char* format, ...) PROBE_PRINTF(1, 2);
[[noreturn]] void Leak(const char* format, ...) PROBE_PRINTF(1, 2);
[[noreturn]] void Skip(const char* format, ...) PROBE_PRINTF(1, 2);
[[noreturn]] void ToolError(const char* format, ...) PROBE_PRINTF(1, 2);
/// Keeps a warning; the check goes on.
void Warn(const char* format, ...) PROBE_PRINTF(1, 2);
/// Keeps a remark that is shown with a PASS.
void Note(const char* format, ...) PROBE_PRINTF(1, 2);
/// Keeps a figure for the report.
void Figure(const char* name, double value);
/// Says what the probe is about to do, so that the runner can tell where a crash or
/// a hang happened. Not for hot loops.
void At(const char* format, ...) PROBE_PRINTF(1, 2);

/// Says what the probe is in the middle of; stands behind each At from now on.
void Phase(const char* format, ...) PROBE_PRINTF(1, 2);

/// Writes one line to the runner. Async-signal-safe.
void WriteResult(const char* text, size_t len);

/// Ends this process without a verdict and without exit handlers.
[[noreturn]] void Quit(int code);

std::string Format(const char* format, ...) PROBE_PRINTF(1, 2);
std::string FormatV(const char* format, va_list args) PROBE_PRINTF(1, 0);
std::string JsonText(const std::string& text);
/// Text for a message: what cannot be printed becomes \xNN; long text is cut.
std::string Show(const std::string& bytes, size_t most = 40);
/// The name of a SIXCALL_E_ code, with its number.
std::string CodeText(int64_t code);
bool IsUtf8(const char* text, size_t len);

// -------------------------------------------------------------------- time

uint64_t NowNs();  ///< CLOCK_MONOTONIC
inline uint64_t NowMs() { return NowNs() / 1000000; }
uint64_t CpuNs();  ///< CPU time of the process
void SleepUs(uint64_t us);

/// Ends after some time.
class Deadline {
 public:
  explicit Deadline(uint64_t ms) : end_(NowNs() + ms * 1000000) {}
  bool passed() const { return NowNs() >= end_; }
  int left_ms() const;

 private:
  uint64_t end_;
};

/// Waits until `done` is true, at most `ms`; false if it never was.
template <class F>
bool Until(uint64_t ms, F&& done) {
  const Deadline end(ms);
  for (uint64_t pause = 20; !done(); pause = pause < 2000 ? pause * 2 : pause) {
    if (end.passed()) return done();
    SleepUs(pause);
  }
  return true;
}

// ----------------------------------------------------------------- random

/// A small generator; the same seed gives the same run.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * UINT64_C(0x9E3779B97F4A7C15) + 0x632BE59BD9B4E019) {}
  Random() : Random(InNumber("seed", 1)) {}
  uint64_t Next();
  /// 0..n-1.
  uint64_t Below(uint64_t n) { return n == 0 ? 0 : Next() % n; }
  uint64_t Between(uint64_t low, uint64_t high) { return low + Below(high - low + 1); }
  bool Chance(uint64_t one_in) { return Below(one_in) == 0; }

 private:
  uint64_t state_;
};

/// Bytes that belong to (name, version): any two differ from the first bytes on.
std::string Content(const std::string& name, uint64_t version, size_t len);
/// A prefix for keys that no other run has used.
const std::string& Nonce();
/// A key of this run.
std::string Key(const char* format, ...) PROBE_PRINTF(1, 2);

/// Input "one_cpu" and "sched_seed": where this process runs, and random pauses at
/// locks by the preloaded library.
void PrepareSchedule();

// ------------------------------------------------------------------ checks

struct Check {
  const char* id;
  void (*run)();
  Check* next;
  static Check*& First();
  Check(const char* check_id, void (*function)()) : id(check_id), run(function), next(First()) { First() = this; }
};

/// Defines a check: PROBE_CHECK(L01) { ... }
#define PROBE_CHECK(name)                              \
  static void Run##name();                             \
  static ::probe::Check check##name{#name, Run##name}; \
  static void Run##name()

}  // namespace probe

#endif  // SIXCALL_PROBE_CORE_H
