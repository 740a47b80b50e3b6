// SPDX-License-Identifier: Apache-2.0
//
// Measures the connector beside the library's own calls, in one process and in
// turns, against the same servers:
//
//   mooncake_bench --connector libsixcall_mooncake.so --library libmooncake_store.so --master host:port
//       [--preload file] [--rounds n] [--sizes bytes:keys,...] [--depth batches] [--config '{"more":"keys"}'] [--registered]
//
// plain is one thread that calls batch_put_from, batch_get_into and batch_is_exist
// with a batch each; connector has `depth` batches in flight. Both use the same
// buffers, touched before. Figures are medians of many short rounds; best is the
// ratio of the best rounds, which says more on a machine that others use.
#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>

#include "host.h"
#include "mooncake_api.h"

namespace mooncake_test {
namespace {

using Clock = std::chrono::steady_clock;

struct Plain {
  mooncake::Api api = {};
  mooncake::Handle handle = nullptr;

  Plain(const std::string& library, const std::string& preload, const std::string& master) {
    if (!preload.empty() && ::dlopen(preload.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) throw std::runtime_error(::dlerror());
    void* so = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (so == nullptr) throw std::runtime_error(::dlerror());
    const auto bind = [&](const char* name, auto* out) {
      void* symbol = ::dlsym(so, name);
      if (symbol == nullptr) throw std::runtime_error(std::string(name) + " is missing");
      std::memcpy(out, &symbol, sizeof(symbol));
    };
    bind("mooncake_store_create", &api.create);
    bind("mooncake_store_setup", &api.setup);
    bind("mooncake_store_batch_put_from", &api.batch_put_from);
    bind("mooncake_store_batch_get_into", &api.batch_get_into);
    bind("mooncake_store_batch_is_exist", &api.batch_is_exist);
    bind("mooncake_store_register_buffer", &api.register_buffer);
    bind("mooncake_store_remove", &api.remove);
    handle = api.create();
    if (api.setup(handle, "127.0.0.1", "P2PHANDSHAKE", 0, 16 << 20, "tcp", "", master.c_str()) != 0) throw std::runtime_error("setup failed");
  }
};

struct Shape {
  size_t size, keys;
};

struct Bench {
  Plain& plain;
  Host& host;
  size_t depth;
  uint64_t mem_handle = 0;
  std::vector<uint8_t> values, buffers;
  int next = 0;

  std::vector<std::string> Keys(const char* who, const Shape& shape, size_t n) {
    const std::string prefix = "bench/" + std::to_string(::getpid()) + "/" + std::to_string(shape.size) + "/" + who + "/";
    std::vector<std::string> keys;
    for (size_t i = 0; i < n; i++) keys.push_back(prefix + std::to_string(next++) + "/0123456789abcdef");
    return keys;
  }
  /// Makes room, so that later rounds use memory of the node that was touched before.
  void Remove(const std::vector<std::string>& keys) {
    for (const auto& key : keys) plain.api.remove(plain.handle, key.c_str(), 1);
  }

  static double Seconds(Clock::time_point from) { return std::chrono::duration<double>(Clock::now() - from).count(); }

