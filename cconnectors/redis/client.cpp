// SPDX-License-Identifier: Apache-2.0
#include "client.h"

#include <errno.h>
#include <poll.h>

#include <algorithm>

#include "sixcall/connector.hpp"

namespace redis {

Client::Client(const Node& node, const Handshake::Plan& plan, const TlsContext* tls, Waiter& waiter, uint64_t deadline_ns)
    : address_(node.address), waiter_(waiter) {
  Connect(node, tls, deadline_ns);
  doing_ = "the login";
  Handshake::Plan own = plan;
  own.protocol = Protocol::kResp2;  // nothing here gains from 3
  Handshake handshake(own, address_.Text());
  Send(handshake.Begin(), deadline_ns);
  while (!handshake.done()) Send(handshake.OnReply(Receive(deadline_ns)), deadline_ns);
}

void Client::Connect(const Node& node, const TlsContext* tls, uint64_t deadline_ns) {
  for (size_t i = 0; i < node.endpoints.size(); i++) {
    try {
      stream_ = StartConnect(node.endpoints[i], address_);
      Wait(POLLOUT, deadline_ns);
      const int error = ConnectError(stream_->fd());
      if (error != 0) throw sixcall::Error(SIXCALL_E_CONNECT, ConnectText(address_, error), error);
      break;
    } catch (const sixcall::Error& e) {
      if (e.code() != SIXCALL_E_CONNECT || i + 1 == node.endpoints.size()) throw;
    }
  }
  if (stream_ == nullptr) throw sixcall::Error(SIXCALL_E_CONNECT, "connect to " + address_.Text() + ": no address");
  if (tls != nullptr) stream_ = tls->Wrap(std::move(stream_), address_.host);
  doing_ = "the tls handshake";
  while (!stream_->Handshake()) Wait(stream_->wants_write(false) ? POLLOUT : POLLIN, deadline_ns);
}

void Client::Wait(short events, uint64_t deadline_ns) {
  for (;;) {
    const uint64_t now = sixcall::NowNs();
    if (now >= deadline_ns) throw sixcall::Error(SIXCALL_E_TIMEOUT, address_.Text() + ": no answer in time to " + doing_);
    pollfd fds[2] = {{stream_->fd(), events, 0}, {waiter_.fd(), POLLIN, 0}};
    waiter_.Check();
    const uint64_t ms = std::min<uint64_t>((deadline_ns - now + 999999) / 1000000, 50);
    const int n = ::poll(fds, 2, static_cast<int>(ms));
    if (n < 0 && errno != EINTR) throw sixcall::Error(SIXCALL_E_IO, "poll: " + std::generic_category().message(errno), errno);
    if (n > 0 && fds[0].revents != 0) return;
  }
}

void Client::Send(std::string_view bytes, uint64_t deadline_ns) {
  while (!bytes.empty()) {
    const iovec iov = {const_cast<char*>(bytes.data()), bytes.size()};
    const size_t n = stream_->Write(&iov, 1);
    bytes.remove_prefix(n);
    if (n == 0) Wait(stream_->wants_write(true) ? POLLOUT : POLLIN, deadline_ns);
  }
}

Value Client::Receive(uint64_t deadline_ns) {
  ValueBuilder builder;
  while (!builder.Feed(reader_)) {
    bool all;
    if (reader_.Fill(*stream_, Reader::kCapacity, &all) == 0) Wait(stream_->wants_write(false) ? POLLOUT : POLLIN, deadline_ns);
  }
  return builder.Take();
}

std::vector<Value> Client::Call(std::string_view commands, size_t n, uint64_t deadline_ns) {
  doing_ = "a command";
  Send(commands, deadline_ns);
  std::vector<Value> replies;
  replies.reserve(n);
  while (replies.size() < n) replies.push_back(Receive(deadline_ns));
  return replies;
}

std::vector<Value> Client::Messages() {
  std::vector<Value> all;
  for (bool more = true; more;) {
    bool none;
    more = reader_.Fill(*stream_, Reader::kCapacity, &none) > 0;
    while (message_.Feed(reader_)) all.push_back(message_.Take());
  }
  return all;
}

Value Client::Call(const std::vector<std::string_view>& args, uint64_t deadline_ns) {
  std::string command;
  AppendCommand(command, args);
  return std::move(Call(command, 1, deadline_ns)[0]);
}

}  // namespace redis
