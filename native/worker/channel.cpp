// SPDX-License-Identifier: Apache-2.0
#include "channel.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "crash.h"

namespace sixcall::worker {
namespace {

constexpr size_t kMaxFds = 8;  // of a message; the protocol's largest has three

void WaitFor(int fd, short events) {
  pollfd wait = {fd, events, 0};
  while (poll(&wait, 1, -1) < 0) {
    if (errno != EINTR) Die(kExitContract, "poll of the control socket: %s", ErrnoText(errno).c_str());
  }
  if ((wait.revents & POLLNVAL) != 0) Die(kExitContract, "the control socket was closed in this process: the library closes descriptors that are not its own");
}

/// Ends the process for what went wrong with the socket, unless it was nothing.
void CheckSocketError(const char* call) {
  switch (errno) {
    case EINTR:
    case EAGAIN:
      return;
    case EPIPE:
    case ECONNRESET:
      Die(kExitHostGone, "the host is gone");
    case EBADF:
    case ENOTSOCK:
      Die(kExitContract, "the control socket was closed in this process: the library closes descriptors that are not its own");
    default:
      Die(kExitProtocol, "%s of the control socket: %s", call, ErrnoText(errno).c_str());
  }
}

std::vector<Fd> TakeFds(msghdr* header) {
  std::vector<Fd> fds;
  for (cmsghdr* part = CMSG_FIRSTHDR(header); part != nullptr; part = CMSG_NXTHDR(header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t n = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < n; i++) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      fds.emplace_back(fd);
    }
  }
  return fds;
}

}  // namespace

Incoming Channel::Receive() {
  for (;;) {
    WaitFor(fd_, POLLIN);
    alignas(cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))];
    iovec data = {buffer_.data(), buffer_.size() * sizeof(uint64_t)};
    msghdr header = {};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
    const ssize_t n = recvmsg(fd_, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0) {
      CheckSocketError("recvmsg");
      continue;
    }
    if (n == 0) Die(kExitHostGone, "the host is gone");
    Incoming in;
    in.fds = TakeFds(&header);
    if ((header.msg_flags & MSG_TRUNC) != 0 || static_cast<size_t>(n) > kMaxMessage) {
      Die(kExitProtocol, "the host sent a message of more than %zu bytes", kMaxMessage);
    }
    if ((header.msg_flags & MSG_CTRUNC) != 0) Die(kExitProtocol, "the host sent more than %zu descriptors with a message", kMaxFds);
    const auto* bytes = reinterpret_cast<const uint8_t*>(buffer_.data());
    flatbuffers::Verifier verifier(bytes, static_cast<size_t>(n));
    if (!wire::VerifyMessageBuffer(verifier)) {
      Die(kExitProtocol, "the host sent %zd bytes that are no message of protocol %u; host and worker are of different releases?", n, kProtocolMajor);
    }
    in.message = wire::GetMessage(bytes);
    if (in.message->body_type() == wire::Body::NONE || in.message->body() == nullptr) Die(kExitProtocol, "the host sent a message without a body");
    return in;
  }
}

void Channel::Finish(uint64_t id, flatbuffers::FlatBufferBuilder& builder, wire::Body type, flatbuffers::Offset<void> body) {
  wire::FinishMessageBuffer(builder, wire::CreateMessage(builder, id, type, body));
}

bool Channel::Write(const flatbuffers::FlatBufferBuilder& builder, bool wait) {
  iovec data = {builder.GetBufferPointer(), builder.GetSize()};
  msghdr header = {};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  for (;;) {
    if (sendmsg(fd_, &header, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return true;
    CheckSocketError("sendmsg");
    if (errno == EINTR) continue;
    if (!wait) return false;
    WaitFor(fd_, POLLOUT);
  }
}

void Channel::SendFailure(uint64_t id, const Failure& failure) {
  flatbuffers::FlatBufferBuilder builder(1024);
  const auto text = builder.CreateString(Printable(failure.text).substr(0, kMaxContent));
  Send(id, builder, wire::CreateFailed(builder, failure.code, failure.vendor_code, text));
}

void Channel::SendDone(uint64_t id) {
  flatbuffers::FlatBufferBuilder builder(64);
  Send(id, builder, wire::CreateDone(builder));
}

bool Channel::SendLog(int32_t level, std::string_view text, uint64_t dropped) {
  flatbuffers::FlatBufferBuilder builder(text.size() + 128);
  const auto line = builder.CreateString(Printable(text));
  Finish(0, builder, wire::Body::Log, wire::CreateLog(builder, level, line, dropped).Union());
  return Write(builder, false);
}

}  // namespace sixcall::worker
