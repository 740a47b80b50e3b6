// SPDX-License-Identifier: Apache-2.0
#include "mini_host.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

namespace worker_test {
namespace {

constexpr auto kPatience = std::chrono::seconds(60);  // far above what any test needs
constexpr uint64_t kArena = 16 << 20;                 // bytes

std::system_error Errno(const char* what) { return {errno, std::generic_category(), what}; }

/// Calls look until it is true; between looks the thread sleeps a little.
template <typename F>
void Until(const char* what, Process& process, F&& look) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (!look()) {
    if (std::chrono::steady_clock::now() > until) throw std::runtime_error(std::string("waited a minute for ") + what + "; the worker wrote: " + process.Output());
    if (process.Ended() && !look()) throw std::runtime_error(std::string("waiting for ") + what + ": the worker ended, " + process.End() + ": " + process.Output());
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
}

}  // namespace

Shared::~Shared() {
  if (local != nullptr) munmap(local, len);
}

Shared& Shared::operator=(Shared&& other) noexcept {
  std::swap(fd, other.fd);
  std::swap(local, other.local);
  std::swap(len, other.len);
  std::swap(base, other.base);
  std::swap(handle, other.handle);
  return *this;
}

Shared MakeShared(uint64_t len) {
  Shared out;
  out.fd = Fd(static_cast<int>(syscall(SYS_memfd_create, "shared", MFD_CLOEXEC | MFD_ALLOW_SEALING)));
  if (!out.fd || ftruncate(out.fd.get(), static_cast<off_t>(len)) != 0) throw Errno("memfd");
  fcntl(out.fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
  void* memory = mmap(nullptr, len, PROT_READ | PROT_WRITE, MAP_SHARED, out.fd.get(), 0);
  if (memory == MAP_FAILED) throw Errno("mmap");
  out.local = static_cast<uint8_t*>(memory);
  out.len = len;
  return out;
}

std::string Answer::Failure() const {
  const auto* failed = As<wire::Failed>();
  return failed == nullptr ? "" : "code " + std::to_string(failed->code()) + ": " + failed->text()->str();
}

std::string Batch::Statuses() const {
  std::string out;
  for (uint32_t i = 0; i < n; i++) out += status[i] == SIXCALL_STATUS_UNSET ? 'u' : static_cast<char>('0' + status[i]);
  return out;
}

MiniHost::MiniHost(HostOptions options) : options_(std::move(options)) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) throw Errno("socketpair");
  socket_ = Fd(pair[0]);
  const Fd theirs(pair[1]);
  std::vector<std::string> argv = options_.wrapper;
  argv.insert(argv.end(), {SIXCALL_TEST_WORKER, "--control-fd", "9"});
  process_ = std::make_unique<Process>(argv, theirs.get(), 9, options_.leave_stray_fd);
  MakeRing();
  hello_ = WaitFor(0);
}

void MiniHost::MakeRing() {
  const uint64_t sq_at = 4096, cq_at = sq_at + options_.sq_entries * sizeof(sixcall_submission);
  const uint64_t size = (cq_at + options_.cq_entries * sizeof(sixcall_ring_completion) + 4095) / 4096 * 4096;
  ring_memory_ = MakeShared(size);
  ring_ = reinterpret_cast<sixcall_ring*>(ring_memory_.local);
  ring_->magic = SIXCALL_RING_MAGIC;
  ring_->version = SIXCALL_RING_VERSION;
  ring_->sq_entries = options_.sq_entries;
  ring_->cq_entries = options_.cq_entries;
  ring_->sq_offset = sq_at;
  ring_->cq_offset = static_cast<uint32_t>(cq_at);
  sq_event_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  cq_event_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

void MiniHost::SendBytes(const void* bytes, size_t len, const std::vector<int>& fds) {
  iovec data = {const_cast<void*>(bytes), len};
  alignas(cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))] = {};
  msghdr header = {};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* part = CMSG_FIRSTHDR(&header);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(part), fds.data(), fds.size() * sizeof(int));
  }
  if (sendmsg(socket_.get(), &header, MSG_NOSIGNAL) < 0) throw Errno("sendmsg");
}

bool MiniHost::Receive(int timeout_ms, Answer* out) {
  pollfd wait = {socket_.get(), POLLIN, 0};
  if (gone_ || poll(&wait, 1, timeout_ms) != 1) return false;
  out->bytes.resize(65536 + 8);
  const ssize_t n = recv(socket_.get(), out->bytes.data(), out->bytes.size(), MSG_DONTWAIT);
  if (n < 0 && errno == ECONNRESET) return Receive(timeout_ms, out);  // it left messages unread; ours come next
  gone_ = n <= 0;
  if (gone_) return false;
  if (n > 65536) throw std::runtime_error("the worker sent a message of more than 64 KiB");
  out->bytes.resize(static_cast<size_t>(n));
  flatbuffers::Verifier verifier(out->bytes.data(), out->bytes.size());
  if (!wire::VerifyMessageBuffer(verifier)) throw std::runtime_error("the worker sent what is no message");
  if (const auto* log = out->As<wire::Log>()) {
    logs_.push_back(log->text()->str());
    dropped_logs_ += log->dropped();
    return Receive(0, out);
  }
  return true;
}

