// SPDX-License-Identifier: Apache-2.0
#include "control.h"

#include <unistd.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "channel.h"
#include "crash.h"
#include "harden.h"
#include "memory.h"
#include "ring_view.h"
#include "service.h"
#include "session.h"

namespace sixcall::worker {
namespace {

class Control {
 public:
  explicit Control(int fd) : channel_(fd), session_(&channel_, &memory_) {}

  [[noreturn]] void Run() {
    if (!service_.Start()) Die(kExitFailed, "the service thread could not be started: %s", ErrnoText(errno).c_str());
    SendHello();
    for (;;) {
      Incoming in = channel_.Receive();
      Handle(in.message->id(), &in);
    }
  }

 private:
  void SendHello() {
    flatbuffers::FlatBufferBuilder builder(256);
    const auto version = builder.CreateString(SIXCALL_WORKER_VERSION);
    channel_.Send(0, builder, wire::CreateHello(builder, kProtocolMajor, kProtocolMinor, SIXCALL_ABI_MAJOR, SIXCALL_ABI_MINOR, version, getpid()));
  }

  void Handle(uint64_t id, Incoming* in) {
    const wire::Message& m = *in->message;
    switch (m.body_type()) {
      case wire::Body::Load: return Load(id, *m.body_as_Load(), &in->fds);
      case wire::Body::Open: return Open(id, *m.body_as_Open(), &in->fds);
      case wire::Body::Map: return Map(id, *m.body_as_Map(), &in->fds);
      case wire::Body::Unmap: return Unmap(id, *m.body_as_Unmap());
      case wire::Body::Ping: return Ping(id);
      case wire::Body::Usage: return Post(id, [this, id] { session_.Usage(id); });
      case wire::Body::Stats: return Post(id, [this, id] { session_.Stats(id); });
      case wire::Body::List: return List(id, *m.body_as_List());
      case wire::Body::Close: return Close(id, *m.body_as_Close());
      default:
        return Fail(id, SIXCALL_E_UNSUPPORTED, Format("message type %u is none of a host, or of a protocol later than %u.%u", static_cast<unsigned>(m.body_type()), kProtocolMajor, kProtocolMinor));
    }
  }

  void Load(uint64_t id, const wire::Load& load, std::vector<Fd>* fds) {
    if (fds->size() != 3) {
      return Fail(id, SIXCALL_E_INVAL, Format("Load came with %zu descriptors, want 3: ring memory, submission eventfd, completion eventfd", fds->size()));
    }
    if (load.library() == nullptr || load.library()->size() == 0 || load.library()->str()[0] != '/') {
      return Fail(id, SIXCALL_E_INVAL, "Load names no library by an absolute path");
    }
    if (ring_.ring != nullptr) return Fail(id, SIXCALL_E_INVAL, "Load came twice");
    Session::LoadRequest request;
    request.path = load.library()->str();
    if (load.host_version() != nullptr) request.host_version = load.host_version()->str();
    if (const auto* id_struct = load.identity()) {
      request.options.identity = FileIdentity{id_struct->dev(), id_struct->ino(), id_struct->size(), id_struct->mtime_ns()};
    }
    request.options.keep_handlers = load.keep_handlers();
    request.log_level = load.log_level();
    std::optional<Failure> failure = MapRing((*fds)[0].get(), &ring_);
    if (!failure) {
      breadcrumbs.ring.store(ring_.ring);
      failure = SetLimits(load.core_dumps(), load.memory_limit());
    }
    if (!failure && !load.allow_exec()) failure = InstallSeccomp();
    if (failure) return channel_.SendFailure(id, *failure);
    request.pump.view = ring_;
    request.pump.sq_event = std::move((*fds)[1]);
    request.pump.cq_event = std::move((*fds)[2]);
    request.pump.spin_ns = load.spin_ns();
    Post(id, [this, id, shared = std::make_shared<Session::LoadRequest>(std::move(request))] { session_.Load(id, std::move(*shared)); });
  }

