// SPDX-License-Identifier: Apache-2.0
//
// The library as a file and as a table, its configuration, and the life of a
// connection.
#include <elf.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <set>
#include <thread>

#include "harness/basics.h"
#include "harness/threads.h"
#include "mem.h"

namespace sixcall_test {
namespace {

// The sections of an ELF file, without the help of the loader.
class ElfFile {
 public:
  explicit ElfFile(const std::string &path) {
    std::ifstream in(path, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(in), {});
    header_ = At<Elf64_Ehdr>(0);
  }
  std::string Section(const std::string &name) const {
    const Elf64_Shdr *header = Find([&](const Elf64_Shdr &, const char *n) { return name == n; });
    return header == nullptr ? "" : bytes_.substr(header->sh_offset, header->sh_size);
  }
  // The names of the defined symbols that the loader would hand out.
  std::set<std::string> Exports() const {
    std::set<std::string> names;
    const Elf64_Shdr *table = Find([](const Elf64_Shdr &h, const char *) { return h.sh_type == SHT_DYNSYM; });
    const char *strings = At<char>(Sections()[table->sh_link].sh_offset);
    for (uint64_t at = 0; at < table->sh_size; at += sizeof(Elf64_Sym)) {
      const auto *symbol = At<Elf64_Sym>(table->sh_offset + at);
      const int binding = ELF64_ST_BIND(symbol->st_info);
      if (symbol->st_shndx != SHN_UNDEF && binding != STB_LOCAL) names.insert(strings + symbol->st_name);
    }
    return names;
  }

 private:
  template <class T>
  const T *At(uint64_t offset) const {
    return reinterpret_cast<const T *>(bytes_.data() + offset);
  }
  const Elf64_Shdr *Sections() const { return At<Elf64_Shdr>(header_->e_shoff); }
  template <class F>
  const Elf64_Shdr *Find(F &&is) const {
    const char *names = At<char>(Sections()[header_->e_shstrndx].sh_offset);
    for (int i = 0; i < header_->e_shnum; ++i) {
      if (is(Sections()[i], names + Sections()[i].sh_name)) return &Sections()[i];
    }
    return nullptr;
  }

  std::string bytes_;
  const Elf64_Ehdr *header_;
};

TEST(MemLibrary, ExportsTheEntryPointAndNothingElse) {
  EXPECT_EQ(ElfFile(SIXCALL_TEST_MEM).Exports(), (std::set<std::string>{SIXCALL_ENTRY_SYMBOL}));
}

TEST(MemLibrary, TheNoteSaysWhatTheTableSays) {
  const std::string section = ElfFile(SIXCALL_TEST_MEM).Section(".note.sixcall");
  ASSERT_EQ(section.size(), sizeof(sixcall_note));
  sixcall_note note;
  std::memcpy(&note, section.data(), sizeof(note));
  EXPECT_EQ(note.namesz, 8u);
  EXPECT_EQ(note.descsz, 112u);
  EXPECT_EQ(note.type, SIXCALL_NOTE_TYPE);
  EXPECT_STREQ(note.name, SIXCALL_NOTE_NAME);
  EXPECT_EQ(note.abi_major, Mem()->abi_major);
  EXPECT_EQ(note.abi_minor, Mem()->abi_minor);
  EXPECT_EQ(note.table_size, Mem()->struct_size);
  EXPECT_EQ(uint64_t{note.caps_hi} << 32 | note.caps_lo, Mem()->caps);
  EXPECT_STREQ(note.vendor, Mem()->vendor);
  EXPECT_STREQ(note.product, Mem()->name);
  EXPECT_STREQ(note.version, Mem()->version);
}

TEST(MemLibrary, LoadsWithoutSideEffects) {
  const auto threads = ListThreads();
  const auto fds = OpenFds();
  const sixcall_api *api = Mem();
  const std::string before(reinterpret_cast<const char *>(api), api->struct_size);
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&] {
      for (int n = 0; n < 100; ++n) EXPECT_EQ(LoadLibrary(SIXCALL_TEST_MEM), api);
    });
  }
  for (std::thread &caller : callers) caller.join();
  EXPECT_EQ(std::memcmp(before.data(), api, before.size()), 0);
  EXPECT_TRUE(Eventually([&] { return NewThreads(threads).empty(); }));
  EXPECT_EQ(OpenFds(), fds);
  EXPECT_STREQ(api->name, "mem");
  EXPECT_EQ(api->caps & SIXCALL_CAP_PERSISTENT, 0u) << "values end with the connection";
}

