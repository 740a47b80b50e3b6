// SPDX-License-Identifier: Apache-2.0
//
// Drives the connector with the real library, in a process of its own: the library
// brings a Go runtime, which a test program in Go had better not load.
//
//   mooncake_driver libsixcall_mooncake.so [FD]
//
// Reads commands from standard input, a line each, and answers each with one line
// of JSON on the descriptor FD, or on standard output. The value of a key follows from the key, a version and a size.
//
//   open TIMEOUT_MS CONFIG          close GRACE_MS     ping      stats
//   set|get PREFIX N SIZE VERSION   exists|delete PREFIX N
//   twice KEY SIZE                  a get with the key three times
//   register BYTES                  memory for later sets and gets
//   load THREADS KEYS SIZE          checked traffic; sample: its counters; unload: ends it
//   signals                         how many signal actions are not as at the start
//   leave                           returns from main without close
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <random>
#include <sstream>

#include "host.h"

namespace mooncake_test {
namespace {

using Clock = std::chrono::steady_clock;

/// Far more than anything takes: the library itself gives up after 30 s.
constexpr std::chrono::seconds kStuck{120};

std::string Quote(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    char escape[8];
    if (c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20) {
      std::snprintf(escape, sizeof(escape), "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      out += escape;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

int64_t MillisSince(Clock::time_point from) { return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - from).count(); }

using Actions = std::array<std::array<uint64_t, 4>, 65>;
Actions ReadActions() {
  Actions all = {};
  for (int signal = 1; signal < 65; signal++) ::syscall(SYS_rt_sigaction, signal, nullptr, all[static_cast<size_t>(signal)].data(), 8);
  return all;
}

/// Traffic whose every answer is checked: a key has one value only.
class Load {
 public:
  Load(Host& host, int threads, int keys, size_t size) : host_(host), keys_(keys), size_(size) {
    for (int t = 0; t < threads; t++) threads_.emplace_back([this, t] { Run(t); });
  }
  std::string Stop() {
    stop_ = true;
    for (auto& thread : threads_) thread.join();
    return Sample();
  }
  std::string Sample() const {
    std::ostringstream out;
    out << "{\"batches\":" << batches_ << ",\"hits\":" << hits_ << ",\"misses\":" << misses_ << ",\"stored\":" << stored_ << ",\"failed\":" << failed_
        << ",\"wrong\":" << wrong_ << ",\"stuck\":" << stuck_ << ",\"slowest_ms\":" << slowest_ << "}";
    return out.str();
  }

 private:
  static constexpr size_t kBatch = 8;

  void Run(int number) {
    std::minstd_rand random(static_cast<unsigned>(number) + 1);
    while (!stop_) {
      // On the heap and, when it is stuck, for ever: the connector may still use it.
      auto call = std::make_unique<Call>(kBatch);
      auto memory = std::make_unique<std::vector<uint8_t>>(kBatch * size_, 0xA5);
      const uint32_t op = std::array<uint32_t, 4>{SIXCALL_OP_SET, SIXCALL_OP_GET, SIXCALL_OP_GET, SIXCALL_OP_EXISTS}[random() % 4];
      for (size_t i = 0; i < kBatch; i++) {
        const std::string key = "load/" + std::to_string(random() % static_cast<unsigned>(keys_));
        uint8_t* buf = op == SIXCALL_OP_EXISTS ? nullptr : memory->data() + i * size_;
        if (op == SIXCALL_OP_SET) FillValue(key, 0, buf, size_);
        call->Set(i, key, buf, buf == nullptr ? 0 : size_);
      }
      const auto from = Clock::now();
      if (host_.Start(op, *call) != 0) continue;
      if (!Host::Wait(*call, kStuck)) {
        stuck_++;
        (void)call.release();
        (void)memory.release();
        continue;
      }
      Check(op, *call, *memory);
      const int64_t took = MillisSince(from);
      int64_t slowest = slowest_;
      while (took > slowest && !slowest_.compare_exchange_weak(slowest, took)) {
      }
      // A fast failure must not turn the test into a busy loop.
      if (call->completion.rc != 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  void Check(uint32_t op, const Call& call, const std::vector<uint8_t>& memory) {
    batches_++;
    for (size_t i = 0; i < kBatch; i++) {
      const uint8_t status = call.status[i];
      if (status == SIXCALL_STATUS_UNSET) wrong_++;
      if (status > SIXCALL_STATUS_HIT) failed_++;
      if (op == SIXCALL_OP_SET) {
        stored_ += status == SIXCALL_STATUS_HIT;
        wrong_ += status == SIXCALL_STATUS_MISS;
      } else if (op == SIXCALL_OP_GET && status == SIXCALL_STATUS_HIT) {
        hits_++;
        wrong_ += !IsValue(call.keys[i], 0, memory.data() + i * size_, size_);
      } else if (op == SIXCALL_OP_GET && status == SIXCALL_STATUS_MISS) {
        misses_++;
        const auto* from = memory.data() + i * size_;
        wrong_ += !std::all_of(from, from + size_, [](uint8_t b) { return b == 0xA5; });
      }
    }
  }

  Host& host_;
  const int keys_;
  const size_t size_;
  std::atomic<bool> stop_{false};
  std::atomic<int64_t> batches_{0}, hits_{0}, misses_{0}, stored_{0}, failed_{0}, wrong_{0}, stuck_{0}, slowest_{0};
  std::vector<std::thread> threads_;
};

class Driver {
 public:
  explicit Driver(const std::string& connector) : host_(connector) {}

  /// Returns the answer, or "" to leave.
  std::string Do(const std::string& line) {
    std::istringstream in(line);
    std::string command;
    in >> command;
    if (command == "open") return Open(in);
    if (command == "leave") return "";
    if (command == "signals") {
      const Actions now = ReadActions();
      int changed = 0;
      // 33 belongs to the C library, which sets it when the first thread starts.
      for (size_t signal = 1; signal < 65; signal++) changed += signal != 33 && now[signal] != before_[signal];
      return "{\"changed\":" + std::to_string(changed) + "}";
    }
    if (!host_.is_open()) return "{\"rc\":-1,\"error\":\"not open\"}";
    if (command == "close") {
      uint32_t grace = 0;
      in >> grace;
      return "{\"rc\":" + std::to_string(host_.Close(grace)) + "}";
    }
    if (command == "stats") {
      std::string text(1 << 16, '\0');
      text.resize(static_cast<size_t>(host_.api().stats_text(host_.conn(), text.data(), text.size())));
      return "{\"text\":" + Quote(text) + "}";
    }
    if (command == "register") return Register(in);
    if (command == "twice") return Twice(in);
    if (command == "load") {
      int threads = 0, keys = 0;
      size_t size = 0;
      in >> threads >> keys >> size;
      load_ = std::make_unique<Load>(host_, threads, keys, size);
      return "{}";
    }
    if (command == "sample") return load_->Sample();
    if (command == "unload") {
      const std::string answer = load_->Stop();
      load_.reset();
      return answer;
    }
    return Batch(command, in);
  }

 private:
  std::string Open(std::istringstream& in) {
    uint32_t timeout = 0;
    std::string config, error;
    in >> timeout;
    std::getline(in, config);
    const auto from = Clock::now();
    const int32_t rc = host_.Open(config, timeout, &error);
    return "{\"rc\":" + std::to_string(rc) + ",\"ms\":" + std::to_string(MillisSince(from)) + ",\"error\":" + Quote(error) + "}";
  }

  std::string Register(std::istringstream& in) {
    size_t bytes = 0;
    in >> bytes;
    arena_.assign(bytes, 0);
    sixcall_memory memory = {};
    memory.struct_size = sizeof(memory);
    memory.base = arena_.data();
    memory.len = bytes;
    memory.fd = -1;
    sixcall_err err = {};
    err.struct_size = sizeof(err);
    const int32_t rc = host_.api().register_memory(host_.conn(), &memory, &mem_handle_, &err);
    return "{\"rc\":" + std::to_string(rc) + ",\"error\":" + Quote(err.msg) + "}";
  }

  std::string Answer(Call& call, uint64_t wrong, int64_t ms) {
    std::ostringstream out;
    out << "{\"rc\":" << call.completion.rc << ",\"ms\":" << ms << ",\"wrong\":" << wrong << ",\"status\":\"";
    for (const uint8_t s : call.status) out << static_cast<int>(s);
    out << "\",\"error\":" << Quote(std::string(call.err.msg, call.err.len)) << "}";
    return out.str();
  }

  std::string Batch(const std::string& command, std::istringstream& in) {
    const uint32_t op = command == "set"      ? SIXCALL_OP_SET
                        : command == "get"    ? SIXCALL_OP_GET
                        : command == "exists" ? SIXCALL_OP_EXISTS
                        : command == "delete" ? SIXCALL_OP_DELETE
                        : command == "ping"   ? SIXCALL_OP_PING
                                              : 0u;
    if (op == 0) return "{\"rc\":-1,\"error\":\"unknown command\"}";
    std::string prefix;
    size_t n = 0, size = 0;
    uint64_t version = 0;
    in >> prefix >> n >> size >> version;
    const bool bufs = op == SIXCALL_OP_SET || op == SIXCALL_OP_GET;
    Call call(n);
    std::vector<uint8_t> own;
    uint8_t* memory = arena_.data();
    const bool registered = bufs && arena_.size() >= n * size && mem_handle_ != 0;
    if (bufs && !registered) own.resize(n * size), memory = own.data();
    if (op == SIXCALL_OP_GET) std::memset(memory, 0xA5, n * size);
    for (size_t i = 0; i < n; i++) {
      const std::string key = prefix + std::to_string(i);
      if (op == SIXCALL_OP_SET) FillValue(key, version, memory + i * size, size);
      call.Set(i, key, bufs ? memory + i * size : nullptr, bufs ? size : 0);
    }
    const auto from = Clock::now();
    const int32_t rc = host_.Start(op, call, registered ? mem_handle_ : 0);
    if (rc != 0) return "{\"rc\":" + std::to_string(rc) + ",\"error\":\"refused\"}";
    if (!Host::Wait(call, kStuck)) {
      std::fprintf(stderr, "mooncake_driver: %s is stuck\n", command.c_str());
      ::_exit(3);  // its memory is in use
    }
    const int64_t ms = MillisSince(from);
    uint64_t wrong = 0;
    for (size_t i = 0; op == SIXCALL_OP_GET && i < n; i++) {
      if (call.status[i] == SIXCALL_STATUS_HIT) wrong += !IsValue(call.keys[i], version, memory + i * size, size);
      if (call.status[i] == SIXCALL_STATUS_MISS) wrong += size > 0 && memory[i * size] != 0xA5;
    }
    return Answer(call, wrong, ms);
  }

  std::string Twice(std::istringstream& in) {
    std::string key;
    size_t size = 0;
    in >> key >> size;
    Call call(3);
    std::vector<uint8_t> memory(3 * size, 0xA5);
    for (size_t i = 0; i < 3; i++) call.Set(i, key, memory.data() + i * size, size);
    if (host_.Start(SIXCALL_OP_GET, call) != 0 || !Host::Wait(call, kStuck)) ::_exit(3);
    uint64_t wrong = 0;
    for (size_t i = 0; i < 3; i++) wrong += call.status[i] == SIXCALL_STATUS_HIT && !IsValue(key, 0, memory.data() + i * size, size);
    return Answer(call, wrong, 0);
  }

  const Actions before_ = ReadActions();
  Host host_;
  std::unique_ptr<Load> load_;
  std::vector<uint8_t> arena_;
  uint64_t mem_handle_ = 0;
};

}  // namespace
}  // namespace mooncake_test

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: mooncake_driver libsixcall_mooncake.so [FD]\n");
    return 2;
  }
  std::FILE* out = argc > 2 ? ::fdopen(std::atoi(argv[2]), "w") : stdout;
  if (out == nullptr) return 2;
  try {
    // Never destroyed: "leave" is an end without close.
    auto& driver = *new mooncake_test::Driver(argv[1]);
    std::string line;
    while (std::getline(std::cin, line)) {
      const std::string answer = driver.Do(line);
      if (answer.empty()) return 0;
      std::fprintf(out, "%s\n", answer.c_str());
      std::fflush(out);
    }
  } catch (const std::exception& e) {
    std::fprintf(stderr, "mooncake_driver: %s\n", e.what());
    return 1;
  }
  return 0;
}
