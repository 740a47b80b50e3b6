// SPDX-License-Identifier: Apache-2.0
#include "fake_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace sixcall_test {
namespace {

std::runtime_error Failed(const std::string &what) { return std::runtime_error("fake server: " + what + ": " + std::strerror(errno)); }

std::string Number(size_t n) { return ":" + std::to_string(n) + "\r\n"; }

}  // namespace

std::string Bulk(const std::string &text) { return "$" + std::to_string(text.size()) + "\r\n" + text + "\r\n"; }

FakeServer::FakeServer(Net net) {
  if (net == Net::kUnix) {
    char name[] = "/tmp/sixcall-redis-XXXXXX";
    if (::mkdtemp(name) == nullptr) throw Failed("mkdtemp");
    folder_ = name;
    path_ = folder_ + "/s";
  }
  Start();
}

FakeServer::~FakeServer() {
  Stop();
  if (!folder_.empty()) ::rmdir(folder_.c_str());
}

std::string FakeServer::Config() const {
  return path_.empty() ? "\"host\":\"127.0.0.1\",\"port\":" + std::to_string(port_) : "\"unix_socket\":\"" + path_ + "\"";
}

void FakeServer::Start() {
  const bool local = !path_.empty();
  listener_ = ::socket(local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un un = {};
  un.sun_family = AF_UNIX;
  std::memcpy(un.sun_path, path_.c_str(), std::min(path_.size(), sizeof(un.sun_path) - 1));
  sockaddr_in in = {};
  in.sin_family = AF_INET;
  in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  in.sin_port = htons(port_);
  const int one = 1;
  ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  const int bound = local ? ::bind(listener_, reinterpret_cast<sockaddr *>(&un), sizeof(un)) : ::bind(listener_, reinterpret_cast<sockaddr *>(&in), sizeof(in));
  if (bound != 0 || ::listen(listener_, 64) != 0) throw Failed("listen");
  socklen_t len = sizeof(in);
  if (!local && ::getsockname(listener_, reinterpret_cast<sockaddr *>(&in), &len) == 0) port_ = ntohs(in.sin_port);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = false;
  }
  acceptor_ = std::thread([this] { Accept(); });
}

void FakeServer::Stop() {
  if (!acceptor_.joinable()) return;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    deaf_ = false;
    changed_.notify_all();
  }
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  ::close(listener_);
  if (!path_.empty()) ::unlink(path_.c_str());
  HangUp();
  std::vector<std::thread> all;
  for (;;) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return peers_.empty() || !done_.empty(); });
    all.swap(done_);
    const bool none = peers_.empty();
    lock.unlock();
    for (std::thread &t : all) t.join();
    all.clear();
    if (none) break;
  }
}

void FakeServer::HangUp() {
  std::lock_guard<std::mutex> lock(mutex_);
  for (const auto &[fd, thread] : peers_) ::shutdown(fd, SHUT_RDWR);
}

void FakeServer::SetScript(Script script) {
  std::lock_guard<std::mutex> lock(mutex_);
  script_ = std::move(script);
}

void FakeServer::SetDeaf(bool on) {
  std::lock_guard<std::mutex> lock(mutex_);
  deaf_ = on;
  changed_.notify_all();
}

int FakeServer::Said(const std::string &command) const {
  int n = 0;
  for (const Args &args : Commands()) n += args[0] == command;
  return n;
}

std::vector<Args> FakeServer::Commands() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return commands_;
}

std::optional<std::string> FakeServer::Value(const std::string &key) const {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto at = data_.find(key);
  return at == data_.end() ? std::nullopt : std::optional<std::string>(at->second);
}

void FakeServer::Put(const std::string &key, const std::string &value) {
  std::lock_guard<std::mutex> lock(mutex_);
  data_[key] = value;
}

size_t FakeServer::keys() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return data_.size();
}

