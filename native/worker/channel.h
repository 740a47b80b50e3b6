// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_WORKER_CHANNEL_H
#define SIXCALL_WORKER_CHANNEL_H

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "fd.h"
#include "text.h"
#include "wire.h"

namespace sixcall::worker {

constexpr uint16_t kProtocolMajor = 1;
constexpr uint16_t kProtocolMinor = 1;
constexpr size_t kMaxMessage = 64 << 10;  // bytes
/// What a message can hold besides its frame, in bytes.
constexpr size_t kMaxContent = 60 << 10;

/// One message of the host and the descriptors that came with it.
struct Incoming {
  const wire::Message* message = nullptr;  // valid until the next Receive
  std::vector<Fd> fds;
};

/// The worker's end of the control socket. When the host is gone or does not
/// speak the protocol, both methods end the process.
class Channel {
 public:
  explicit Channel(int fd) : fd_(fd), buffer_((kMaxMessage + 1 + 7) / 8) {}

  /// Waits for the next message. One thread.
  Incoming Receive();

  /// Sends an answer, waiting for room. Any thread.
  template <typename T>
  void Send(uint64_t id, flatbuffers::FlatBufferBuilder& builder, flatbuffers::Offset<T> body) {
    Finish(id, builder, wire::BodyTraits<T>::enum_value, body.Union());
    Write(builder, true);
  }
  void SendFailure(uint64_t id, const Failure& failure);
  void SendDone(uint64_t id);

  /// Sends a line of the log if there is room for it now. Any thread.
  bool SendLog(int32_t level, std::string_view text, uint64_t dropped);

 private:
  static void Finish(uint64_t id, flatbuffers::FlatBufferBuilder& builder, wire::Body type, flatbuffers::Offset<void> body);
  bool Write(const flatbuffers::FlatBufferBuilder& builder, bool wait);

  const int fd_;
  std::vector<uint64_t> buffer_;  // aligned as FlatBuffers wants it
};

}  // namespace sixcall::worker

#endif
