// SPDX-License-Identifier: Apache-2.0
#include "infinistore_reaper.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <system_error>
#include <utility>

#include "infinistore_patiently.h"
#include "sixcall/connector.hpp"

namespace infinistore {

Reaper::Reaper() : scratch_(new uint8_t[Exchange::kScratchBytes]), wake_fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (wake_fd_ < 0) throw sixcall::Error(SIXCALL_E_IO, "eventfd: " + std::generic_category().message(errno), errno);
}

Reaper::~Reaper() { close(wake_fd_); }

std::shared_ptr<Reaper> Reaper::Start(const std::string& connector) {
  const std::shared_ptr<Reaper> self(new Reaper);
  // The thread owns a reference: it may have to stay when the connector is gone.
  self->thread_ = sixcall::detail::StartThread(connector, [self] {
    self->Loop();
    std::lock_guard<std::mutex> lock(self->mu_);
    self->ended_ = true;
    self->changed_.notify_all();
  });
  return self;
}

void Reaper::Wake() {
  const uint64_t one = 1;
  while (write(wake_fd_, &one, sizeof(one)) < 0 && errno == EINTR) {
  }
}

void Reaper::Park(Parked parked) {
  const bool probe = parked.probe;
  Patiently([&] {
    std::lock_guard<std::mutex> lock(mu_);
    arriving_.reserve(arriving_.size() + 1);  // throws before anything has moved
    arriving_.push_back(std::move(parked));
    count_.fetch_add(1, std::memory_order_release);
    total_.fetch_add(1, std::memory_order_relaxed);
    if (probe) probes_.fetch_add(1, std::memory_order_release);
  });
  Wake();
}

bool Reaper::Stop(std::chrono::steady_clock::time_point until) {
  bool ended;
  {
    std::unique_lock<std::mutex> lock(mu_);
    stop_ = true;
    Wake();
    ended = changed_.wait_until(lock, until, [&] { return ended_; });
  }
  if (ended) {
    thread_.join();
  } else {
    thread_.detach();
  }
  return ended;
}

void Reaper::Loop() {
  std::vector<Parked> all;
  std::vector<pollfd> fds;
  for (;;) {
    bool stop = false;
    Patiently([&] {
      std::lock_guard<std::mutex> lock(mu_);
      all.reserve(all.size() + arriving_.size());
      for (Parked& p : arriving_) all.push_back(std::move(p));
      arriving_.clear();
      stop = stop_;
    });
    for (size_t i = 0; i < all.size();) {
      Parked& p = all[i];
      if (!(stop && p.probe) && !Advance(p, scratch_.get())) {
        i++;
        continue;
      }
      if (p.probe) probes_.fetch_sub(1, std::memory_order_release);
      if (i + 1 != all.size()) std::swap(p, all.back());
      all.pop_back();
      count_.fetch_sub(1, std::memory_order_release);
    }
    if (stop && all.empty()) {
      std::lock_guard<std::mutex> lock(mu_);
      if (arriving_.empty()) return;
      continue;
    }
    Patiently([&] { fds.reserve(all.size() + 1); });
    fds.assign(1, pollfd{wake_fd_, POLLIN, 0});
    for (const Parked& p : all) fds.push_back({p.socket.fd(), static_cast<short>(p.exchange->sending() ? POLLOUT | POLLIN : POLLIN), 0});
    poll(fds.data(), fds.size(), -1);
    uint64_t count;
    while (read(wake_fd_, &count, sizeof(count)) < 0 && errno == EINTR) {
    }
  }
}

bool Reaper::Advance(Parked& p, uint8_t* scratch) {
  Exchange& x = *p.exchange;
  for (;;) {
    switch (x.Run(p.socket.fd(), MSG_DONTWAIT, scratch)) {
      case Exchange::Step::kMore: continue;
      case Exchange::Step::kWait: return false;
      case Exchange::Step::kBroken:
        if (x.op() == Op::kPut && x.requested()) Patiently([&] { Keys::OfProcess().AddCut(p.server, x.key()); });
        break;
      case Exchange::Step::kDone:
        if (x.op() == Op::kPut && x.code() == kCodeDone) {
          // Its ticket has ended as a failure, so the key must not be there.
          std::string key;
          Patiently([&] {
            Keys::OfProcess().RemoveCut(p.server, x.key());
            key = x.key();
          });
          Patiently([&] { x.StartDelete(key); });
          continue;
        }
        break;
    }
    p.socket.Close();
    p.lock.Release();
    return true;
  }
}

}  // namespace infinistore
