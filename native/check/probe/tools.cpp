// SPDX-License-Identifier: Apache-2.0
#include <time.h>
#include <unistd.h>

#include <cstring>

#include "core.h"

namespace probe {
namespace {

uint64_t Clock(clockid_t id) {
  timespec t;
  clock_gettime(id, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1000000000u + static_cast<uint64_t>(t.tv_nsec);
}

}  // namespace

Check*& Check::First() {
  static Check* first = nullptr;
  return first;
}

uint64_t NowNs() { return Clock(CLOCK_MONOTONIC); }
uint64_t CpuNs() { return Clock(CLOCK_PROCESS_CPUTIME_ID); }

void SleepUs(uint64_t us) {
  timespec t = {static_cast<time_t>(us / 1000000), static_cast<long>(us % 1000000 * 1000)};
  while (nanosleep(&t, &t) != 0) {
  }
}

int Deadline::left_ms() const {
  const uint64_t now = NowNs();
  return now >= end_ ? 0 : static_cast<int>((end_ - now + 999999) / 1000000);
}

uint64_t Random::Next() {
  uint64_t z = (state_ += UINT64_C(0x9E3779B97F4A7C15));
  z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
  return z ^ (z >> 31);
}

std::string Content(const std::string& name, uint64_t version, size_t len) {
  uint64_t h = 0xCBF29CE484222325 ^ version;
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  Random random(h);
  std::string out(len, '\0');
  for (size_t i = 0; i < len; i += 8) {
    const uint64_t word = random.Next();
    memcpy(&out[i], &word, len - i < 8 ? len - i : 8);
  }
  return out;
}

const std::string& Nonce() {
  static const std::string nonce = Has("nonce") ? In("nonce") :
      Format("chk%llx%x", static_cast<unsigned long long>(Clock(CLOCK_REALTIME) & 0xFFFFFFFFFFFF), static_cast<unsigned>(getpid()));
  return nonce;
}

std::string Key(const char* format, ...) {
  va_list args;
  va_start(args, format);
  std::string text = FormatV(format, args);
  va_end(args);
  return Nonce() + "/" + text;
}

}  // namespace probe
