// SPDX-License-Identifier: Apache-2.0
// Load to Close: what the worker answers, and what the library made of it.
#include <gtest/gtest.h>

#include "mini_host.h"

namespace worker_test {
namespace {

constexpr const char* kLibraryMissing = "/nonexistent/libsixcall_x.so";

template <typename T>
std::vector<std::string> Texts(const T* list) {
  std::vector<std::string> out;
  if (list != nullptr) {
    for (const auto* text : *list) out.push_back(text->str());
  }
  return out;
}

Answer AskList(MiniHost& host, const std::vector<uint8_t>& cursor, uint32_t timeout_ms = 30000) {
  flatbuffers::FlatBufferBuilder builder;
  const auto bytes = builder.CreateVector(cursor);
  return host.Ask(builder, wire::CreateList(builder, bytes, timeout_ms));
}

Answer AskStats(MiniHost& host) {
  flatbuffers::FlatBufferBuilder builder;
  return host.Ask(builder, wire::CreateStats(builder));
}

Answer AskUsage(MiniHost& host) {
  flatbuffers::FlatBufferBuilder builder;
  return host.Ask(builder, wire::CreateUsage(builder));
}

TEST(Load, TellsWhatTheTableSays) {
  MiniHost host;
  const Answer answer = host.Load(FaultyLibrary());
  const auto* loaded = answer.As<wire::Loaded>();
  ASSERT_NE(loaded, nullptr) << answer.Failure();
  EXPECT_EQ(loaded->name()->str(), "faulty");
  EXPECT_EQ(loaded->version()->str(), "1.0.0");
  EXPECT_EQ(loaded->vendor()->str(), "Sixcall tests");
  EXPECT_EQ(loaded->abi_major(), 1);
  EXPECT_EQ(loaded->table_size(), sizeof(sixcall_api));
  EXPECT_EQ(loaded->caps(), 0xFFu | SIXCALL_CAP_READ_YOUR_WRITES | SIXCALL_CAP_VALUE_LENS);
  EXPECT_EQ(loaded->thread_model(), SIXCALL_THREADS_PARALLEL);
  EXPECT_EQ(loaded->config_schema()->str(), R"({"type":"object","additionalProperties":false,"properties":{}})");
  EXPECT_EQ(Texts(loaded->changed()), std::vector<std::string>{});
  EXPECT_EQ(Texts(loaded->warnings()), std::vector<std::string>{});
}

TEST(Load, ATableWithoutOptionalSlotsHasNoSuchCapability) {
  MiniHost host;
  host.Connect(FaultyLibrary("bare"));
  Batch batch;
  const auto done = host.Run(&batch, SIXCALL_OP_DELETE, {{"a", 0}, {"b", 0}});
  EXPECT_EQ(done.rc, SIXCALL_E_UNSUPPORTED);
  EXPECT_EQ(batch.Statuses(), "22");
  EXPECT_EQ(host.Run(&batch, SIXCALL_OP_PING, {}).rc, SIXCALL_E_UNSUPPORTED);
  EXPECT_EQ(AskUsage(host).Failure(), "code -4: \"faulty\" does not have the capability usage");
  EXPECT_EQ(AskStats(host).Failure(), "code -4: \"faulty\" does not have the capability stats_text");
  EXPECT_EQ(AskList(host, {}).Failure(), "code -4: \"faulty\" does not have the capability list");
  EXPECT_NE(host.Close().As<wire::Done>(), nullptr);
}

TEST(Load, WhatCannotBeLoadedIsRefusedWithASentence) {
  const struct {
    const char* what;
    const char* want;
  } cases[] = {
      {"null_table", "code -13: sixcall_connector_entry_v1 returned NULL: the library refuses this host (sixcall, ABI 1.0)"},
      {"wrong_abi", "code -13: implements ABI 7.0, this host speaks ABI 1.0; the host is too old for it"},
      {"null_slot", "code -12: its table has NULL for the required submit_batch_get"},
      {"no_entry", "code -11: not a connector: "},
      {"big_schema", "code -12: its config_schema has "},
  };
  for (const auto& one : cases) {
    MiniHost host;
    EXPECT_EQ(host.Load(FaultyLibrary(one.what)).Failure().rfind(one.want, 0), 0u) << host.process().Output() << one.want;
    EXPECT_NE(host.Ping().As<wire::Pong>(), nullptr);
    EXPECT_EQ(host.Open("{}").Failure(), "code -1: Open came before a library was loaded");
  }
}

TEST(Load, AMissingOrReplacedFileIsRefused) {
  MiniHost missing;
  const std::string failure = missing.Load(kLibraryMissing).Failure();
  EXPECT_EQ(failure.rfind("code -11: /nonexistent/libsixcall_x.so: cannot open shared object file", 0), 0u) << failure;

  // The identity of another file.
  MiniHost replaced;
  flatbuffers::FlatBufferBuilder builder;
  const auto path = builder.CreateString(MemLibrary());
  const wire::FileIdentity identity(1, 2, 3, 4);
  const auto load = wire::CreateLoad(builder, 0, 0, path, &identity);
  EXPECT_EQ(replaced.Ask(builder, load, {replaced.ring_fd(), replaced.sq_event(), replaced.cq_event()}).Failure(),
            "code -11: the file was replaced while it was being checked; try again");
}

TEST(Load, WrongDescriptorsAreNamed) {
  MiniHost host;
  EXPECT_EQ(host.WaitFor(host.SendLoad(MemLibrary(), {})).Failure(),
            "code -1: Load came with 0 descriptors, want 3: ring memory, submission eventfd, completion eventfd");
  EXPECT_EQ(host.WaitFor(host.SendLoad("libsixcall_mem.so", {0, 0, 0})).Failure(), "code -1: Load names no library by an absolute path");
  EXPECT_EQ(host.WaitFor(host.SendLoad(MemLibrary(), {host.sq_event(), host.sq_event(), host.cq_event()})).Failure().rfind("code -1: the ring memory: ", 0), 0u);
  // None of these counts as a Load.
  EXPECT_NE(host.Load(MemLibrary()).As<wire::Loaded>(), nullptr);
  EXPECT_EQ(host.Load(MemLibrary()).Failure(), "code -1: Load came twice");
}

TEST(Load, RingMemoryIsChecked) {
  const struct {
    void (*spoil)(sixcall_ring*);
    const char* want;
  } cases[] = {
      {[](sixcall_ring* r) { r->magic++; }, "code -1: the ring memory: it begins with 0x31474e4952584954, want 0x31474e4952584953"},
      {[](sixcall_ring* r) { r->version = 9; }, "code -1: the ring memory: its version is 9, this worker knows 1"},
      {[](sixcall_ring* r) { r->sq_entries = 63; }, "code -1: the ring memory: 63 submissions and 128 completions"},
      {[](sixcall_ring* r) { r->sq_entries = 0; }, "code -1: the ring memory: 0 submissions"},
      {[](sixcall_ring* r) { r->cq_entries = 64; }, "code -1: the ring memory: 64 submissions and 64 completions"},
      {[](sixcall_ring* r) { r->cq_entries = 1u << 31; }, "code -1: the ring memory: rings at "},
      {[](sixcall_ring* r) { r->sq_offset = 64; }, "code -1: the ring memory: rings at 64 and "},
      {[](sixcall_ring* r) { r->cq_offset = 0xFFFFFFC0; }, "code -1: the ring memory: rings at "},
      {[](sixcall_ring* r) { r->cq_offset += 8; }, "code -1: the ring memory: rings at "},
  };
  for (const auto& one : cases) {
    MiniHost host;
    one.spoil(host.ring());
    const std::string failure = host.Load(MemLibrary()).Failure();
    EXPECT_EQ(failure.rfind(one.want, 0), 0u) << failure << ", want " << one.want;
  }
}

TEST(Open, TellsLimitsAndFailures) {
  MiniHost host;
  ASSERT_NE(host.Load(FaultyLibrary()).As<wire::Loaded>(), nullptr);
  const Answer answer = host.Open(R"({"x-queue":17})");
  const auto* opened = answer.As<wire::Opened>();
  ASSERT_NE(opened, nullptr) << answer.Failure();
  ASSERT_NE(opened->limits(), nullptr);
  EXPECT_EQ(opened->limits()->max_batch(), 4096u);
  EXPECT_EQ(opened->limits()->max_key_len(), 1024u);
  EXPECT_EQ(opened->limits()->buf_align(), 8u);
  EXPECT_EQ(opened->limits()->best_batch(), 64u);
  EXPECT_EQ(opened->limits()->max_value_len(), uint64_t{1} << 32);
  EXPECT_EQ(opened->limits()->max_inflight(), 17u);
  EXPECT_EQ(host.Open("{}").Failure(), "code -1: Open came twice");

  const struct {
    const char* config;
    const char* want;
  } cases[] = {
      {R"({"x-fault":"fail_in_open"})", "code -10: connect to 192.0.2.1:7: refused on demand"},
      {R"({"x-fault":"fail_in_event_fd"})", "code -12: event_fd of \"*\" returned -12, want a descriptor"},
      {R"({"x-fault":"fail_in_event_fd","x-after":1})", " and then -12, want a constant"},
      {R"({"x-behaviour":"no_fd"})", "returned 999, which is not an open descriptor"},
      {R"({"x-fault":"fail_in_limits"})", "code -12: limits of \"*\" failed"},
      {R"({"x-behaviour":"no_fd","x-fault":"fail_in_close"})", "which is not an open descriptor; then \"*\" could not stop everything within 1000 ms"},
  };
  for (const auto& one : cases) {
    MiniHost other;
    ASSERT_NE(other.Load(FaultyLibrary()).As<wire::Loaded>(), nullptr);
    std::string failure = other.Open(one.config).Failure();
    for (size_t at; (at = failure.find(FaultyLibrary())) != std::string::npos;) failure.replace(at, FaultyLibrary().size(), "*");
    EXPECT_NE(failure.find(one.want), std::string::npos) << failure << ", want " << one.want;
    EXPECT_EQ(AskUsage(other).Failure(), "code -3: the connection is not open");
  }
}

TEST(Open, TheConfigurationHasToFitItsMemory) {
  MiniHost host;
  ASSERT_NE(host.Load(FaultyLibrary()).As<wire::Loaded>(), nullptr);
  flatbuffers::FlatBufferBuilder builder;
  const Shared memory = MakeShared(16);
  EXPECT_EQ(host.Ask(builder, wire::CreateOpen(builder, 17), {memory.fd.get()}).Failure(), "code -1: the memory of the configuration is smaller than its 17 bytes");
  MiniHost without;
  builder.Clear();
  EXPECT_EQ(without.Ask(builder, wire::CreateOpen(builder, 2)).Failure(), "code -1: Open came with 0 descriptors, want 1: the configuration");
}

TEST(Figures, UsageAndStatsAreTheLibrarys) {
  MiniHost host;
  EXPECT_EQ(AskUsage(host).Failure(), "code -3: the connection is not open");
  host.Connect(FaultyLibrary());
  Batch batch;
  host.Run(&batch, SIXCALL_OP_SET, {{"a", 10}, {"b", 20}});
  const Answer answer = AskUsage(host);
  const auto* usage = answer.As<wire::UsageReply>();
  ASSERT_NE(usage, nullptr) << answer.Failure();
  EXPECT_EQ(usage->bytes_used(), 30u);
  EXPECT_EQ(usage->keys(), 2u);
  EXPECT_EQ(usage->bytes_capacity(), UINT64_MAX);
  const Answer stats = AskStats(host);
  ASSERT_NE(stats.As<wire::StatsReply>(), nullptr) << stats.Failure();
  EXPECT_EQ(stats.As<wire::StatsReply>()->text()->str(), "# TYPE faulty_calls counter\nfaulty_calls 1\n");
}

TEST(Figures, LongStatsAreCutAtALine) {
  MiniHost host;
  host.Connect(FaultyLibrary(), R"({"x-behaviour":"long_stats"})");
  const Answer answer = AskStats(host);
  ASSERT_NE(answer.As<wire::StatsReply>(), nullptr) << answer.Failure();
  const std::string text = answer.As<wire::StatsReply>()->text()->str();
  EXPECT_GT(text.size(), 50000u);
  const size_t last = text.rfind('\n', text.size() - 2);
  EXPECT_EQ(text.compare(last + 1, 7, "# cut: "), 0) << text.substr(last);
  EXPECT_EQ(text.compare(last - 3, 4, "} 1\n"), 0) << text.substr(last - 20);
}

TEST(Figures, FailuresAreTold) {
  const struct {
    const char* call;
    Answer (*ask)(MiniHost&);
    const char* want;
  } cases[] = {{"usage", AskUsage, "usage of "}, {"stats", AskStats, "stats_text of "}};
  for (const auto& one : cases) {
    MiniHost host;
    host.Connect(FaultyLibrary(), std::string(R"({"x-fault":"fail_in_)") + one.call + "\"}");
    EXPECT_EQ(one.ask(host).Failure().rfind("code -12: " + std::string(one.want), 0), 0u);
    EXPECT_EQ(one.ask(host).Failure(), "");
  }
}

TEST(Listing, PagesCoverEveryKey) {
  MiniHost host;
  host.Connect(FaultyLibrary());
  std::vector<KeyValue> keys;
  for (int i = 0; i < 2000; i++) keys.push_back({"key-" + std::to_string(i) + std::string(40, 'x'), 1});
  Batch batch;
  ASSERT_EQ(host.Run(&batch, SIXCALL_OP_SET, keys).n_ok, 2000u);
  uint32_t n = 0, pages = 0;
  for (std::vector<uint8_t> cursor;;) {
    const Answer answer = AskList(host, cursor);
    const auto* page = answer.As<wire::ListReply>();
    ASSERT_NE(page, nullptr) << answer.Failure();
    n += page->n();
    pages++;
    if (page->last()) break;
    cursor.assign(page->cursor()->begin(), page->cursor()->end());
  }
  EXPECT_EQ(n, 2000u);
  EXPECT_GT(pages, 1u);
  // Batches go on as before.
  EXPECT_EQ(host.Run(&batch, SIXCALL_OP_EXISTS, {{keys[0].key, 0}}).n_ok, 1u);
}

TEST(Listing, OneThatTakesTooLongIsGivenUp) {
  MiniHost host;
  host.Connect(FaultyLibrary(), R"({"x-hold":1})");
  EXPECT_EQ(AskList(host, {}, 30).Failure(), "code -7: the listing is not done after 30 ms");
  EXPECT_EQ(AskList(host, std::vector<uint8_t>(217)).Failure(), "code -1: the cursor has 217 bytes, want one that List returned");
}

TEST(Listing, CloseEndsOneThatWaits) {
  MiniHost host;
  host.Connect(FaultyLibrary(), R"({"x-hold":1})");
  flatbuffers::FlatBufferBuilder builder;
  const uint64_t list = host.Send(builder, wire::CreateList(builder));
  host.WaitForCall(SIXCALL_CALL_NONE);
  EXPECT_NE(host.Close().As<wire::Done>(), nullptr);
  EXPECT_EQ(host.WaitFor(list).Failure(), "code -3: the connection is being closed");
  EXPECT_EQ(host.process().End(), "exit 0");
}

TEST(Listing, AFailureHasTheLibrarysCode) {
  MiniHost host;
  host.Connect(FaultyLibrary(), R"({"x-fault":"fail_in_list"})");
  EXPECT_EQ(AskList(host, {}).Failure(), "code -12: list of \"" + FaultyLibrary() + "\" returned -12 and no text");
}

TEST(Closing, BusyIsAFailureAndTheWorkerEnds) {
  MiniHost host;
  host.Connect(FaultyLibrary(), R"({"x-behaviour":"busy"})");
  EXPECT_EQ(host.Close(50).Failure(), "code -14: \"" + FaultyLibrary() + "\" could not stop everything within 50 ms");
  EXPECT_EQ(host.process().End(), "exit 0");
}

TEST(Closing, APumpThatHangsIsNamed) {
  MiniHost host;
  host.Connect(FaultyLibrary(), R"({"x-fault":"hang_in_set"})");
  host.Submit(SIXCALL_OP_SET, {{"a", 1}});
  host.WaitForCall(SIXCALL_CALL_SUBMIT | SIXCALL_OP_SET);
  EXPECT_EQ(host.Close(50).Failure(), "code -14: \"" + FaultyLibrary() + "\" could not stop everything within 50 ms: it is still in submit_batch_set");
  EXPECT_EQ(host.process().End(), "exit 0");
}

TEST(Closing, ALogLineAfterCloseIsNotSent) {
  MiniHost host;
  host.Connect(FaultyLibrary(), R"({"x-behaviour":"late_log"})");
  EXPECT_NE(host.Close().As<wire::Done>(), nullptr);
  EXPECT_EQ(host.process().End(), "exit 0");
}

TEST(Logs, LinesArriveUpToTheLevel) {
  HostOptions options;
  options.log_level = SIXCALL_LOG_INFO;
  MiniHost host(options);
  host.Connect(FaultyLibrary(), R"({"x-lines":5})");
  EXPECT_EQ(host.logs(), (std::vector<std::string>{"line 0", "line 1", "line 2", "line 3", "line 4"}));
  options.log_level = SIXCALL_LOG_ERROR;
  MiniHost quiet(options);
  quiet.Connect(FaultyLibrary(), R"({"x-lines":5})");
  EXPECT_EQ(quiet.logs(), std::vector<std::string>{});
}

TEST(Logs, AFloodIsDroppedAndCounted) {
  constexpr uint64_t kLines = 200000;
  MiniHost host;
  host.Connect(FaultyLibrary(), R"({"x-lines":200000,"x-log-batches":1})");
  // The first line that gets through when the flood is over tells what is missing.
  uint64_t batch_line = 0;
  while (batch_line == 0) {
    Batch batch;
    ASSERT_EQ(host.Run(&batch, SIXCALL_OP_EXISTS, {{"a", 0}}).rc, 0);
    host.ResetArena();
    ASSERT_NE(host.Ping().As<wire::Pong>(), nullptr);  // what was logged before has arrived
    const std::string& last = host.logs().back();
    if (last.rfind("batch ", 0) == 0) batch_line = std::stoull(last.substr(6));
  }
  EXPECT_EQ(host.logs().front(), "line 0");
  EXPECT_GT(host.dropped_logs(), 0u);
  EXPECT_EQ(host.logs().size() + host.dropped_logs(), kLines + batch_line);
}

}  // namespace
}  // namespace worker_test