TEST(MemLibrary, PassesTheBasicRun) {
  for (const char *config : {"{}", R"({"workers":4,"lookup_workers":3,"capacity_bytes":1000000})"}) {
    Connection connection(Mem(), MemOptions(config));
    ASSERT_TRUE(connection.ok()) << connection.open_error();
    RunBasics(connection);
    EXPECT_EQ(connection.Run(Request::Ping()).rc, SIXCALL_OK);
    EXPECT_EQ(connection.Close(), SIXCALL_OK);
  }
}

TEST(MemLibrary, LeavesNothingBehind) {
  const auto threads = ListThreads();
  const auto fds = OpenFds();
  for (int i = 0; i < 10; ++i) {
    Connection connection(Mem(), MemOptions(R"({"workers":3})"));
    connection.Run(Request::Set({"a", "b"}, {std::string(100000, 'x'), "y"}));
    EXPECT_EQ(connection.Close(), SIXCALL_OK);
  }
  EXPECT_TRUE(Eventually([&] { return NewThreads(threads).empty(); }));
  EXPECT_EQ(OpenFds(), fds);
}

TEST(MemLibrary, ConnectionsShareNothing) {
  Connection one(Mem()), other(Mem());
  one.Run(Request::Set({"k"}, {"1"}));
  EXPECT_EQ(other.Run(Request::Exists({"k"})).n_ok, 0u);
  EXPECT_EQ(UsageOf(Mem(), other.handle()).keys, 0u);
}

TEST(MemLibrary, ThreadsAreNamed) {
  const auto before = ListThreads();
  Connection connection(Mem(), MemOptions(R"({"workers":2,"lookup_workers":1})"));
  const auto threads = NewThreads(before);
  EXPECT_EQ(threads.size(), 3u);
  for (const ThreadInfo &thread : threads) EXPECT_EQ(thread.name, "sixcall:mem");
}

TEST(MemLibrary, RefusesAWrongConfigurationInWords) {
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {R"({"capacity_byte":1})", R"(unknown config key "capacity_byte"; the nearest known key is "capacity_bytes")"},
      {R"({"capacity_bytes":"1G"})", R"(config key "capacity_bytes" is "1G", want an integer)"},
      {R"({"capacity_bytes":-1})", R"(config key "capacity_bytes" is -1, want an integer)"},
      {R"({"read_latency_us":60000001})", R"(config key "read_latency_us" is 60000001, want an integer from 0 to 60000000)"},
      {R"({"bandwidth_gbps":-0.5})", R"(config key "bandwidth_gbps" is -0.5, want a number from 0 to )"},
      {R"({"workers":0})", R"(config key "workers" is 0, want an integer from 1 to 256)"},
      {R"({"workers":1,"workers":2})", R"(configuration has the key "workers" twice)"},
      {R"({"workers":1)", "configuration is not JSON: "},
      {"", "configuration is empty"},
      {"[]", "configuration is not a JSON object"},
  };
  const auto threads = ListThreads();
  const auto fds = OpenFds();
  for (const auto &[config, text] : wrong) {
    Connection connection(Mem(), MemOptions(config));
    EXPECT_EQ(connection.open_rc(), SIXCALL_E_CONFIG) << config;
    EXPECT_EQ(connection.open_error().substr(0, text.size()), text);
  }
  EXPECT_TRUE(NewThreads(threads).empty());
  EXPECT_EQ(OpenFds(), fds);
  Connection connection(Mem(), MemOptions(R"({"x-note":"for the host","capacity_bytes":5})"));
  EXPECT_TRUE(connection.ok()) << connection.open_error();
}

