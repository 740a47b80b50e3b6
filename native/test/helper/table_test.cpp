// SPDX-License-Identifier: Apache-2.0
//
// The table, the entry point and the counters that connector.hpp makes, and that
// SIXCALL_CONNECTOR works in a program that only has the frozen header.
#include "sixcall/connector_v1.h"

// After the frozen header: the helper takes what is there.
#include "sixcall/connector.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "scripted.h"

namespace {

struct NoSession {};

struct EntryConnector final : sixcall::Connector<NoSession> {
  sixcall::Result Get(NoSession &, sixcall::Key, sixcall::MutableBytes) override { return sixcall::Status::kMiss; }
  sixcall::Status Set(NoSession &, sixcall::Key, sixcall::Bytes) override { return sixcall::Status::kHit; }
  sixcall::Result Exists(NoSession &, sixcall::Key) override { return {sixcall::Status::kHit, 5}; }
  void Usage(sixcall_usage &out) override { out.bytes_used = 7; }
  void Stats(std::string &out) override { out += "entry_extra 1\n"; }
  void List(NoSession &, sixcall::Page &page) override {
    static const std::vector<std::string> keys = {"a", std::string(8, 'b'), std::string(100, 'c'), "d"};
    for (size_t i = page.cursor().empty() ? 0 : static_cast<size_t>(page.cursor()[0] - '0'); i < keys.size(); ++i) {
      if (!page.Add(keys[i], i)) return page.SetCursor(std::to_string(i));
    }
    page.SetLast();
  }
};

}  // namespace

SIXCALL_CONNECTOR(EntryConnector, "entry-test", "2.3.4", "Sixcall Tests", R"({"type":"object"})",
                  SIXCALL_CAP_PERSISTENT | SIXCALL_CAP_VALUE_LENS);

