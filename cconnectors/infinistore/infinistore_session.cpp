// SPDX-License-Identifier: Apache-2.0
#include "infinistore_session.h"

#include <utility>

#include "infinistore_patiently.h"

namespace infinistore {

using sixcall::Error;
using sixcall::Result;
using sixcall::Status;

namespace {

/// The key of probes and pings. It is never stored.
constexpr char kPingKey[] = "sixcall/ping";

}  // namespace

bool Patience::GoOn() {
  const uint64_t now = sixcall::NowNs();
  if (cancelled_()) {
    end_ = End::kCancelled;
  } else if (deadline_ns_ != 0 && now >= deadline_ns_) {
    end_ = End::kDeadline;
  } else if (now - started_ns_ >= limit_ms_ * 1000000) {
    end_ = End::kLimit;
  } else {
    if (now >= next_tick_ns_) {
      tick_();
      next_tick_ns_ = now + uint64_t{kSliceMs} * 1000000;
    }
    return true;
  }
  return false;
}

Error Patience::Why(const std::string& what) const {
  switch (end_) {
    case End::kCancelled: return Error(SIXCALL_E_CANCELLED, what + ": cancelled");
    case End::kDeadline: return Error(SIXCALL_E_TIMEOUT, what + ": not done by the deadline");
    default: return Error(SIXCALL_E_TIMEOUT, what + ": no answer within " + std::to_string(limit_ms_) + " ms");
  }
}

Session::Session(const Settings& settings, std::shared_ptr<Reaper> reaper, Counters& counters, Patience& patience)
    : settings_(settings), reaper_(std::move(reaper)), counters_(counters) {
  Connect(patience);
}

void Session::Connect(Patience& patience) {
  if (reaper_->probe_waits()) {  // another connection would only wait beside the first
    throw Error(SIXCALL_E_CONNECT, Where() + " accepts connections and does not answer");
  }
  patience.Begin();
  socket_ = Socket::Connect(settings_.host, settings_.port, [&] { return patience.GoOn(); });
  if (!socket_.open()) throw Error(SIXCALL_E_CONNECT, patience.Why("connect to " + Where()).text());
  server_ = keys_.Server(socket_.Peer());
  Keys::Lock none;
  exchange_->StartExists(kPingKey);
  try {
    Perform(none, patience, true);
  } catch (const Error& e) {
    throw Error(SIXCALL_E_CONNECT, e.text(), e.vendor_code());
  }
  if (exchange_->code() != kCodeDone || exchange_->number() < 0 || exchange_->number() > 1) {
    socket_.Close();
    throw Error(SIXCALL_E_CONNECT, Where() + " answers the first question with " + std::to_string(exchange_->code()) + ", want 200; is it an InfiniStore server?");
  }
  counters_.connects.fetch_add(1, std::memory_order_relaxed);
}

void Session::Ready(Patience& patience, bool look) {
  if (socket_.open() && look && socket_.Stale()) {
    counters_.lost.fetch_add(1, std::memory_order_relaxed);
    socket_.Close();
  }
  if (!socket_.open()) Connect(patience);
  if (look && keys_.HasCut()) HealCut(patience);
}

void Session::HealCut(Patience& patience) {
  std::string key;
  // At most so many at a time: others are waiting for this worker.
  for (int n = 0; n < 16 && socket_.open() && keys_.AnyCut(server_, &key); n++) {
    patience.Begin();
    Keys::Lock lock = keys_.Own(server_, key, [] { return false; });
    if (!lock) return;  // somebody puts it, which heals as well
    Heal(key, lock, patience);
  }
  if (!socket_.open()) Connect(patience);
}

void Session::Heal(const std::string& key, Keys::Lock& lock, Patience& patience) {
  if (!keys_.IsCut(server_, key)) return;
  static constexpr uint8_t kByte = 0;
  exchange_->StartPut(key, &kByte, 1, false);
  Perform(lock, patience);
  if (exchange_->code() != kCodeDone) return;
  keys_.RemoveCut(server_, key);
  exchange_->StartDelete(key);
  Perform(lock, patience);
  counters_.healed.fetch_add(1, std::memory_order_relaxed);
}

void Session::Perform(Keys::Lock& lock, Patience& patience, bool probe) {
  Exchange& x = *exchange_;
  for (;;) {
    switch (x.Run(socket_.fd(), 0, scratch_.get())) {
      case Exchange::Step::kDone:
        // After any other answer the server reads what follows as it likes.
        if (!x.reusable()) socket_.Close();
        return;
      case Exchange::Step::kBroken:
        socket_.Close();
        counters_.lost.fetch_add(1, std::memory_order_relaxed);
        if (x.op() == Op::kPut && x.requested()) {
          Patiently([&] { keys_.AddCut(server_, x.key()); });
          counters_.cut_puts.fetch_add(1, std::memory_order_relaxed);
        }
        throw Error(SIXCALL_E_IO, Where() + ": " + x.error());
      case Exchange::Step::kMore:
      case Exchange::Step::kWait: break;
    }
    if (patience.GoOn()) continue;
    if (x.begun()) {
      // Its socket cannot be closed and its memory is the host's: it has to be parked.
      Patiently([&] { x.Detach(); });
      std::unique_ptr<Exchange> fresh;
      Patiently([&] { fresh = std::make_unique<Exchange>(); });
      reaper_->Park({std::move(socket_), std::exchange(exchange_, std::move(fresh)), std::move(lock), server_, probe});
    }
    throw patience.Why(Where());
  }
}

Error Session::Unexpected(const char* what) const {
  const int32_t code = exchange_->code();
  return Error(SIXCALL_E_IO, Where() + ": " + what + ": " + CodeText(code) + " (code " + std::to_string(code) + ")", code);
}

Result Session::Get(sixcall::Key key, sixcall::MutableBytes value, Patience& patience) {
  patience.Begin();
  Keys::Lock lock = keys_.Share(server_, key, [&] { return patience.GoOn(); });
  if (!lock) throw patience.Why("wait for a put of the same key");
  if (keys_.IsCut(server_, key)) return Status::kMiss;
  exchange_->StartGet(key, value.data(), value.size(), settings_.trailer);
  Perform(lock, patience);
  const Exchange& x = *exchange_;
  if (x.code() == kCodeNotFound) return Status::kMiss;
  if (x.code() != kCodeDone) throw Unexpected("get");
  if (!x.size_fits()) {
    const uint64_t extra = settings_.trailer ? kTrailerBytes : 0;
    return x.stored_bytes() < extra ? Result(Status::kSize) : Result(Status::kSize, x.stored_bytes() - extra);
  }
  if (settings_.trailer && !x.intact()) {
    counters_.corrupt.fetch_add(1, std::memory_order_relaxed);
    throw Error(SIXCALL_E_CORRUPT, Where() + ": the trailer of a stored value does not fit; it was cut, or written without \"trailer\"");
  }
  return {Status::kHit, value.size()};
}

void Session::Put(sixcall::Key key, sixcall::Bytes value, Patience& patience) {
  if (value.empty() && !settings_.trailer) throw Refusal(SIXCALL_E_INVAL, "set: an empty value hangs the server; \"trailer\": true can store it");
  if (value.size() > settings_.max_value_bytes) {
    throw Refusal(SIXCALL_E_INVAL, "set: the value has " + std::to_string(value.size()) + " bytes, max_value_bytes is " + std::to_string(settings_.max_value_bytes));
  }
  if (LooksLikeRequest(value.data(), value.size())) {
    throw Refusal(SIXCALL_E_INVAL, "set: the value begins with ef be ad de; a full server would take it for a request");
  }
  patience.Begin();
  Keys::Lock lock = keys_.Own(server_, key, [&] { return patience.GoOn(); });
  if (!lock) throw patience.Why("wait for another request of the same key");
  exchange_->StartPut(key, value.data(), value.size(), settings_.trailer);
  Perform(lock, patience);
  if (exchange_->code() == kCodeNoMemory) {
    counters_.no_room.fetch_add(1, std::memory_order_relaxed);
    throw Refusal(SIXCALL_E_NOSPACE, Where() + ": no room for a value of " + std::to_string(value.size()) + " bytes (code 507)", kCodeNoMemory);
  }
  if (exchange_->code() != kCodeDone) throw Unexpected("set");
  keys_.RemoveCut(server_, key);
}

Result Session::Exists(sixcall::Key key, Patience& patience) {
  if (keys_.IsCut(server_, key)) return Status::kMiss;
  patience.Begin();
  Keys::Lock none;
  exchange_->StartExists(key);
  Perform(none, patience);
  if (exchange_->code() != kCodeDone) throw Unexpected("exists");
  switch (exchange_->number()) {
    case 0: return Status::kHit;
    case 1: return Status::kMiss;
    default:
      socket_.Close();
      throw Error(SIXCALL_E_IO, Where() + ": exists: the answer is " + std::to_string(exchange_->number()) + ", want 0 or 1");
  }
}

Status Session::Delete(sixcall::Key key, Patience& patience) {
  patience.Begin();
  Keys::Lock lock = keys_.Own(server_, key, [&] { return patience.GoOn(); });
  if (!lock) throw patience.Why("wait for another request of the same key");
  if (keys_.IsCut(server_, key)) {
    Heal(std::string(key), lock, patience);
    return Status::kMiss;
  }
  exchange_->StartDelete(key);
  Perform(lock, patience);
  if (exchange_->code() != kCodeDone) throw Unexpected("delete");
  return exchange_->number() > 0 ? Status::kHit : Status::kMiss;
}

void Session::Ping(Patience& patience) { Exists(kPingKey, patience); }

}  // namespace infinistore