  /// Seconds for op over all keys, in batches of shape.keys, by the library itself.
  double RunPlain(uint32_t op, const std::vector<std::string>& keys, const Shape& shape) {
    const auto from = Clock::now();
    std::vector<const char*> names(shape.keys);
    std::vector<void*> bufs(shape.keys);
    std::vector<size_t> sizes(shape.keys, shape.size);
    std::vector<int> codes(shape.keys);
    std::vector<int64_t> lengths(shape.keys);
    for (size_t at = 0; at < keys.size(); at += shape.keys) {
      for (size_t i = 0; i < shape.keys; i++) {
        names[i] = keys[at + i].c_str();
        bufs[i] = (op == SIXCALL_OP_SET ? values : buffers).data() + (at + i) % (values.size() / shape.size) * shape.size;
      }
      int rc = 0;
      bool good = true;
      if (op == SIXCALL_OP_SET) {
        rc = plain.api.batch_put_from(plain.handle, names.data(), bufs.data(), sizes.data(), shape.keys, nullptr, codes.data());
        good = std::all_of(codes.begin(), codes.end(), [](int c) { return c == 0; });
      } else if (op == SIXCALL_OP_GET) {
        rc = plain.api.batch_get_into(plain.handle, names.data(), bufs.data(), sizes.data(), shape.keys, lengths.data());
        good = std::all_of(lengths.begin(), lengths.end(), [&](int64_t l) { return l == static_cast<int64_t>(shape.size); });
      } else {
        rc = plain.api.batch_is_exist(plain.handle, names.data(), shape.keys, codes.data());
        good = std::all_of(codes.begin(), codes.end(), [](int c) { return c == 1; });
      }
      if (rc != 0 || !good) {
        std::string results;
        for (size_t i = 0; i < shape.keys; i++) results += " " + std::to_string(op == SIXCALL_OP_GET ? lengths[i] : codes[i]);
        throw std::runtime_error("a plain call failed, rc " + std::to_string(rc) + ", results" + results);
      }
    }
    return Seconds(from);
  }