bool MiniHost::Answered(uint64_t id) {
  for (Answer next; Receive(0, &next);) answers_.push_back(next);
  for (const Answer& answer : answers_) {
    if (answer.id() == id) return true;
  }
  return false;
}

Answer MiniHost::WaitFor(uint64_t id) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    if (Answered(id)) break;
    if (gone_) throw std::runtime_error("the worker is gone, " + process_->End() + ": " + process_->Output());
    if (std::chrono::steady_clock::now() > until) throw std::runtime_error("no answer to request " + std::to_string(id) + "; the worker wrote: " + process_->Output());
    Answer next;
    if (Receive(1000, &next)) answers_.push_back(next);
  }
  for (auto it = answers_.begin();; ++it) {
    if (it->id() != id) continue;
    Answer out = *it;
    answers_.erase(it);
    return out;
  }
}

void MiniHost::WaitForLog(const std::string& text) {
  Until(("the log line \"" + text + "\"").c_str(), *process_, [&] {
    Answered(UINT64_MAX);
    for (const std::string& line : logs_) {
      if (line.find(text) != std::string::npos) return true;
    }
    return false;
  });
}

uint64_t MiniHost::SendLoad(const std::string& library, const std::vector<int>& fds) {
  flatbuffers::FlatBufferBuilder builder;
  const auto path = builder.CreateString(library), version = builder.CreateString("test");
  struct stat st = {};
  const bool exists = stat(library.c_str(), &st) == 0;
  const wire::FileIdentity identity(st.st_dev, st.st_ino, st.st_size, int64_t{st.st_mtim.tv_sec} * 1000000000 + st.st_mtim.tv_nsec);
  return Send(builder,
              wire::CreateLoad(builder, 0, version, path, exists && options_.with_identity ? &identity : nullptr, options_.log_level, options_.spin_ns,
                               options_.core_dumps, options_.memory_limit, options_.allow_exec, options_.keep_handlers),
              fds);
}

uint64_t MiniHost::SendLoad(const std::string& library) { return SendLoad(library, {ring_fd(), sq_event(), cq_event()}); }

Answer MiniHost::Load(const std::string& library) { return WaitFor(SendLoad(library)); }

uint64_t MiniHost::SendOpen(const std::string& config) {
  // Two pages behind each other, so that a read past the end is seen.
  const Shared memory = MakeShared(std::max<uint64_t>(config.size(), 1));
  std::memcpy(memory.local, config.data(), config.size());
  flatbuffers::FlatBufferBuilder builder;
  const auto instance = builder.CreateString("mini");
  return Send(builder, wire::CreateOpen(builder, config.size(), instance, options_.sq_entries, 64, 4096, 30000), {memory.fd.get()});
}

Answer MiniHost::Open(const std::string& config) { return WaitFor(SendOpen(config)); }

void MiniHost::Connect(const std::string& library, const std::string& config) {
  if (const Answer answer = Load(library); answer.As<wire::Loaded>() == nullptr) throw std::runtime_error("Load: " + answer.Failure());
  if (const Answer answer = Open(config); answer.As<wire::Opened>() == nullptr) throw std::runtime_error("Open: " + answer.Failure());
}

Answer MiniHost::Map(Shared* shared, bool register_it) {
  flatbuffers::FlatBufferBuilder builder;
  const Answer answer = Ask(builder, wire::CreateMap(builder, shared->len, 0, register_it), {shared->fd.get()});
  if (const auto* mapped = answer.As<wire::Mapped>()) shared->base = mapped->base(), shared->handle = mapped->handle();
  return answer;
}

Answer MiniHost::Unmap(const Shared& shared) {
  flatbuffers::FlatBufferBuilder builder;
  return Ask(builder, wire::CreateUnmap(builder, shared.base, shared.len, shared.handle));
}

uint64_t MiniHost::SendPing() {
  flatbuffers::FlatBufferBuilder builder;
  return Send(builder, wire::CreatePing(builder));
}

Answer MiniHost::Ping() { return WaitFor(SendPing()); }

Answer MiniHost::Close(uint32_t grace_ms) {
  flatbuffers::FlatBufferBuilder builder;
  return Ask(builder, wire::CreateClose(builder, grace_ms));
}

uint8_t* MiniHost::Take(uint64_t len, uint64_t align) {
  if (arena_.local == nullptr) {
    arena_ = MakeShared(kArena);
    if (const Answer answer = Map(&arena_, false); arena_.base == 0) throw std::runtime_error("Map: " + answer.Failure());
  }
  arena_used_ = (arena_used_ + align - 1) / align * align;
  if (arena_used_ + len > arena_.len) throw std::runtime_error("the test's arena is full");
  uint8_t* out = arena_.local + arena_used_;
  arena_used_ += len;
  return out;
}

uint64_t MiniHost::Remote(const void* local) const {
  return arena_.base + static_cast<uint64_t>(static_cast<const uint8_t*>(local) - arena_.local);
}

