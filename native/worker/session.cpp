// SPDX-License-Identifier: Apache-2.0
#include "session.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "crash.h"

namespace sixcall::worker {
namespace {

constexpr size_t kListingBytes = 48 << 10;  // of a page; fits a message with its cursor
constexpr size_t kMaxSchema = 56 << 10;     // bytes; fits a message with names, changes and warnings
constexpr size_t kMaxStrings = 2 << 10;     // bytes of all changes, and of all warnings
constexpr const char* kEmptyConfig = "{}";

std::vector<flatbuffers::Offset<flatbuffers::String>> Strings(flatbuffers::FlatBufferBuilder* builder, const std::vector<std::string>& texts) {
  std::vector<flatbuffers::Offset<flatbuffers::String>> out;
  size_t left = kMaxStrings;
  for (const std::string& text : texts) {
    if (text.size() > left) break;
    left -= text.size();
    out.push_back(builder->CreateString(Printable(text)));
  }
  return out;
}

/// The configuration as the host passed it, mapped while open runs.
class ConfigMemory {
 public:
  ~ConfigMemory() {
    if (memory_ != nullptr) munmap(memory_, len_);
  }
  std::optional<Failure> Map(int fd, uint64_t len) {
    if (len == 0) return std::nullopt;
    struct stat st;
    if (fstat(fd, &st) != 0 || static_cast<uint64_t>(st.st_size) < len) {
      return Failure{SIXCALL_E_INVAL, Format("the memory of the configuration is smaller than its %llu bytes", static_cast<unsigned long long>(len))};
    }
    void* memory = mmap(nullptr, len, PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) return Failure{SIXCALL_E_NOMEM, "map the configuration: " + ErrnoText(errno)};
    madvise(memory, len, MADV_DONTDUMP);  // it holds secrets
    memory_ = memory, len_ = len;
    return std::nullopt;
  }
  std::string_view text() const { return memory_ != nullptr ? std::string_view(static_cast<const char*>(memory_), len_) : kEmptyConfig; }

