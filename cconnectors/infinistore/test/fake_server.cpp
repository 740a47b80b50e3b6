// SPDX-License-Identifier: Apache-2.0
#include "fake_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <stdexcept>

namespace infinistore_test {
namespace {

constexpr char kProbe[] = "sixcall/ping";

std::string Int(int32_t v) { return std::string(reinterpret_cast<const char *>(&v), 4); }

uint32_t U32(const std::string &body, size_t at) {
  if (at + 4 > body.size()) throw std::runtime_error("a body that is cut");
  uint32_t v;
  std::memcpy(&v, body.data() + at, 4);
  return v;
}
uint16_t U16(const std::string &body, size_t at) {
  if (at + 2 > body.size()) throw std::runtime_error("a body that is cut");
  uint16_t v;
  std::memcpy(&v, body.data() + at, 2);
  return v;
}

// Where field id of the table at `table` is, 0 if it is left out. The way every
// FlatBuffer is read: nothing is assumed about where things lie.
size_t Field(const std::string &body, size_t table, int id) {
  const size_t vtable = table - U32(body, table);
  const size_t slot = 4 + 2 * static_cast<size_t>(id);
  if (slot + 2 > U16(body, vtable)) return 0;
  const uint16_t offset = U16(body, vtable + slot);
  return offset == 0 ? 0 : table + offset;
}
std::string String(const std::string &body, size_t slot) {
  const size_t at = slot + U32(body, slot);
  const uint32_t n = U32(body, at);
  if (at + 4 + n + 1 > body.size() || body[at + 4 + n] != 0) throw std::runtime_error("a string without an end");
  return body.substr(at + 4, n);
}

}  // namespace

FakeServer::FakeServer(int port) : listener_(socket(AF_INET, SOCK_STREAM, 0)), stop_fd_(eventfd(0, 0)) {
  const int on = 1, small = 16 << 10;
  setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  setsockopt(listener_, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));  // so that a client that is not read soon waits
  sockaddr_in a = {};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  a.sin_port = htons(static_cast<uint16_t>(port));
  socklen_t len = sizeof(a);
  if (bind(listener_, reinterpret_cast<sockaddr *>(&a), len) != 0 || listen(listener_, 64) != 0 ||
      getsockname(listener_, reinterpret_cast<sockaddr *>(&a), &len) != 0) {
    throw std::runtime_error("fake server: cannot listen");
  }
  port_ = ntohs(a.sin_port);
  acceptor_ = std::thread(&FakeServer::Accept, this);
}

FakeServer::~FakeServer() {
  const uint64_t one = 1;
  if (write(stop_fd_, &one, 8) != 8) std::abort();
  acceptor_.join();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = released_ = true;
    changed_.notify_all();
    for (Connection &c : all_) {
      if (c.fd >= 0) shutdown(c.fd, SHUT_RDWR);
    }
  }
  for (size_t i = 0;; ++i) {  // the threads still write to all_
    std::thread thread;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (i == all_.size()) break;
      thread = std::move(all_[i].thread);
    }
    thread.join();
  }
  close(listener_);
  close(stop_fd_);
}

void FakeServer::Accept() {
  for (;;) {
    pollfd p[2] = {{listener_, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
    poll(p, 2, -1);
    if (p[1].revents != 0) return;
    const int fd = accept(listener_, nullptr, nullptr);
    if (fd < 0) continue;
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    std::lock_guard<std::mutex> lock(mutex_);
    accepted_++;
    open_++;
    all_.push_back({fd, std::thread(&FakeServer::Serve, this, fd)});
  }
}

void FakeServer::Serve(int fd) {
  while (ServeOne(fd)) {
  }
  std::lock_guard<std::mutex> lock(mutex_);
  for (Connection &c : all_) {
    if (c.fd != fd) continue;
    c.fd = -1;
    close(fd);
  }
  open_--;
  changed_.notify_all();
}

void FakeServer::Hazard(const std::string &what) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!stopping_) hazards_.push_back(what);
}