Batch MiniHost::Submit(uint32_t op, const std::vector<KeyValue>& keys, uint8_t fill) {
  Batch b;
  b.ticket = ++last_ticket_;
  b.op = op;
  b.n = static_cast<uint32_t>(keys.size());
  sixcall_submission s = {};
  s.ticket = b.ticket;
  s.op = op;
  s.n = b.n;
  b.err = reinterpret_cast<sixcall_err*>(Take(sizeof(sixcall_err)));
  std::memset(static_cast<void*>(b.err), 0, sizeof(*b.err));
  b.err->struct_size = sizeof(*b.err);
  s.err = Remote(b.err);
  if (b.n > 0) {
    auto* items = reinterpret_cast<sixcall_item*>(Take(b.n * sizeof(sixcall_item)));
    b.status = Take(b.n);
    std::memset(b.status, SIXCALL_STATUS_UNSET, b.n);
    b.lens = reinterpret_cast<uint64_t*>(Take(b.n * sizeof(uint64_t)));
    for (uint32_t i = 0; i < b.n; i++) {
      uint8_t* key = Take(keys[i].key.size(), 1);
      std::memcpy(key, keys[i].key.data(), keys[i].key.size());
      items[i] = {reinterpret_cast<const uint8_t*>(Remote(key)), static_cast<uint32_t>(keys[i].key.size()), 0, nullptr, 0};
      if (op != SIXCALL_OP_GET && op != SIXCALL_OP_SET) continue;
      uint8_t* buf = Take(keys[i].len);
      std::memset(buf, fill, keys[i].len);
      b.bufs.push_back(buf);
      items[i].buf = reinterpret_cast<void*>(Remote(buf));
      items[i].len = keys[i].len;
    }
    s.items = Remote(items);
    s.status = Remote(b.status);
    s.value_lens = Remote(b.lens);
  }
  SubmitRaw(s);
  return b;
}

void MiniHost::SubmitRaw(const sixcall_submission& s) {
  Until("room in the submission ring", *process_, [&] { return sq_tail_ - __atomic_load_n(&ring_->sq_head, __ATOMIC_ACQUIRE) < ring_->sq_entries; });
  auto* sq = reinterpret_cast<sixcall_submission*>(ring_memory_.local + ring_->sq_offset);
  sq[sq_tail_ % ring_->sq_entries] = s;
  __atomic_store_n(&ring_->sq_tail, ++sq_tail_, __ATOMIC_SEQ_CST);
  if (__atomic_exchange_n(&ring_->sq_need_wake, 0, __ATOMIC_SEQ_CST) == 1) {
    wakes_++;
    if (eventfd_write(sq_event_.get(), 1) != 0) throw Errno("eventfd");
  }
}

void MiniHost::Cancel(uint64_t ticket) {
  sixcall_submission s = {};
  s.ticket = ticket;
  s.op = SIXCALL_RING_CANCEL;
  SubmitRaw(s);
}

bool MiniHost::CompletionReady() const { return __atomic_load_n(&ring_->cq_tail, __ATOMIC_ACQUIRE) != cq_head_; }

sixcall_ring_completion MiniHost::WaitForCompletion() {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (!CompletionReady()) {
    __atomic_store_n(&ring_->cq_need_wake, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&ring_->cq_tail, __ATOMIC_SEQ_CST) != cq_head_) break;
    // The socket is watched for the worker's end only: it may have log lines.
    pollfd wait[2] = {{cq_event_.get(), POLLIN, 0}, {socket_.get(), 0, 0}};
    poll(wait, 2, 1000);
    if (wait[0].revents != 0) {
      eventfd_t count;
      eventfd_read(cq_event_.get(), &count);
      continue;
    }
    if (CompletionReady()) {  // then the wake-up is on its way: the flag was set before
      pollfd woken = {cq_event_.get(), POLLIN, 0};
      if (poll(&woken, 1, 60000) != 1) throw std::runtime_error("a completion came without a wake-up");
      continue;
    }
    if (wait[1].revents != 0) throw std::runtime_error("the worker is gone, " + process_->End() + ": " + process_->Output());
    if (std::chrono::steady_clock::now() > until) throw std::runtime_error("no completion; the worker wrote: " + process_->Output());
  }
  __atomic_store_n(&ring_->cq_need_wake, 0, __ATOMIC_SEQ_CST);
  const auto* cq = reinterpret_cast<const sixcall_ring_completion*>(ring_memory_.local + ring_->cq_offset);
  const sixcall_ring_completion out = cq[cq_head_ % ring_->cq_entries];
  __atomic_store_n(&ring_->cq_head, ++cq_head_, __ATOMIC_RELEASE);
  return out;
}

sixcall_ring_completion MiniHost::Run(Batch* batch, uint32_t op, const std::vector<KeyValue>& keys, uint8_t fill) {
  *batch = Submit(op, keys, fill);
  return WaitForCompletion();
}

void MiniHost::WaitForCall(uint32_t call) {
  Until("the pump to be in the call", *process_, [&] { return __atomic_load_n(&ring_->call, __ATOMIC_ACQUIRE) == call; });
}

}  // namespace worker_test