  void Open(uint64_t id, const wire::Open& open, std::vector<Fd>* fds) {
    if (fds->size() != 1) return Fail(id, SIXCALL_E_INVAL, Format("Open came with %zu descriptors, want 1: the configuration", fds->size()));
    auto message = std::make_shared<Session::OpenMessage>();
    message->config = std::move(fds->front());
    message->config_len = open.config_len();
    if (open.instance() != nullptr) message->request.instance = open.instance()->str();
    message->request.max_inflight = open.max_inflight();
    message->request.max_batch = open.max_batch();
    message->request.value_len_hint = open.value_len_hint();
    message->request.open_timeout_ms = open.open_timeout_ms();
    Post(id, [this, id, message] { session_.Open(id, std::move(*message)); });
  }

  void Map(uint64_t id, const wire::Map& map, std::vector<Fd>* fds) {
    if (fds->size() != 1) return Fail(id, SIXCALL_E_INVAL, Format("Map came with %zu descriptors, want 1: the memory", fds->size()));
    uint64_t base = 0;
    if (const auto failure = memory_.Map(fds->front().get(), map.len(), map.offset(), &base)) return channel_.SendFailure(id, *failure);
    if (map.register_()) {
      const auto fd = std::make_shared<Fd>(std::move(fds->front()));
      return Post(id, [this, id, fd, base, len = map.len(), offset = map.offset()] { session_.Register(id, std::move(*fd), base, len, offset); });
    }
    flatbuffers::FlatBufferBuilder builder(128);
    channel_.Send(id, builder, wire::CreateMapped(builder, base, 0));
  }

  void Unmap(uint64_t id, const wire::Unmap& unmap) {
    const uint64_t base = unmap.base(), len = unmap.len(), handle = unmap.handle();
    if (handle != 0) return Post(id, [this, id, base, len, handle] { session_.Unregister(id, base, len, handle); });
    if (const auto failure = memory_.Unmap(base, len)) return channel_.SendFailure(id, *failure);
    channel_.SendDone(id);
  }

  void Ping(uint64_t id) {
    flatbuffers::FlatBufferBuilder builder(128);
    const sixcall_ring* ring = ring_.ring;
    const auto read = [](const auto* field) { return __atomic_load_n(field, __ATOMIC_ACQUIRE); };
    channel_.Send(id, builder, ring == nullptr ? wire::CreatePong(builder)
                                               : wire::CreatePong(builder, read(&ring->calls), read(&ring->completions), read(&ring->call), read(&ring->call_since_ns)));
  }

  void List(uint64_t id, const wire::List& list) {
    std::vector<uint8_t> cursor;
    if (list.cursor() != nullptr) cursor.assign(list.cursor()->begin(), list.cursor()->end());
    Post(id, [this, id, cursor = std::move(cursor), timeout_ms = list.timeout_ms()] { session_.List(id, cursor, timeout_ms); });
  }

  void Close(uint64_t id, const wire::Close& close) {
    session_.Interrupt();
    Post(id, [this, id, grace_ms = close.grace_ms()] { session_.Close(id, grace_ms); });
  }

  void Post(uint64_t id, Service::Job job) {
    if (!service_.Post(std::move(job))) Fail(id, SIXCALL_E_AGAIN, "too many requests wait for the library");
  }
  void Fail(uint64_t id, int32_t code, std::string text) { channel_.SendFailure(id, {code, std::move(text)}); }

  Channel channel_;
  MemoryMap memory_;
  Session session_;
  Service service_;
  RingView ring_;
};

}  // namespace

void ServeHost(int control_fd) {
  HardenStart(control_fd);
  UseSignalStack();
  InstallCrashHandlers();
  CatchExit();
  SetHostVersion("unknown");
  // Never destroyed: other threads use it until the process ends.
  (new Control(control_fd))->Run();
}

}  // namespace sixcall::worker