namespace sixcall_test {
namespace {

const sixcall_api *Entry() {
  sixcall_host host = {};
  host.struct_size = sizeof(host);
  host.abi_major = SIXCALL_ABI_MAJOR;
  return sixcall_connector_entry_v1(&host);
}

TEST(Table, IsConstantAndComplete) {
  const sixcall_api *api = Entry();
  ASSERT_NE(api, nullptr);
  EXPECT_EQ(Entry(), api);
  EXPECT_EQ(api->struct_size, sizeof(sixcall_api));
  EXPECT_EQ(api->abi_major, 1);
  EXPECT_EQ(api->abi_minor, 0);
  EXPECT_EQ(api->thread_model, SIXCALL_THREADS_PARALLEL);
  EXPECT_EQ(api->needs, 0u);
  EXPECT_EQ(api->reserved, 0u);
  EXPECT_STREQ(api->name, "entry-test");
  EXPECT_STREQ(api->version, "2.3.4");
  EXPECT_STREQ(api->vendor, "Sixcall Tests");
  EXPECT_STREQ(api->config_schema, R"({"type":"object"})");
}

TEST(Table, CapabilitiesAgreeWithSlots) {
  for (const sixcall_api *api : {Entry(), TableOf<ScriptedConnector>()}) {
    const auto agree = [&](uint64_t cap, bool slot) { EXPECT_EQ((api->caps & cap) != 0, slot) << api->name << " " << cap; };
    agree(SIXCALL_CAP_DELETE, api->submit_batch_delete != nullptr);
    agree(SIXCALL_CAP_LIMITS, api->limits != nullptr);
    agree(SIXCALL_CAP_PING, api->submit_ping != nullptr);
    agree(SIXCALL_CAP_CANCEL, api->cancel != nullptr);
    agree(SIXCALL_CAP_REGISTER_MEMORY, api->register_memory != nullptr);
    agree(SIXCALL_CAP_REGISTER_MEMORY, api->unregister_memory != nullptr);
    agree(SIXCALL_CAP_USAGE, api->usage != nullptr);
    agree(SIXCALL_CAP_LIST, api->submit_list != nullptr);
    agree(SIXCALL_CAP_STATS_TEXT, api->stats_text != nullptr);
    agree(SIXCALL_CAP_EXTENSIONS, api->get_extension != nullptr);
  }
  EXPECT_NE(Entry()->caps & SIXCALL_CAP_PERSISTENT, 0u);
  EXPECT_EQ(Entry()->caps & SIXCALL_CAP_DELETE, 0u) << "Erase is not overridden";
  EXPECT_NE(Entry()->caps & SIXCALL_CAP_LIST, 0u);
  EXPECT_NE(Entry()->caps & SIXCALL_CAP_USAGE, 0u);
}

TEST(Table, TheEntryRefusesAnotherMajor) {
  sixcall_host host = {};
  host.struct_size = sizeof(host);
  host.abi_major = 2;
  EXPECT_EQ(sixcall_connector_entry_v1(&host), nullptr);
  host.abi_major = 1;
  host.struct_size = sizeof(host) - 8;
  EXPECT_EQ(sixcall_connector_entry_v1(&host), nullptr);
}

TEST(Table, TheNoteSaysTheSame) {
  const sixcall_api *api = Entry();
  const sixcall_note &note = sixcall_elf_note;
  EXPECT_EQ(note.namesz, 8u);
  EXPECT_EQ(note.descsz, 112u);
  EXPECT_EQ(note.type, SIXCALL_NOTE_TYPE);
  EXPECT_STREQ(note.name, SIXCALL_NOTE_NAME);
  EXPECT_EQ(note.abi_major, api->abi_major);
  EXPECT_EQ(note.abi_minor, api->abi_minor);
  EXPECT_EQ(note.table_size, api->struct_size);
  EXPECT_EQ(uint64_t{note.caps_hi} << 32 | note.caps_lo, api->caps);
  EXPECT_STREQ(note.vendor, api->vendor);
  EXPECT_STREQ(note.product, api->name);
  EXPECT_STREQ(note.version, api->version);
}

TEST(Counters, StatsTextIsSizedByTwoCalls) {
  Connection connection(Entry());
  ASSERT_TRUE(connection.ok()) << connection.open_error();
  connection.Run(Request::Exists({"a", "b"}));
  connection.Run(Request::Get({"a"}, 10));
  const auto stats = connection.api().stats_text;
  const int64_t size = stats(connection.handle(), nullptr, 0);
  ASSERT_GT(size, 0);
  GuardedMemory text(static_cast<size_t>(size), Edge::kEnd, "stats text");
  ASSERT_EQ(stats(connection.handle(), reinterpret_cast<char *>(text.data()), text.size()), size);
  const std::string whole(reinterpret_cast<const char *>(text.data()), text.size());
  for (const char *line : {"sixcall_connector_batches_total{op=\"exists\"} 1\n", "sixcall_connector_batches_total{op=\"get\"} 1\n",
                           "sixcall_connector_hits_total{op=\"exists\"} 2\n", "sixcall_connector_misses_total{op=\"get\"} 1\n",
                           "sixcall_connector_inflight 0\n", "entry_extra 1\n"}) {
    EXPECT_NE(whole.find(line), std::string::npos) << line << whole;
  }
  GuardedMemory half(static_cast<size_t>(size) / 2, Edge::kEnd, "half of the stats text");
  EXPECT_EQ(stats(connection.handle(), reinterpret_cast<char *>(half.data()), half.size()), size) << "the full length all the same";
  EXPECT_EQ(std::memcmp(half.data(), whole.data(), half.size()), 0);
}

TEST(Counters, UsageIsFilled) {
  Connection connection(Entry());
  sixcall_usage usage = {};
  usage.struct_size = sizeof(usage);
  ASSERT_EQ(connection.api().usage(connection.handle(), &usage), SIXCALL_OK);
  EXPECT_EQ(usage.bytes_used, 7u);
  EXPECT_EQ(usage.bytes_capacity, UINT64_MAX) << "unknown";
  EXPECT_EQ(usage.keys, UINT64_MAX);
  usage.struct_size = 8;
  EXPECT_EQ(connection.api().usage(connection.handle(), &usage), SIXCALL_E_INVAL);
  EXPECT_EQ(connection.api().usage(connection.handle(), nullptr), SIXCALL_E_INVAL);
}

TEST(Listing, PagesAreFilledToTheByte) {
  Connection connection(Entry());
  // Entries of 24, 24, 120 and 24 bytes.
  Result page = connection.Run(Request::List(192));
  EXPECT_EQ(page.rc, SIXCALL_OK);
  EXPECT_EQ(page.listed.size(), 4u);
  EXPECT_TRUE(page.last_page);
  page = connection.Run(Request::List(191));
  EXPECT_EQ(page.listed.size(), 3u);
  EXPECT_FALSE(page.last_page);
  page = connection.Run(Request::List(191, page.cursor));
  ASSERT_EQ(page.listed.size(), 1u);
  EXPECT_EQ(page.listed[0].key, "d");
  EXPECT_EQ(page.listed[0].value_len, 3u);
  EXPECT_TRUE(page.last_page);
}

TEST(Listing, ABufferBelowOneEntryIsNoSpace) {
  Connection connection(Entry());
  EXPECT_EQ(connection.Run(Request::List(23)).rc, SIXCALL_E_NOSPACE);
  EXPECT_EQ(connection.Run(Request::List(0)).rc, SIXCALL_E_NOSPACE);
  Result page = connection.Run(Request::List(119, "2"));
  EXPECT_EQ(page.rc, SIXCALL_E_NOSPACE);
  EXPECT_FALSE(page.err_text.empty());
  page = connection.Run(Request::List(120, "2"));
  EXPECT_EQ(page.rc, SIXCALL_OK) << "a larger buffer goes on where it stood";
  ASSERT_EQ(page.listed.size(), 1u);
  EXPECT_EQ(page.listed[0].key, std::string(100, 'c'));
}

TEST(Listing, ABrokenPageIsRefused) {
  Connection connection(Entry());
  alignas(8) uint8_t buffer[64];
  sixcall_batch batch = {};
  batch.struct_size = sizeof(batch);
  const auto submit = [&](const std::function<void(sixcall_page &)> &spoil) {
    sixcall_page page = {};
    page.struct_size = sizeof(page);
    page.buf = buffer;
    page.cap = sizeof(buffer);
    spoil(page);
    return connection.api().submit_list(connection.handle(), &batch, &page);
  };
  EXPECT_EQ(submit([](auto &page) { page.buf = nullptr; }), SIXCALL_E_INVAL);
  EXPECT_EQ(submit([](auto &page) { page.buf += 4; }), SIXCALL_E_INVAL);
  EXPECT_EQ(submit([](auto &page) { page.cursor_len = 217; }), SIXCALL_E_INVAL);
  EXPECT_EQ(submit([](auto &page) { page.struct_size = 8; }), SIXCALL_E_INVAL);
  EXPECT_EQ(connection.api().submit_list(connection.handle(), &batch, nullptr), SIXCALL_E_INVAL);
  batch.n = 1;
  EXPECT_EQ(submit([](auto &) {}), SIXCALL_E_INVAL) << "n is 0 for a list";
}

}  // namespace
}  // namespace sixcall_test
