// SPDX-License-Identifier: Apache-2.0
// The life of a connection: connecting, greeting, losing it. What goes over it is
// in link_traffic.cpp.
#include "link.h"

#include <algorithm>

#include "sixcall/connector.hpp"

namespace redis {
namespace {

constexpr uint64_t kMs = 1000000;         // ns
constexpr uint64_t kStable = 1000 * kMs;  // a connection that lived so long was a good one

}  // namespace

Link::Link(const Context& context, LinkOwner& owner, const Node& node)
    : context_(context), owner_(owner), node_(node), name_(node.address.Text()), last_error_(SIXCALL_E_CONNECT, name_ + ": not connected") {
  Connect();
}

Link::~Link() = default;

void Link::Send(const Request& request) {
  if (failures_ > 0 || state_ == State::kGone) return owner_.Failed(request, last_error_);
  queue_.push(request);
}

void Link::Connect() {
  state_ = State::kConnecting;
  endpoints_tried_ = 0;
  until_ns_ = owner_.now() + context_.settings.connect_timeout_ms * kMs;
  for (;;) {
    try {
      stream_ = StartConnect(node_.endpoints[endpoint_], node_.address);
      owner_.Watch(*this, stream_->fd(), true, true);
      watches_write_ = true;
      return;
    } catch (const sixcall::Error& e) {
      stream_.reset();
      endpoint_ = (endpoint_ + 1) % node_.endpoints.size();
      if (++endpoints_tried_ >= node_.endpoints.size()) return Drop(e, Why::kLost);
    }
  }
}

void Link::OnConnected() {
  const int error = ConnectError(stream_->fd());
  if (error != 0) {
    endpoint_ = (endpoint_ + 1) % node_.endpoints.size();
    const sixcall::Error failed(SIXCALL_E_CONNECT, ConnectText(node_.address, error), error);
    // A name has several addresses, and one of them may be right.
    while (++endpoints_tried_ < node_.endpoints.size()) {
      try {
        stream_ = StartConnect(node_.endpoints[endpoint_], node_.address);
        owner_.Watch(*this, stream_->fd(), true, true);
        return;
      } catch (const sixcall::Error&) {
        endpoint_ = (endpoint_ + 1) % node_.endpoints.size();
      }
    }
    throw failed;
  }
  if (context_.tls != nullptr) stream_ = context_.tls->Wrap(std::move(stream_), node_.address.host);
  state_ = State::kTls;
}

void Link::Greet() {
  Handshake::Plan plan;
  plan.protocol = no_hello_ ? Protocol::kResp2 : context_.settings.protocol;
  plan.user = context_.settings.user;
  plan.database = context_.settings.database;
  plan.must_be_master = context_.settings.mode == Mode::kSentinel;
  handshake_ = std::make_unique<Handshake>(plan, name_);
  greeting_ = handshake_->Begin();
  reader_.Reset();
  writer_.Reset();
  builder_ = ValueBuilder();
  state_ = State::kGreeting;
}

void Link::Greeted() {
  for (;;) {
    while (!greeting_.empty()) {
      const iovec iov = {greeting_.data(), greeting_.size()};
      const size_t n = stream_->Write(&iov, 1);
      if (n == 0) return;
      greeting_.erase(0, n);
    }
    while (!handshake_->done()) {
      if (!builder_.Feed(reader_)) {
        bool all;
        if (reader_.Fill(*stream_, Reader::kCapacity, &all) == 0) return;
        continue;
      }
      greeting_ += handshake_->OnReply(builder_.Take());
      if (!greeting_.empty()) break;
    }
    if (greeting_.empty() && handshake_->done()) break;
  }
  handshake_.reset();
  state_ = State::kUp;
  useful_ = false;
  up_since_ns_ = owner_.now();
  if (failures_ > 0) context_.log.Info(name_ + ": connected again");
  failures_ = 0;
  Count(context_.stats.connects);
}

/// Runs fn; a failure of the connection ends it.
template <class F>
void Link::Guarded(F&& fn) {
  try {
    fn();
    if (stream_ != nullptr) WatchAgain();
  } catch (const ProtocolError& e) {
    Count(context_.stats.protocol_errors);
    Drop(sixcall::Error(e.code(), name_ + ": " + e.text()), Why::kBroken);
  } catch (const sixcall::Error& e) {
    if (handshake_ != nullptr && handshake_->in_hello() && e.code() == SIXCALL_E_CONNECT) no_hello_ = context_.settings.protocol == Protocol::kAuto;
    Drop(e, Why::kLost);
  }
}

void Link::OnEvent() {
  unread_ = false;
  Guarded([&] {
    if (state_ == State::kConnecting) OnConnected();
    if (state_ == State::kTls && stream_->Handshake()) Greet();
    if (state_ == State::kGreeting) Greeted();
    if (state_ == State::kUp) Receive();
    if (state_ == State::kUp) Write();
    Leave();
  });
}

void Link::Pump() {
  if (state_ != State::kUp) return;
  Guarded([&] { Write(); });
}

void Link::WatchAgain() {
  const bool pending = state_ == State::kConnecting || (state_ == State::kGreeting && !greeting_.empty()) || (state_ == State::kUp && !writer_.empty());
  const bool write = stream_->wants_write(pending);
  if (write == watches_write_) return;
  watches_write_ = write;
  owner_.Watch(*this, stream_->fd(), write, false);
}

uint64_t Link::next_time() const {
  switch (state_) {
    case State::kDown:
    case State::kConnecting:
    case State::kTls:
    case State::kGreeting:
      return until_ns_;
    case State::kUp:
      return flight_.empty() ? UINT64_MAX : progress_ns_ + context_.settings.timeout_ms * kMs;
    case State::kGone:
      break;
  }
  return UINT64_MAX;
}

void Link::OnTime() {
  if (owner_.now() < next_time()) return;
  if (state_ == State::kDown) return Connect();
  if (state_ == State::kUp) {
    Count(context_.stats.timeouts);
    const std::string ms = std::to_string(context_.settings.timeout_ms);
    return Drop(sixcall::Error(SIXCALL_E_TIMEOUT, name_ + ": no answer within " + ms + " ms; see timeout_ms"), Why::kStalled);
  }
  endpoint_ = (endpoint_ + 1) % node_.endpoints.size();
  const char* what = state_ == State::kConnecting ? "connect to " : state_ == State::kTls ? "tls handshake with " : "login at ";
  Drop(sixcall::Error(SIXCALL_E_TIMEOUT, what + name_ + ": no answer within " + std::to_string(context_.settings.connect_timeout_ms) + " ms"), Why::kStalled);
}

void Link::Retire() {
  retired_ = true;
  if (state_ != State::kUp) return Drop(sixcall::Error(SIXCALL_E_CONNECT, name_ + " is not among the servers any more"), Why::kLost);
  // What is not sent goes where the others go now.
  Ring<Request> rest;
  rest.swap(queue_);
  for (; !rest.empty(); rest.pop()) owner_.Again(rest.front());
  Leave();
}

void Link::Leave() {
  if (!retired_ || state_ != State::kUp || !flight_.empty()) return;
  state_ = State::kGone;
  stream_.reset();
}

void Link::FailQueue(const sixcall::Error& error) {
  Ring<Request> all;
  all.swap(queue_);
  for (; !all.empty(); all.pop()) owner_.Failed(all.front(), error);
}

/// Ends the connection, begins the next one, and settles what was on the old one.
void Link::Drop(const sixcall::Error& error, Why why) {
  const sixcall::Error shown(error);  // error may be last_error_
  const bool was_up = state_ == State::kUp;
  const size_t sent = sent_;
  Ring<Request> flight;
  flight.swap(flight_);
  stream_.reset();
  handshake_.reset();
  greeting_.clear();
  reader_.Reset();
  writer_.Reset();
  bulk_ = Bulk::kNone;
  unread_ = false;
  sent_ = 0;
  flight_bytes_ = 0;
  last_error_ = shown;

  // A server that answered and went away is asked again at once; one that lets us
  // in and hangs up, again and again, or does not answer, is not.
  if (was_up && (useful_ || owner_.now() - up_since_ns_ >= kStable)) pauses_ = 0;
  const bool talked = was_up || state_ == State::kGreeting;
  const bool at_once = why == Why::kOurs || (talked && pauses_ == 0 && why != Why::kStalled);
  if (retired_) {
    state_ = State::kGone;
    Ring<Request> rest;
    rest.swap(queue_);
    for (; !rest.empty(); rest.pop()) owner_.Again(rest.front());
  } else {
    Count(was_up ? context_.stats.drops : context_.stats.connect_failures);
    if (why != Why::kOurs && failures_ == 0) context_.log.Warn(shown.text());
    const uint64_t ms = std::min<uint64_t>(uint64_t{context_.settings.reconnect_min_ms} << std::min(pauses_, 20u), context_.settings.reconnect_max_ms);
    if (why != Why::kOurs) pauses_++;
    if (at_once) {
      Connect();
    } else {
      failures_++;
      state_ = State::kDown;
      until_ns_ = owner_.now() + owner_.Jitter(ms * kMs);
      FailQueue(shown);
    }
    if (why != Why::kOurs) owner_.Misplaced();
  }
  Settle(flight, sent, shown, why);
}

/// Sends again what may be sent again, once, and fails the rest.
void Link::Settle(Ring<Request>& flight, size_t sent, const sixcall::Error& error, Why why) {
  for (size_t i = 0; !flight.empty(); flight.pop(), i++) {
    Request r = flight.front();
    // A command that was not sent whole has not been carried out.
    const bool harmless = Idempotent(r.verb) || i >= sent;
    if (!harmless || !(why == Why::kOurs || (why == Why::kLost && r.losses == 0))) {
      owner_.Failed(r, error);
      continue;
    }
    if (why == Why::kLost) r.losses++;
    r.asking = false;
    Count(context_.stats.retries);
    owner_.Again(r);
  }
}

}  // namespace redis