TEST(MemLibrary, ClosesWhileASlowBatchRuns) {
  Connection connection(Mem(), MemOptions(R"({"read_latency_us":60000000,"workers":2})"));
  ASSERT_TRUE(connection.ok()) << connection.open_error();
  for (int i = 0; i < 10; ++i) connection.Submit(Request::Get({"a", "b"}, 100));
  EXPECT_EQ(connection.Close(20), SIXCALL_OK) << "the simulated minute ends with close";
}

TEST(MemLibrary, SlowBatchesCanBeCancelled) {
  Connection connection(Mem(), MemOptions(R"({"read_latency_us":60000000,"workers":1})"));
  const uint64_t running = connection.Submit(Request::Get({"a"}, 100));
  const uint64_t queued = connection.Submit(Request::Get({"b"}, 100));
  for (const uint64_t ticket : {queued, running}) {
    EXPECT_TRUE(Eventually([&] { return connection.api().cancel(connection.handle(), ticket) == SIXCALL_OK; }));
    const Result result = connection.Wait(ticket);
    EXPECT_EQ(result.rc, SIXCALL_E_CANCELLED);
    EXPECT_EQ(result.status, std::vector<uint8_t>{SIXCALL_STATUS_CANCELLED});
  }
}

TEST(MemLibrary, ASimulatedLinkStillMovesTheRightBytes) {
  Connection connection(Mem(), MemOptions(R"({"read_latency_us":100,"write_latency_us":100,"bandwidth_gbps":8})"));
  const std::vector<std::string> values = {std::string(100000, 'a'), std::string(50000, 'b')};
  EXPECT_EQ(connection.Run(Request::Set({"a", "b"}, values)).n_ok, 2u);
  EXPECT_EQ(connection.Run(Request::Get({"a", "b"}, {100000, 50000})).values, values);
  EXPECT_EQ(connection.Run(Request::Delete({"a", "b"})).n_ok, 2u);
}

TEST(MemLibrary, StatsTextIsSizedByTwoCalls) {
  Connection connection(Mem());
  connection.Run(Request::Set({"a"}, {"12345"}));
  connection.Run(Request::Get({"a", "b"}, 5));
  const auto stats = Mem()->stats_text;
  const int64_t size = stats(connection.handle(), nullptr, 0);
  ASSERT_GT(size, 0);
  GuardedMemory text(static_cast<size_t>(size), Edge::kEnd, "stats text");
  ASSERT_EQ(stats(connection.handle(), reinterpret_cast<char *>(text.data()), text.size()), size);
  const std::string whole(reinterpret_cast<const char *>(text.data()), text.size());
  EXPECT_EQ(whole.back(), '\n');
  EXPECT_EQ(whole.find('\0'), std::string::npos);
  EXPECT_NE(whole.find("sixcall_connector_batches_total{op=\"set\"} 1\n"), std::string::npos) << whole;
  EXPECT_NE(whole.find("sixcall_connector_hits_total{op=\"get\"} 1\n"), std::string::npos) << whole;
  EXPECT_NE(whole.find("sixcall_connector_misses_total{op=\"get\"} 1\n"), std::string::npos) << whole;
  GuardedMemory part(10, Edge::kEnd, "ten bytes of the stats text");
  EXPECT_EQ(stats(connection.handle(), reinterpret_cast<char *>(part.data()), part.size()), size);
  EXPECT_EQ(std::memcmp(part.data(), whole.data(), part.size()), 0);
}

TEST(MemLibrary, LimitsHold) {
  Connection connection(Mem());
  sixcall_limits limits = {};
  limits.struct_size = sizeof(limits);
  ASSERT_EQ(Mem()->limits(connection.handle(), &limits), SIXCALL_OK);
  ASSERT_GT(limits.max_key_len, 0u);
  EXPECT_EQ(connection.Run(Request::Set({std::string(limits.max_key_len, 'k')}, {"v"})).n_ok, 1u);
  EXPECT_EQ(connection.TrySubmit(Request::Set({std::string(limits.max_key_len + 1, 'k')}, {"v"})), SIXCALL_E_INVAL);
}

}  // namespace
}  // namespace sixcall_test