bool FakeServer::ReadAll(int fd, void *to, size_t n) {
  for (auto *p = static_cast<char *>(to); n > 0;) {
    const ssize_t got = recv(fd, p, n, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    p += got;
    n -= static_cast<size_t>(got);
  }
  return true;
}

bool FakeServer::Decode(char op, const std::string &body, Request *out) {
  try {
    if (op == 'C') {
      *out = {'C', body, 0};
    } else if (op == 'X') {
      const size_t table = U32(body, 0);
      const size_t slot = Field(body, table, 0);
      const size_t vector = slot + U32(body, slot);
      if (U32(body, vector) != 1) throw std::runtime_error("a delete of another number of keys than one");
      *out = {'X', String(body, vector + 4), 0};
    } else if (op == 'L') {
      const size_t table = U32(body, 0);
      const size_t inner = Field(body, table, 2), len = Field(body, table, 1);
      *out = {body[inner], String(body, Field(body, table, 0)), len == 0 ? 0 : U32(body, len)};
      if (out->op != 'P' && out->op != 'G') throw std::runtime_error("an unknown operation inside a payload request");
    } else {
      throw std::runtime_error(std::string("the header operation ") + op);
    }
  } catch (const std::runtime_error &e) {
    Hazard(e.what());
    return false;
  }
  if (out->key.empty()) Hazard("an empty key");
  if (out->op == 'P' && out->value_len == 0) Hazard("a put without a value");
  return true;
}

bool FakeServer::ServeOne(int fd) {
  unsigned char header[9];
  if (!ReadAll(fd, header, sizeof(header))) return false;
  uint32_t magic, size;
  std::memcpy(&magic, header, 4);
  std::memcpy(&size, header + 5, 4);
  if (magic != 0xdeadbeef) return false;  // as the real one
  std::string body(size, 0);
  if (!ReadAll(fd, &body[0], size)) return false;
  Request request;
  if (!Decode(static_cast<char>(header[4]), body, &request)) return false;
  Plan plan;
  const bool probe = request.key == kProbe;
  std::function<Plan(const Request &)> ask;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!probe) log_.push_back(request);
    if (plan_ && (!probe || plan_probes_)) ask = plan_;
    if ((request.op == 'G' || request.op == 'X') && arriving_[request.key] > 0) {
      hazards_.push_back(std::string(1, request.op) + " of a key whose put is arriving: " + request.key);
    }
    if ((request.op == 'G' || request.op == 'X') && cut_.count(request.key) != 0) {
      hazards_.push_back(std::string(1, request.op) + " of a key whose put was cut: " + request.key);
    }
  }
  if (ask) plan = ask(request);

  std::string answer, value;
  switch (request.op) {
    case 'P':
      if (plan.no_room) {
        const std::string refusal = Int(507);
        return send(fd, refusal.data(), 4, MSG_NOSIGNAL) == 4;  // what follows is read as a request
      }
      if (!ReadValue(fd, request, plan, &value)) return false;
      answer = Int(200);
      break;
    case 'G': {
      std::lock_guard<std::mutex> lock(mutex_);
      const auto it = values_.find(request.key);
      answer = it == values_.end() ? Int(404) : Int(200) + Int(static_cast<int32_t>(it->second.size())) + it->second;
      break;
    }
    case 'C': answer = Int(200) + Int(Has(request.key) ? 0 : 1); break;
    default: {
      std::lock_guard<std::mutex> lock(mutex_);
      answer = Int(200) + Int(static_cast<int32_t>(values_.erase(request.key)));
    }
  }
  if (plan.hold) Hold();
  return Answer(fd, request, plan, plan.raw ? plan.answer : answer);
}

bool FakeServer::ReadValue(int fd, const Request &request, const Plan &plan, std::string *value) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    arriving_[request.key]++;
    values_[request.key] = "garbage";  // it exists from here on
  }
  value->resize(request.value_len);
  size_t first = request.value_len;
  if (plan.cut_value_after >= 0) first = std::min(first, static_cast<size_t>(plan.cut_value_after));
  if (plan.stall_after >= 0) first = std::min(first, static_cast<size_t>(plan.stall_after));
  bool ok = ReadAll(fd, &(*value)[0], first);
  if (ok && plan.stall_after >= 0) Hold();
  if (plan.cut_value_after >= 0) ok = false;
  ok = ok && ReadAll(fd, &(*value)[first], value->size() - first);
  std::lock_guard<std::mutex> lock(mutex_);
  arriving_[request.key]--;
  if (ok) values_[request.key] = *value;
  if (ok) cut_.erase(request.key);
  if (!ok) cut_.insert(request.key);
  return ok;
}

bool FakeServer::Answer(int fd, const Request &request, const Plan &plan, const std::string &answer) {
  pollfd p = {fd, POLLIN, 0};
  char byte;
  if (poll(&p, 1, 0) > 0 && recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0) Hazard("a request before the answer to the one before: " + request.key);
  const size_t end = plan.cut_after >= 0 ? static_cast<size_t>(plan.cut_after) : answer.size();
  for (size_t at = 0; at < end;) {
    size_t n = end - at;
    if (plan.chunk != 0 && !released()) n = std::min(n, plan.chunk);
    if (plan.hold_after > static_cast<int64_t>(at)) n = std::min(n, static_cast<size_t>(plan.hold_after) - at);
    if (plan.hold_after == static_cast<int64_t>(at)) Hold();
    const ssize_t sent = send(fd, answer.data() + at, n, MSG_NOSIGNAL);
    if (sent <= 0) {
      if (request.op == 'G') Hazard("a client that left during the answer to a get: " + request.key);
      return false;
    }
    at += static_cast<size_t>(sent);
    if (plan.chunk != 0) std::this_thread::yield();
  }
  return plan.cut_after < 0;
}

void FakeServer::Hold() {
  std::unique_lock<std::mutex> lock(mutex_);
  held_++;
  changed_.notify_all();
  changed_.wait(lock, [&] { return released_; });
  held_--;
}

void FakeServer::SetPlan(std::function<Plan(const Request &)> plan, bool plan_probes) {
  std::lock_guard<std::mutex> lock(mutex_);
  plan_ = std::move(plan);
  plan_probes_ = plan_probes;
  released_ = false;
}

void FakeServer::Release() {
  std::lock_guard<std::mutex> lock(mutex_);
  released_ = true;
  plan_ = nullptr;
  changed_.notify_all();
}

void FakeServer::AwaitHeld(int n) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (!changed_.wait_for(lock, std::chrono::minutes(1), [&] { return held_ >= n; })) throw std::runtime_error("fake server: nothing is held");
}

std::string FakeServer::Stored(const std::string &key) const {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto it = values_.find(key);
  return it == values_.end() ? "" : it->second;
}

void FakeServer::Store(const std::string &key, const std::string &value) {
  std::lock_guard<std::mutex> lock(mutex_);
  values_[key] = value;
}

bool FakeServer::Has(const std::string &key) const {
  std::lock_guard<std::mutex> lock(mutex_);
  return values_.count(key) != 0;
}

bool FakeServer::released() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return released_;
}

int FakeServer::connections() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return accepted_;
}

int FakeServer::open_connections() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return open_;
}

std::vector<Request> FakeServer::log() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return log_;
}

std::vector<std::string> FakeServer::hazards() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return hazards_;
}

}  // namespace infinistore_test
