// SPDX-License-Identifier: Apache-2.0
//
// The limit: what a plain program gets out of a Redis server that knows every
// size beforehand, so that it can read and write without looking.
//
//   redis-limit PORT OP BATCH VALUE_BYTES DEPTH SECONDS [CONNECTIONS]
//
// OP is store, load or lookup. DEPTH batches are in flight: their commands are
// written with one call each, their replies are read with as few calls as there
// are pieces. Every connection has a thread. Prints one line of JSON with the
// fields of sixcall-driver.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

struct Shape {
  int port;
  std::string op;
  size_t batch, bytes, depth;
  double seconds;
  size_t connections;
  size_t keys() const { return std::max(batch * depth, std::min<size_t>(4096, (size_t{256} << 20) / std::max<size_t>(bytes, 1))); }
};

[[noreturn]] void Die(const char *what) {
  std::fprintf(stderr, "redis-limit: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

// Moves all of the pieces, with as many calls as that takes.
template <class Call>
void All(Call call, int fd, iovec *iov, size_t n) {
  while (n > 0) {
    const ssize_t moved = call(fd, iov, static_cast<int>(std::min<size_t>(n, 1024)));
    if (moved <= 0) Die("connection");
    auto left = static_cast<size_t>(moved);
    while (n > 0 && left >= iov->iov_len) {
      left -= iov->iov_len;
      ++iov;
      --n;
    }
    if (left > 0) {
      iov->iov_base = static_cast<char *>(iov->iov_base) + left;
      iov->iov_len -= left;
    }
  }
}

class Client {
 public:
  Client(const Shape &shape, char *memory) : shape_(shape), memory_(memory) {
    fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in addr = {};
    addr.sin_family = AF_INET;
    addr.sin_port = htons(static_cast<uint16_t>(shape.port));
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<sockaddr *>(&addr), sizeof(addr)) != 0) Die("connect");
    const int one = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    heads_.resize(shape.keys());
    for (size_t i = 0; i < shape.keys(); ++i) {
      char key[128];
      std::snprintf(key, sizeof(key), "limit/chat-8@0x00000001@0@%064zx", i);
      const std::string word = "$" + std::to_string(std::strlen(key)) + "\r\n" + key + "\r\n";
      heads_[i].set = "*3\r\n$3\r\nSET\r\n" + word + "$" + std::to_string(shape.bytes) + "\r\n";
      heads_[i].get = "*2\r\n$3\r\nGET\r\n" + word;
      heads_[i].exists = "*2\r\n$6\r\nEXISTS\r\n" + word;
    }
    reply_head_ = "$" + std::to_string(shape.bytes) + "\r\n";
    scratch_.resize(64 * shape.batch);
  }
  ~Client() { ::close(fd_); }

  void Send(const std::string &op, size_t first, size_t slot) {
    iov_.clear();
    for (size_t i = 0; i < shape_.batch; ++i) {
      const Head &head = heads_[(first + i) % heads_.size()];
      const std::string &words = op == "store" ? head.set : op == "load" ? head.get : head.exists;
      iov_.push_back({const_cast<char *>(words.data()), words.size()});
      if (op != "store") continue;
      iov_.push_back({Value(slot, i), shape_.bytes});
      iov_.push_back({const_cast<char *>("\r\n"), 2});
    }
    All(::writev, fd_, iov_.data(), iov_.size());
  }

  void Receive(const std::string &op, size_t slot) {
    iov_.clear();
    const size_t head = op == "store" ? 5 : op == "lookup" ? 4 : reply_head_.size();
    for (size_t i = 0; i < shape_.batch; ++i) {
      iov_.push_back({scratch_.data() + 64 * i, head});
      if (op != "load") continue;
      iov_.push_back({Value(slot, i), shape_.bytes});
      iov_.push_back({scratch_.data() + 64 * i + 32, 2});
    }
    All(::readv, fd_, iov_.data(), iov_.size());
    const char *want = op == "store" ? "+OK\r\n" : op == "lookup" ? ":1\r\n" : reply_head_.c_str();
    for (size_t i = 0; i < shape_.batch; ++i) {
      if (std::memcmp(scratch_.data() + 64 * i, want, head) != 0) Die("a reply that was not expected");
    }
  }

  // Keeps depth batches in flight until stop; returns the batches.
  uint64_t Run(const std::string &op, const std::atomic<bool> &stop, size_t at_most) {
    uint64_t sent = 0, done = 0;
    while (done < sent || (!stop && done < at_most)) {
      while (sent - done < shape_.depth && !stop && sent < at_most) {
        Send(op, sent * shape_.batch % heads_.size(), sent % shape_.depth);
        ++sent;
      }
      if (done == sent) break;
      Receive(op, done % shape_.depth);
      ++done;
    }
    return done;
  }

  size_t rounds() const { return (heads_.size() + shape_.batch - 1) / shape_.batch; }

 private:
  struct Head {
    std::string set, get, exists;
  };
  char *Value(size_t slot, size_t i) { return memory_ + (slot * shape_.batch + i) * shape_.bytes; }

  const Shape &shape_;
  char *memory_;
  int fd_ = -1;
  std::vector<Head> heads_;
  std::string reply_head_;
  std::vector<char> scratch_;
  std::vector<iovec> iov_;
};

double CpuSeconds() {
  rusage u;
  ::getrusage(RUSAGE_SELF, &u);
  const auto of = [](const timeval &t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
  return of(u.ru_utime) + of(u.ru_stime);
}

}  // namespace

int main(int argc, char **argv) {
  if (argc < 7) {
    std::fprintf(stderr, "usage: redis-limit PORT store|load|lookup BATCH VALUE_BYTES DEPTH SECONDS [CONNECTIONS]\n");
    return 2;
  }
  const Shape shape = {std::atoi(argv[1]), argv[2], std::stoul(argv[3]), std::stoul(argv[4]), std::stoul(argv[5]), std::atof(argv[6]), argc > 7 ? std::stoul(argv[7]) : 1};
  const size_t bytes = std::max<size_t>(shape.batch * shape.bytes * shape.depth, 1);
  std::vector<std::unique_ptr<Client>> clients;
  for (size_t i = 0; i < shape.connections; ++i) {
    void *memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) Die("mmap");
    std::memset(memory, 'v', bytes);
    clients.push_back(std::make_unique<Client>(shape, static_cast<char *>(memory)));
  }
  std::atomic<bool> stop{false};
  clients[0]->Run("store", stop, clients[0]->rounds());

  std::atomic<uint64_t> batches{0};
  std::vector<std::thread> threads;
  const double cpu = CpuSeconds();
  const auto start = std::chrono::steady_clock::now();
  for (auto &client : clients) threads.emplace_back([&] { batches += client->Run(shape.op, stop, SIZE_MAX); });
  std::this_thread::sleep_for(std::chrono::duration<double>(shape.seconds));
  stop = true;
  for (std::thread &t : threads) t.join();
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double ops = static_cast<double>(batches), keys = ops * static_cast<double>(shape.batch);
  std::printf("{\"op\":\"%s\",\"batch\":%zu,\"value_bytes\":%zu,\"depth\":%zu,\"ops_per_s\":%.1f,\"keys_per_s\":%.1f,\"gb_per_s\":%.3f,\"cpu_us_per_op\":%.3f}\n", shape.op.c_str(), shape.batch, shape.bytes,
              shape.depth, ops / took, keys / took, shape.op == "lookup" ? 0 : keys * static_cast<double>(shape.bytes) / took / 1e9, (CpuSeconds() - cpu) / std::max(ops, 1.0) * 1e6);
}