  double RunConnector(uint32_t op, const std::vector<std::string>& keys, const Shape& shape) {
    std::vector<std::unique_ptr<Call>> calls;
    for (size_t at = 0; at < keys.size(); at += shape.keys) {
      calls.push_back(std::make_unique<Call>(shape.keys));
      for (size_t i = 0; i < shape.keys; i++) {
        uint8_t* buf = (op == SIXCALL_OP_SET ? values : buffers).data() + (at + i) % (values.size() / shape.size) * shape.size;
        const bool has = op != SIXCALL_OP_EXISTS;
        calls.back()->Set(i, keys[at + i], has ? buf : nullptr, has ? shape.size : 0);
      }
    }
    const auto from = Clock::now();
    size_t done = 0;
    const auto finish = [&] {
      Call& call = *calls[done++];
      if (!Host::Wait(call, std::chrono::seconds(60)) || call.completion.n_ok != shape.keys) {
        throw std::runtime_error(std::string("a batch of the connector failed: ") + call.err.msg);
      }
    };
    for (size_t i = 0; i < calls.size(); i++) {
      if (host.Start(op, *calls[i], op == SIXCALL_OP_EXISTS ? 0 : mem_handle) != 0) throw std::runtime_error("a batch was refused");
      if (i + 1 - done >= depth) finish();
    }
    while (done < calls.size()) finish();
    return Seconds(from);
  }
};

double Median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

double Best(const std::vector<double>& v) { return *std::min_element(v.begin(), v.end()); }

int Main(int argc, char** argv) {
  std::map<std::string, std::string> args = {{"--rounds", "21"}, {"--depth", "2"}, {"--sizes", "4096:64,65536:64,1048576:16,4194304:4"}};
  for (int i = 1; i < argc; i++) {
    const std::string name = argv[i];
    if (name == "--registered") {
      args[name] = "1";
    } else if (i + 1 < argc) {
      args[name] = argv[++i];
    }
  }
  for (const char* need : {"--connector", "--library", "--master"}) {
    if (args[need].empty()) throw std::runtime_error(std::string(need) + " is missing");
  }
  Plain plain(args["--library"], args["--preload"], args["--master"]);
  Host host(args["--connector"]);
  std::string more = args["--config"], error;
  more = more.size() > 2 ? "," + more.substr(1, more.size() - 2) : "";
  const std::string preload = args["--preload"].empty() ? "" : ",\"preload\":[\"" + args["--preload"] + "\"]";
  const std::string config = "{\"library\":\"" + args["--library"] + "\",\"master_server_address\":\"" + args["--master"] + "\"" + preload + more + "}";
  if (host.Open(config, 20000, &error) != 0) throw std::runtime_error("open: " + error);
  const size_t rounds = std::stoul(args["--rounds"]);
  std::printf("%-9s %-5s %-6s %14s %14s %7s %7s\n", "size", "keys", "op", "plain", "connector", "ratio", "best");
  for (size_t at = 0; at < args["--sizes"].size();) {
    const size_t end = std::min(args["--sizes"].find(',', at), args["--sizes"].size());
    const std::string part = args["--sizes"].substr(at, end - at);
    at = end + 1;
    const Shape shape{std::stoul(part), std::stoul(part.substr(part.find(':') + 1))};
    // About 128 MiB, or 16 batches, a round.
    const size_t batches = std::clamp<size_t>((size_t{128} << 20) / (shape.size * shape.keys), 4, 16);
    Bench bench{plain, host, std::stoul(args["--depth"]), 0, {}, {}, 0};
    bench.values.resize(shape.size * shape.keys * std::min<size_t>(batches, 16));
    bench.buffers.resize(bench.values.size());
    FillValue("bench", shape.size, bench.values.data(), bench.values.size());
    std::fill(bench.buffers.begin(), bench.buffers.end(), uint8_t{0x5A});
    uint64_t handles[2] = {0, 0};
    if (!args["--registered"].empty()) {
      std::vector<uint8_t>* both[2] = {&bench.values, &bench.buffers};
      for (int i = 0; i < 2; i++) {
        sixcall_memory memory = {};
        memory.struct_size = sizeof(memory);
        memory.base = both[i]->data();
        memory.len = both[i]->size();
        memory.fd = -1;
        if (host.api().register_memory(host.conn(), &memory, &handles[i], nullptr) != 0) throw std::runtime_error("register_memory failed");
        plain.api.register_buffer(plain.handle, both[i]->data(), both[i]->size());
      }
    }
    std::map<uint32_t, std::pair<std::vector<double>, std::vector<double>>> times;
    const uint32_t ops[] = {SIXCALL_OP_SET, SIXCALL_OP_EXISTS, SIXCALL_OP_GET};
    for (size_t round = 0; round <= rounds; round++) {  // the first is not counted
      const auto mine = bench.Keys("p", shape, batches * shape.keys), theirs = bench.Keys("c", shape, batches * shape.keys);
      for (const uint32_t op : ops) {
        // In turns, so that neither always comes first.
        double p = 0, c = 0;
        if (round % 2 == 0) p = bench.RunPlain(op, mine, shape);
        bench.mem_handle = handles[op == SIXCALL_OP_SET ? 0 : 1];
        c = bench.RunConnector(op, theirs, shape);
        if (round % 2 == 1) p = bench.RunPlain(op, mine, shape);
        if (round > 0) times[op].first.push_back(p), times[op].second.push_back(c);
      }
      bench.Remove(mine);
      bench.Remove(theirs);
    }
    for (const uint32_t op : ops) {
      const double n = static_cast<double>(batches * shape.keys), p = Median(times[op].first), c = Median(times[op].second);
      const bool bytes = op != SIXCALL_OP_EXISTS && shape.size > 4096;
      const double unit = bytes ? n * static_cast<double>(shape.size) / 1e6 : n / 1e3;
      std::printf("%-9zu %-5zu %-6s %9.0f %s %9.0f %s %7.2f %7.2f\n", shape.size, shape.keys,
                  op == SIXCALL_OP_SET ? "set" : op == SIXCALL_OP_GET ? "get" : "exists", unit / p, bytes ? "MB/s" : "k/s ", unit / c,
                  bytes ? "MB/s" : "k/s ", p / c, Best(times[op].first) / Best(times[op].second));
    }
    std::fflush(stdout);
  }
  host.Close(10000);
  std::fflush(stdout);
  ::_exit(0);  // the library's threads do not end
}

}  // namespace
}  // namespace mooncake_test

int main(int argc, char** argv) {
  try {
    return mooncake_test::Main(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "mooncake_bench: %s\n", e.what());
    return 1;
  }
}
