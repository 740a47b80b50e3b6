// SPDX-License-Identifier: Apache-2.0
//
// Stores and loads a set of values, by the connector through its C ABI or by plain
// system calls, and prints bytes per second:
//
//   fs_bench lib:PATH CONFIG  FOLDER SIZE KEYS BATCH DEPTH WORKERS LOADS
//   fs_bench plain -          FOLDER SIZE KEYS BATCH DEPTH WORKERS LOADS
//
// CONFIG has more members for the connector's configuration, or "-". Output: one
// line for the set, then one per load: its seconds, and those of CPU time.
// lmcache_bench.py does the same with LMCache's client. Values stay in FOLDER.
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "sixcall/connector.h"

namespace {

struct Plan {
  std::string folder;
  uint64_t size;
  uint32_t keys, batch, depth, workers, loads;
};

std::string KeyOf(uint32_t i) {
  char text[128];
  std::snprintf(text, sizeof(text), "meta-llama/Llama-3.1-8B@01000100@0@%064x", i);
  return text;
}
std::string NameOf(uint32_t i) {
  char text[128];
  std::snprintf(text, sizeof(text), "meta-llama-SEP-Llama-3.1-8B@0x01000100@0@%064x.data", i);
  return text;
}

double Seconds(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

/// Runs the set, then the loads, and prints what each took.
void Measure(uint32_t loads, const std::function<void(bool set)>& work) {
  for (uint32_t i = 0; i <= loads; i++) {
    const double wall = Seconds(CLOCK_MONOTONIC), cpu = Seconds(CLOCK_PROCESS_CPUTIME_ID);
    work(i == 0);
    std::printf("%.9f %.9f\n", Seconds(CLOCK_MONOTONIC) - wall, Seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu);
  }
}

/// The memory of the batches in flight, touched.
class Buffers {
 public:
  explicit Buffers(const Plan& plan) : size_((plan.size + 4095) / 4096 * 4096), count_(uint64_t{plan.batch} * plan.depth) {
    base_ = mmap(nullptr, size_ * count_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (base_ == MAP_FAILED) throw std::runtime_error("no memory");
    for (uint64_t i = 0; i < size_ * count_; i++) static_cast<uint8_t*>(base_)[i] = static_cast<uint8_t>(i * 167);
  }
  ~Buffers() { munmap(base_, size_ * count_); }
  uint8_t* at(uint64_t i) const { return static_cast<uint8_t*>(base_) + i % count_ * size_; }

 private:
  uint64_t size_, count_;
  void* base_;
};

/// The connector, driven as a host does it.
class Library {
 public:
  Library(const std::string& path, const std::string& more, const Plan& plan) : plan_(plan), buffers_(plan) {
    void* so = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (so == nullptr) throw std::runtime_error(dlerror());
    const auto entry = reinterpret_cast<sixcall_connector_entry_fn>(dlsym(so, SIXCALL_ENTRY_SYMBOL));
    api_ = entry(nullptr);
    const std::string config = "{\"base_path\":\"" + plan.folder + "\",\"workers\":" + std::to_string(plan.workers) + (more == "-" ? "" : "," + more) + "}";
    static const sixcall_host host = {sizeof(host), SIXCALL_ABI_MAJOR, SIXCALL_ABI_MINOR, 0, "fs_bench", "0", nullptr, nullptr, 0, 0};
    sixcall_open_args args = {};
    args.struct_size = sizeof(args);
    args.config_json = config.data();
    args.config_len = config.size();
    sixcall_err err = {};
    err.struct_size = sizeof(err);
    if (api_->open(&host, &args, &conn_, &err) != 0) throw std::runtime_error(err.msg);
    for (uint32_t i = 0; i < plan.keys; i++) keys_.push_back(KeyOf(i));
    items_.resize(uint64_t{plan.batch} * plan.depth);
    status_.resize(items_.size());
  }
  ~Library() { api_->close(conn_, 10000); }

  void Run(bool set) {
    uint32_t next = 0, out = 0;
    std::vector<uint32_t> free;
    for (uint32_t i = plan_.depth; i > 0; i--) free.push_back(i - 1);
    while (next < plan_.keys || out > 0) {
      while (next < plan_.keys && !free.empty()) {
        const uint32_t slot = free.back();
        free.pop_back();
        next += Submit(set, slot, next);
        out++;
      }
      out -= Drain(&free);
    }
  }

 private:
  uint32_t Submit(bool set, uint32_t slot, uint32_t from) {
    sixcall_batch b = {};
    b.struct_size = sizeof(b);
    b.ticket = slot;
    b.n = std::min(plan_.batch, plan_.keys - from);
    b.item_stride = sizeof(sixcall_item);
    sixcall_item* items = &items_[uint64_t{slot} * plan_.batch];
    for (uint32_t i = 0; i < b.n; i++) {
      const std::string& key = keys_[from + i];
      items[i] = {reinterpret_cast<const uint8_t*>(key.data()), static_cast<uint32_t>(key.size()), 0, buffers_.at(uint64_t{slot} * plan_.batch + i), plan_.size};
    }
    b.items = items;
    b.status = &status_[uint64_t{slot} * plan_.batch];
    if ((set ? api_->submit_batch_set : api_->submit_batch_get)(conn_, &b) != 0) throw std::runtime_error("refused");
    sent_[slot % 4096] = b.n;
    return b.n;
  }
  uint32_t Drain(std::vector<uint32_t>* free) {
    pollfd p = {api_->event_fd(conn_), POLLIN, 0};
    poll(&p, 1, -1);
    sixcall_completion done[64];
    const int32_t n = api_->drain_completions(conn_, done, 64, sizeof(done[0]));
    for (int32_t i = 0; i < n; i++) {
      if (done[i].n_ok != sent_[done[i].ticket % 4096]) throw std::runtime_error("a key failed");
      free->push_back(static_cast<uint32_t>(done[i].ticket));
    }
    return static_cast<uint32_t>(n);
  }

  const Plan& plan_;
  Buffers buffers_;
  const sixcall_api* api_ = nullptr;
  sixcall_conn* conn_ = nullptr;
  std::vector<std::string> keys_;
  std::vector<sixcall_item> items_;
  std::vector<uint8_t> status_;
  uint32_t sent_[4096] = {};
};

/// The limit: threads that open, transfer and close, without any of the rest.
void Plain(const Plan& plan, const Buffers& buffers, bool set) {
  const int dir = open(plan.folder.c_str(), O_RDONLY | O_DIRECTORY);
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < plan.workers; t++) {
    threads.emplace_back([&, t] {
      for (uint32_t i = t; i < plan.keys; i += plan.workers) {
        const int fd = openat(dir, NameOf(i).c_str(), set ? O_WRONLY | O_CREAT | O_EXCL : O_RDONLY, 0666);
        const ssize_t n = set ? pwrite(fd, buffers.at(i), plan.size, 0) : pread(fd, buffers.at(i), plan.size, 0);
        if (n != static_cast<ssize_t>(plan.size)) {
          perror("plain");
          std::exit(1);
        }
        close(fd);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  close(dir);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 10) {
    std::fprintf(stderr, "usage: fs_bench lib:PATH|plain MEMBERS|- FOLDER SIZE KEYS BATCH DEPTH WORKERS LOADS\n");
    return 2;
  }
  const auto number = [&](int i) { return static_cast<uint32_t>(std::stoul(argv[i])); };
  const Plan plan = {argv[3], std::stoull(argv[4]), number(5), number(6), number(7), number(8), number(9)};
  const std::string how = argv[1];
  try {
    if (how == "plain") {
      const Buffers buffers(plan);
      Measure(plan.loads, [&](bool set) { Plain(plan, buffers, set); });
    } else {
      Library library(how.substr(4), argv[2], plan);
      Measure(plan.loads, [&](bool set) { library.Run(set); });
    }
  } catch (const std::exception& e) {
    std::fprintf(stderr, "fs_bench: %s\n", e.what());
    return 1;
  }
  return 0;
}