void FakeServer::Accept() {
  for (;;) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    std::lock_guard<std::mutex> lock(mutex_);
    if (stopping_ || fd < 0) {
      if (fd >= 0) ::close(fd);
      if (stopping_) return;
      continue;
    }
    const int one = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    ++connections_;
    peers_[fd] = std::thread([this, fd] { Serve(fd); });
  }
}

void FakeServer::Serve(int fd) {
  std::string buffer;
  Args args;
  while (ReadCommand(fd, buffer, &args)) {
    Script script;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      commands_.push_back(args);
      for (std::string &word : commands_.back()) {
        if (word.size() > 200) word.resize(200);
      }
      script = script_;
    }
    std::optional<Answer> answer = script ? script(args) : std::nullopt;
    if (!answer) answer = Usual(args);
    if (!Write(fd, answer->bytes) || answer->hang_up) break;
  }
  std::lock_guard<std::mutex> lock(mutex_);
  const auto at = peers_.find(fd);
  done_.push_back(std::move(at->second));
  peers_.erase(at);
  ::close(fd);
  changed_.notify_all();
}

bool FakeServer::ReadCommand(int fd, std::string &buffer, Args *out) {
  for (;;) {
    size_t at = 0;
    const auto number = [&](char type, size_t *n) {
      const size_t end = buffer.find("\r\n", at);
      if (end == std::string::npos || buffer[at] != type) return false;
      *n = std::strtoul(buffer.c_str() + at + 1, nullptr, 10);
      at = end + 2;
      return true;
    };
    size_t words = 0, len = 0;
    out->clear();
    bool whole = !buffer.empty() && number('*', &words);
    for (size_t i = 0; whole && i < words; ++i) {
      whole = at < buffer.size() && number('$', &len) && buffer.size() >= at + len + 2;
      if (!whole) break;
      out->push_back(buffer.substr(at, len));
      at += len + 2;
    }
    if (whole) {
      buffer.erase(0, at);
      return true;
    }
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [&] { return !deaf_ || stopping_; });
    }
    static constexpr size_t kChunk = 256 << 10;
    const size_t had = buffer.size();
    buffer.resize(had + kChunk);
    const ssize_t n = ::recv(fd, buffer.data() + had, kChunk, 0);
    buffer.resize(had + static_cast<size_t>(n > 0 ? n : 0));
    if (n <= 0) return false;
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return !deaf_ || stopping_; });
  }
}

Answer FakeServer::Usual(const Args &args) {
  const std::string &name = args[0];
  std::lock_guard<std::mutex> lock(mutex_);
  if (name == "HELLO") return "%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n";
  if (name == "AUTH" || name == "SELECT" || name == "ASKING") return "+OK\r\n";
  if (name == "PING") return "+PONG\r\n";
  if (name == "ROLE") return "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n";
  if (name == "INFO") return Bulk("# Memory\r\nused_memory:4242\r\nmaxmemory:100000\r\n");
  if (name == "DBSIZE") return Number(data_.size());
  if (name == "SET") {
    data_[args.at(1)] = args.at(2);
    return "+OK\r\n";
  }
  const auto at = args.size() > 1 ? data_.find(args[1]) : data_.end();
  if (name == "GET") return at == data_.end() ? "$-1\r\n" : Bulk(at->second);
  if (name == "EXISTS") return Number(at != data_.end());
  if (name == "STRLEN") return Number(at == data_.end() ? 0 : at->second.size());
  if (name == "UNLINK") {
    const bool had = at != data_.end();
    if (had) data_.erase(at);
    return Number(had);
  }
  return "-ERR unknown command '" + name + "'\r\n";
}

bool FakeServer::Write(int fd, const std::string &bytes) const {
  for (size_t at = 0; at < bytes.size();) {
    const size_t n = byte_by_byte_ && bytes.size() < 4096 ? 1 : bytes.size() - at;
    const ssize_t sent = ::send(fd, bytes.data() + at, n, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    at += static_cast<size_t>(sent);
  }
  return true;
}

}  // namespace sixcall_test
