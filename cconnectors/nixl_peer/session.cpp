// SPDX-License-Identifier: Apache-2.0
#include "session.h"

#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>

namespace nixl_peer {

namespace {

using sixcall::Error;
using sixcall::Result;
using sixcall::Status;
using Clock = std::chrono::steady_clock;

constexpr uint64_t kStep = 1 << 20;
/// Agents with a transfer that did not end stay for ever; so many are enough to see
/// that it will not get better.
constexpr uint64_t kMaxAbandoned = 16;

}  // namespace

std::string AgentName() {
  static std::atomic<uint64_t> next{0};
  std::random_device random;
  return "sixcall-" + std::to_string(getpid()) + "-" + std::to_string(next++) + "-" + std::to_string(uint64_t{random()} << 32 | random());
}

Session::Session(Shared& shared) : shared_(shared) {
  for (const auto& at : shared_.peers) links_.push_back(std::make_unique<Link>(at, shared_.limits));
}

Session::~Session() {
  agent_.reset();
  if (memory_ != nullptr) munmap(memory_, memory_bytes_);
}

void Session::MakeAgent() {
  if (shared_.abandoned >= kMaxAbandoned) throw Error(SIXCALL_E_IO, "too many transfers never ended; NIXL is not used any more");
  agent_ = std::make_unique<Agent>(shared_.api, shared_.backend, shared_.params, AgentName(), 0);
}

/// Leaves agent and memory to a transfer that does not end: it may still write.
void Session::Abandon() noexcept {
  shared_.abandoned++;
  agent_.release();
  memory_ = nullptr;
  memory_bytes_ = 0;
  for (auto& link : links_) {
    link->learned.clear();
    link->peer.Failed();
  }
}

/// Registered memory of at least len bytes.
uint8_t* Session::Memory(uint64_t len) {
  if (len <= memory_bytes_) return memory_;
  if (memory_ != nullptr) {
    agent_->Unregister(memory_, memory_bytes_);
    munmap(memory_, memory_bytes_);
    memory_ = nullptr;
    memory_bytes_ = 0;
  }
  const uint64_t bytes = (len + kStep - 1) / kStep * kStep;
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw Error(SIXCALL_E_NOMEM, "no memory for a transfer of " + std::to_string(len) + " bytes", errno);
  try {
    agent_->Register(memory, bytes);
  } catch (...) {
    munmap(memory, bytes);
    throw;
  }
  memory_ = static_cast<uint8_t*>(memory);
  memory_bytes_ = bytes;
  return memory_;
}

/// Whether the peer can be asked.
bool Session::Ready(Link& link) {
  if (!link.peer.Due()) return false;
  if (link.peer.connected()) return true;
  try {
    link.peer.Connect();
    return true;
  } catch (...) {
    Lost(link, Error::Current(SIXCALL_E_IO));
    return false;
  }
}

void Session::Lost(Link& link, const Error& why) noexcept {
  shared_.peer_failures++;
  link.peer.Failed();
  if (agent_ != nullptr && !link.learned.empty()) agent_->Forget(link.learned);
  link.learned.clear();
  try {
    shared_.log(why.text());
  } catch (...) {
  }
}

size_t Session::Connected() {
  size_t n = 0;
  for (auto& link : links_) n += Ready(*link);
  return n;
}

Result Session::Exists(std::string_view key) {
  for (size_t i = 0; i < links_.size(); i++) {
    Link& link = *links_[(first_ + i) % links_.size()];
    if (!Ready(link)) continue;
    try {
      const Answer there = link.peer.Ask(Op::kExists, key);
      if (there.found) return {Status::kHit, there.len};
    } catch (...) {
      Lost(link, Error::Current(SIXCALL_E_IO));
    }
  }
  return Status::kMiss;
}

Result Session::Get(std::string_view key, sixcall::MutableBytes buffer) {
  for (size_t i = 0; i < links_.size(); i++) {
    const size_t at = (first_ + i) % links_.size();
    Link& link = *links_[at];
    if (!Ready(link)) continue;
    try {
      const Answer there = link.peer.Ask(Op::kGet, key);
      if (!there.found) continue;
      if (there.len != buffer.size()) {
        link.peer.Release();
        return {Status::kSize, there.len};
      }
      const bool whole = Read(link, key, there, buffer);
      if (link.peer.connected()) link.peer.Release();
      if (!whole) {
        shared_.remote_corrupt++;
        return {Status::kCorrupt, there.len};
      }
      first_ = at;
      shared_.remote_hits++;
      shared_.remote_bytes += there.len;
      return {Status::kHit, there.len};
    } catch (...) {
      Lost(link, Error::Current(SIXCALL_E_IO));
    }
  }
  return Status::kMiss;
}

/// Reads a leased value into memory of this session, and from there to the buffer if it
/// is what was stored.
bool Session::Read(Link& link, std::string_view key, const Answer& there, sixcall::MutableBytes buffer) {
  if (there.len == 0) return HashOf(key, nullptr, 0) == there.hash;
  if (agent_ == nullptr) MakeAgent();
  if (link.learned != link.peer.agent()) {
    if (!link.learned.empty()) agent_->Forget(link.learned);
    link.learned.clear();
    agent_->Learn(link.peer.agent(), link.peer.metadata());
    link.learned = link.peer.agent();
  }
  uint8_t* memory = Memory(there.len);
  int status = nixl::kDone;
  void* request = agent_->StartRead(link.learned, there.address, memory, there.len, &status);
  const auto until = Clock::now() + shared_.limits.request;
  for (uint64_t spins = 0; request != nullptr; spins++) {
    status = agent_->Poll(request);
    if (status != nixl::kInProgress) {
      agent_->Finish(request);
      break;
    }
    if (Clock::now() > until) {
      Abandon();
      throw Error(SIXCALL_E_TIMEOUT, "a transfer from peer " + link.peer.address() + " did not end");
    }
    if (spins > 64) sched_yield();
  }
  if (status != nixl::kDone) throw Error(SIXCALL_E_IO, "read from peer " + link.peer.address() + ": " + nixl::StatusText(status), status);
  if (HashOf(key, memory, there.len) != there.hash) return false;
  std::memcpy(buffer.data(), memory, there.len);
  return true;
}

}  // namespace nixl_peer