 private:
  void* memory_ = nullptr;
  size_t len_ = 0;
};

}  // namespace

void Session::Load(uint64_t id, LoadRequest request) {
  if (load_) return channel_->SendFailure(id, {SIXCALL_E_INVAL, "Load came twice"});
  load_ = std::move(request);
  SetHostVersion(load_->host_version);
  Library library;
  std::optional<Failure> failure;
  {
    const ServiceCall here("dlopen or the entry point");
    failure = LoadLibrary(load_->path, load_->options, &library);
    CatchExit();
  }
  if (failure) return channel_->SendFailure(id, *failure);
  if (library.schema.size() > kMaxSchema) {
    return channel_->SendFailure(id, {SIXCALL_E_INTERNAL, Format("its config_schema has %zu bytes, that of an isolated connector may have %zu", library.schema.size(), kMaxSchema)});
  }
  library_ = std::move(library);
  const Library& lib = *library_;
  flatbuffers::FlatBufferBuilder builder(4096);
  const auto name = builder.CreateString(lib.name), version = builder.CreateString(lib.version), vendor = builder.CreateString(lib.vendor);
  const auto schema = lib.schema.empty() ? 0 : builder.CreateString(lib.schema);
  const auto changed = builder.CreateVector(Strings(&builder, lib.changed));
  const auto warnings = builder.CreateVector(Strings(&builder, lib.warnings));
  channel_->Send(id, builder, wire::CreateLoaded(builder, name, version, vendor, lib.api.abi_major, lib.api.abi_minor, lib.table_size, lib.caps,
                                                 lib.api.needs, lib.threads, schema, changed, warnings));
}

void Session::Open(uint64_t id, OpenMessage message) {
  if (!library_) return channel_->SendFailure(id, {SIXCALL_E_INVAL, "Open came before a library was loaded"});
  if (open_tried_) return channel_->SendFailure(id, {SIXCALL_E_INVAL, "Open came twice"});
  open_tried_ = true;
  const auto failure = OpenLibrary(&message);
  CatchExit();
  if (failure) return channel_->SendFailure(id, *failure);
  open_ = true;
  flatbuffers::FlatBufferBuilder builder(1024);
  const auto changed = builder.CreateVector(Strings(&builder, connection_->changed()));
  const auto warnings = builder.CreateVector(Strings(&builder, connection_->warnings()));
  wire::OpenedBuilder opened(builder);
  std::optional<wire::Limits> limits;
  if (const auto& l = connection_->limits()) limits.emplace(l->max_batch, l->max_key_len, l->buf_align, l->best_batch, l->max_value_len, l->max_inflight);
  if (limits) opened.add_limits(&*limits);
  opened.add_changed(changed);
  opened.add_warnings(warnings);
  channel_->Send(id, builder, opened.Finish());
}

std::optional<Failure> Session::OpenLibrary(OpenMessage* message) {
  ConfigMemory config;
  if (auto failure = config.Map(message->config.get(), message->config_len)) return failure;
  log_ = new LogSink(load_->log_level, [channel = channel_](int32_t level, std::string_view text, uint64_t dropped) { return channel->SendLog(level, text, dropped); });
  connection_ = std::make_unique<Connection>(*library_);
  message->request.config = config.text();
  message->request.keep_handlers = load_->options.keep_handlers;
  if (auto failure = connection_->Open(message->request, log_)) return failure;
  return StartPump();
}

std::optional<Failure> Session::StartPump() {
  Pump::Setup setup = std::move(load_->pump);
  setup.library_event = Fd(fcntl(connection_->event_fd(), F_DUPFD_CLOEXEC, 3));
  auto* pump = new Pump(connection_.get(), std::move(setup));
  if (!pump->Start()) return Failure{SIXCALL_E_INTERNAL, "the pump could not be started: " + ErrnoText(errno)};
  pump_.store(pump);
  return std::nullopt;
}

bool Session::IsOpen(uint64_t id) {
  if (!open_) channel_->SendFailure(id, {SIXCALL_E_CLOSED, "the connection is not open"});
  return open_;
}

void Session::Register(uint64_t id, Fd fd, uint64_t base, uint64_t len, uint64_t offset) {
  std::optional<Failure> failure;
  uint64_t handle = 0;
  if (!open_) {
    failure = Failure{SIXCALL_E_CLOSED, "the connection is not open"};
  } else {
    const sixcall_memory memory = {sizeof(memory), SIXCALL_MEMORY_FD, reinterpret_cast<void*>(base), len, fd.get(), 0, offset};
    failure = connection_->Register(memory, &handle);
  }
  if (failure) {
    memory_->Unmap(base, len);
    return channel_->SendFailure(id, *failure);
  }
  flatbuffers::FlatBufferBuilder builder(128);
  channel_->Send(id, builder, wire::CreateMapped(builder, base, handle));
}

void Session::Unregister(uint64_t id, uint64_t base, uint64_t len, uint64_t handle) {
  if (!IsOpen(id)) return;
  // In this order: memory stays mapped while the library knows it.
  auto failure = memory_->Check(base, len);
  if (!failure) failure = connection_->Unregister(handle);
  if (!failure) failure = memory_->Unmap(base, len);
  if (failure) return channel_->SendFailure(id, *failure);
  channel_->SendDone(id);
}

void Session::Usage(uint64_t id) {
  if (!IsOpen(id)) return;
  sixcall_usage usage;
  if (const auto failure = connection_->Usage(&usage)) return channel_->SendFailure(id, *failure);
  flatbuffers::FlatBufferBuilder builder(128);
  channel_->Send(id, builder, wire::CreateUsageReply(builder, usage.bytes_used, usage.bytes_capacity, usage.keys));
}

void Session::Stats(uint64_t id) {
  if (!IsOpen(id)) return;
  std::string text;
  if (const auto failure = connection_->Stats(&text)) return channel_->SendFailure(id, *failure);
  if (text.size() > kMaxContent) {
    const size_t full = text.size();
    text.resize(text.rfind('\n', kMaxContent - 64) + 1);  // a whole number of lines; all of it when there is none
    text += Format("# cut: %zu of %zu bytes\n", text.size(), full);
  }
  flatbuffers::FlatBufferBuilder builder(text.size() + 128);
  const auto reply = builder.CreateString(text);
  channel_->Send(id, builder, wire::CreateStatsReply(builder, reply));
}

void Session::List(uint64_t id, const std::vector<uint8_t>& cursor, uint32_t timeout_ms) {
  if (!IsOpen(id)) return;
  if (const auto failure = connection_->Require(SIXCALL_CAP_LIST)) return channel_->SendFailure(id, *failure);
  if (closing_.load()) return channel_->SendFailure(id, {SIXCALL_E_CLOSED, "the connection is being closed"});
  const auto listing = std::make_shared<Listing>(kListingBytes);
  sixcall_page& page = listing->page;
  if (cursor.size() > sizeof(page.cursor)) {
    return channel_->SendFailure(id, {SIXCALL_E_INVAL, Format("the cursor has %zu bytes, want one that List returned", cursor.size())});
  }
  listing->err.struct_size = sizeof(listing->err);
  page.struct_size = sizeof(page);
  page.buf = reinterpret_cast<uint8_t*>(listing->buf.data());
  page.cap = listing->buf.size() * sizeof(uint64_t);
  page.cursor_len = static_cast<uint32_t>(cursor.size());
  std::copy(cursor.begin(), cursor.end(), page.cursor);
  listing->batch.struct_size = sizeof(listing->batch);
  listing->batch.item_stride = sizeof(sixcall_item);
  listing->batch.err = &listing->err;
  const auto now = std::chrono::steady_clock::now();
  const auto until = timeout_ms == 0 ? std::nullopt : std::optional(now + std::chrono::milliseconds(timeout_ms));
  if (!pump_.load()->List(listing, until)) {
    const bool late = until && std::chrono::steady_clock::now() >= *until;
    return channel_->SendFailure(id, late ? Failure{SIXCALL_E_TIMEOUT, Format("the listing is not done after %u ms", timeout_ms)}
                                          : Failure{SIXCALL_E_CLOSED, "the connection is being closed"});
  }
  if (listing->rc < 0) return channel_->SendFailure(id, connection_->TextFailure("list", listing->rc, listing->err));
  if (page.used > page.cap || page.cursor_len > sizeof(page.cursor)) {
    return channel_->SendFailure(id, {SIXCALL_E_INTERNAL, Format("submit_list of %s: the page claims %llu bytes and a cursor of %u", Quote(library_->path).c_str(),
                                                                 static_cast<unsigned long long>(page.used), page.cursor_len)});
  }
  flatbuffers::FlatBufferBuilder builder(page.used + 512);
  const auto entries = builder.CreateVector(page.buf, page.used);
  const auto next = builder.CreateVector(page.cursor, page.cursor_len);
  channel_->Send(id, builder, wire::CreateListReply(builder, page.n, entries, next, (page.flags & SIXCALL_PAGE_LAST) != 0));
}

void Session::Interrupt() {
  closing_.store(true);  // before the look at the pump: List looks in the other order
  if (Pump* pump = pump_.load()) pump->CancelLists();
}

void Session::Close(uint64_t id, uint32_t grace_ms) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(grace_ms);
  std::optional<Failure> failure;
  Pump* const pump = pump_.load();
  if (pump != nullptr && !pump->Stop(std::chrono::milliseconds(grace_ms))) {
    failure = Failure{SIXCALL_E_BUSY, Format("%s could not stop everything within %u ms: it is still in %s", Quote(library_->path).c_str(), grace_ms, pump->call())};
  } else if (open_) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
    failure = connection_->Close(static_cast<uint32_t>(std::max<int64_t>(left, 0)), grace_ms);
  }
  if (log_ != nullptr) log_->Stop();
  if (failure) {
    channel_->SendFailure(id, *failure);
  } else {
    channel_->SendDone(id);
  }
  _exit(kExitOk);
}

}  // namespace sixcall::worker
