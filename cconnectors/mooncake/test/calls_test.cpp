// SPDX-License-Identifier: Apache-2.0
//
// What becomes of the library's results: every code, every size, keys that occur
// twice, values that are stored already.
#include "harness/basics.h"
#include "harness/shared_host.h"
#include "mooncake.h"

namespace sixcall_test {
namespace {

class MooncakeCalls : public MooncakeTest {};

TEST_F(MooncakeCalls, PassesTheBasicRunWhenItMayReplaceValues) {
  for (const char *more : {R"("existing":"replace")", R"("existing":"compare","workers":3,"lookup_workers":2)"}) {
    SetUp();
    Connection connection(Mooncake(), Options(more));
    ASSERT_TRUE(connection.ok()) << connection.open_error();
    RunBasics(connection);
    EXPECT_EQ(connection.Run(Request::Ping()).rc, SIXCALL_OK);
    EXPECT_EQ(connection.Close(), SIXCALL_OK);
  }
}

// ---- results, code by code

struct CodeCase {
  int64_t code;
  uint8_t get, set, exists, erase;
  const char *text;  // in the error of a set, or of a get if it is no failure there
};

void PrintTo(const CodeCase &c, std::ostream *out) { *out << c.code; }

class MooncakeCodes : public MooncakeTest, public testing::WithParamInterface<CodeCase> {};

TEST_P(MooncakeCodes, BecomeStatusesOfTheirKeyAlone) {
  const CodeCase c = GetParam();
  Connection connection(Mooncake(), Options(R"("workers":1,"existing":"keep")"));
  ASSERT_TRUE(connection.ok()) << connection.open_error();
  const std::vector<std::string> keys = {"a", "b", "c"}, values = {"1", "2", "3"};

  FakeResult("batch_put_from", c.code, 1, 1);
  Result result = connection.Run(Request::Set(keys, values));
  EXPECT_EQ(result.status, (Statuses{kHit, c.set, kHit}));
  EXPECT_EQ(result.rc, SIXCALL_OK);
  if (c.set != kHit) {
    EXPECT_NE(result.err_text.find(c.text), std::string::npos) << result.err_text;
  }
  EXPECT_EQ(connection.Run(Request::Set(keys, values)).n_ok, 3u);

  FakeResult("batch_get_into", c.code, 1, 1);
  result = connection.Run(Request::Get(keys, 1));
  EXPECT_EQ(result.status, (Statuses{kHit, c.get, kHit}));
  EXPECT_EQ(result.rc, SIXCALL_OK);
  EXPECT_EQ(result.values[0] + result.values[2], "13");

  FakeResult("batch_is_exist", c.code, 1, 1);
  EXPECT_EQ(connection.Run(Request::Exists(keys)).status, (Statuses{kHit, c.exists, kHit}));

  FakeResult("remove", c.code, 1, 1);
  EXPECT_EQ(connection.Run(Request::Delete(keys)).status, (Statuses{kHit, c.erase, kHit}));
}

INSTANTIATE_TEST_SUITE_P(All, MooncakeCodes,
                         testing::Values(CodeCase{-1, kError, kError, kError, kError, "INTERNAL_ERROR (-1)"},
                                         CodeCase{-200, kRefused, kRefused, kRefused, kRefused, "no storage node has room"},
                                         CodeCase{-601, kError, kError, kError, kError, "ILLEGAL_CLIENT (-601)"},
                                         CodeCase{-703, kMiss, kError, kMiss, kRefused, "REPLICA_IS_NOT_READY (-703)"},
                                         CodeCase{-704, kMiss, kError, kMiss, kMiss, "OBJECT_NOT_FOUND (-704)"},
                                         CodeCase{-705, kError, kError, kError, kError, "OBJECT_ALREADY_EXISTS (-705)"},
                                         CodeCase{-706, kRefused, kRefused, kRefused, kRefused, "OBJECT_HAS_LEASE (-706)"},
                                         CodeCase{-707, kTimeout, kTimeout, kTimeout, kTimeout, "LEASE_EXPIRED (-707)"},
                                         CodeCase{-712, kMiss, kError, kMiss, kMiss, "REPLICA_IS_GONE (-712)"},
                                         CodeCase{-800, kError, kError, kError, kError, "TRANSFER_FAIL (-800)"},
                                         CodeCase{-801, kCorrupt, kCorrupt, kCorrupt, kCorrupt, "CHECKSUM_MISMATCH (-801)"},
                                         CodeCase{-4711, kError, kError, kError, kError, "code -4711"}),
                         [](const auto &test) { return "Code" + std::to_string(-test.param.code); });

TEST_F(MooncakeCalls, ResultsThatTheLibraryDoesNotWriteAreErrors) {
  Connection connection(Mooncake(), Options(R"("workers":1,"existing":"keep")"));
  const char *const calls[] = {"batch_put_from", "batch_get_into", "batch_is_exist"};
  for (const int rc : {-600, -1, 7}) {
    for (const char *call : calls) FakeRc(call, rc);
    for (const Request &request : {Request::Set({"a", "b"}, {"1", "2"}), Request::Get({"a", "b"}, 1), Request::Exists({"a", "b"})}) {
      const Result result = connection.Run(request);
      EXPECT_EQ(result.status, (Statuses{kError, kError})) << "op " << request.op << " rc " << rc;
      EXPECT_NE(result.err_text, "");
    }
  }
  for (const char *call : calls) FakeRc(call, 0);  // success is claimed and nothing is written
  for (const Request &request : {Request::Set({"a", "b"}, {"1", "2"}), Request::Get({"a", "b"}, 1), Request::Exists({"a", "b"})}) {
    const Result result = connection.Run(request);
    EXPECT_EQ(result.status, (Statuses{kError, kError})) << "op " << request.op;
    EXPECT_NE(result.err_text.find("the library gave no result"), std::string::npos) << result.err_text;
  }
}

// ---- sizes

TEST_F(MooncakeCalls, AnotherSizeIsNeverAHit) {
  Connection connection(Mooncake(), Options());
  connection.Run(Request::Set({"a", "b"}, {std::string(100, 'a'), "b"}));
  Request request = Request::Get({"a", "a", "b", "none", "a"}, {200, 60, 1, 60, 100});
  request.value_lens = true;
  const Result result = connection.Run(request);
  EXPECT_EQ(result.status, (Statuses{kSize, kSize, kHit, kMiss, kHit}));
  EXPECT_EQ(result.value_lens[0], 100u);
  EXPECT_EQ(result.value_lens[1], 100u);
  EXPECT_EQ(result.values[4], std::string(100, 'a'));
  EXPECT_EQ(result.rc, SIXCALL_OK);
}

TEST_F(MooncakeCalls, ABufferThatIsTooSmallIsOnlySoIfTheStoreSaysSo) {
  Connection connection(Mooncake(), Options());
  connection.Run(Request::Set({"a"}, {"12345"}));
  FakeResult("batch_get_into", -600, 3);
  EXPECT_EQ(connection.Run(Request::Get({"a"}, 5)).status, (Statuses{kError})) << "it is not too small: the library refused something else";
  FakeResult("get_size", -704);
  EXPECT_EQ(connection.Run(Request::Get({"a"}, 2)).status, (Statuses{kMiss})) << "gone in between";
  FakeResult("get_size", -900);
  EXPECT_EQ(connection.Run(Request::Get({"a"}, 2)).rc, SIXCALL_E_CONNECT);
}

TEST_F(MooncakeCalls, EmptyValuesAreRefusedAndNeverHit) {
  Connection connection(Mooncake(), Options());
  Result result = connection.Run(Request::Set({"a", "empty"}, {"1", ""}));
  EXPECT_EQ(result.status, (Statuses{kHit, kRefused}));
  EXPECT_NE(result.err_text.find("does not store empty values"), std::string::npos) << result.err_text;
  result = connection.Run(Request::Get({"a", "a", "empty"}, {0, 1, 0}));
  EXPECT_EQ(result.status, (Statuses{kSize, kHit, kMiss}));
}

// ---- keys

TEST_F(MooncakeCalls, AKeyThatOccursTwiceFillsEveryBuffer) {
  Connection connection(Mooncake(), Options(R"("workers":1)"));
  connection.Run(Request::Set({"a", "b"}, {"aaaa", "bbbb"}));
  const Result result = connection.Run(Request::Get({"a", "b", "a", "a", "b"}, 4));
  EXPECT_EQ(result.status, (Statuses{kHit, kHit, kHit, kHit, kHit}));
  EXPECT_EQ(result.values, (std::vector<std::string>{"aaaa", "bbbb", "aaaa", "aaaa", "bbbb"}));
}

TEST_F(MooncakeCalls, AKeyThatIsStoredTwiceKeepsOneOfItsValues) {
  Connection connection(Mooncake(), Options(R"("workers":1,"existing":"replace")"));
  const Result result = connection.Run(Request::Set({"a", "b", "a"}, {"1111", "2222", "3333"}));
  EXPECT_EQ(result.status, (Statuses{kHit, kHit, kHit}));
  EXPECT_EQ(FakeCollidingPuts(), 0);
  const std::string value = connection.Run(Request::Get({"a"}, 4)).values[0];
  EXPECT_TRUE(value == "1111" || value == "3333") << value;
}

TEST_F(MooncakeCalls, KeysOfAnyBytesStayApart) {
  Connection connection(Mooncake(), Options());
  std::vector<std::string> keys, values;
  for (int c = 0; c < 256; c++) keys.push_back(std::string("k") + static_cast<char>(c));
  for (const char *tail : {"\1\1", "\1\2", "\1", "\2", "\1\1\1", ""}) keys.push_back(std::string("n\0", 2) + tail);
  keys.push_back(std::string(1, '\0'));
  keys.push_back("\1\1");
  keys.push_back("../../etc/passwd");
  for (size_t i = 0; i < keys.size(); i++) values.push_back("value " + std::to_string(1000 + i));
  EXPECT_EQ(connection.Run(Request::Set(keys, values)).n_ok, keys.size());
  EXPECT_EQ(connection.Run(Request::Get(keys, 10)).values, values);
}

TEST_F(MooncakeCalls, ThePlainKeyIsTheNameInTheStore) {
  Connection connection(Mooncake(), Options());
  connection.Run(Request::Set({"org/m@2@1@abc@bfloat16@u%b"}, {"v"}));
  EXPECT_TRUE(FakeHas("org/m@2@1@abc@bfloat16@u%b")) << "other clients of the store look for this name";
}

TEST_F(MooncakeCalls, PrefixesKeepUsersOfAStoreApart) {
  Connection one(Mooncake(), Options(R"("key_prefix":"one/","force_remove":true)")), other(Mooncake(), Options(R"("key_prefix":"other/")"));
  one.Run(Request::Set({"k", "l"}, {"1", "2"}));
  EXPECT_TRUE(FakeHas("one/k"));
  EXPECT_EQ(other.Run(Request::Exists({"k", "one/k"})).n_ok, 0u);
  EXPECT_EQ(other.Run(Request::Get({"k"}, 1)).status, (Statuses{kMiss}));
  EXPECT_EQ(other.Run(Request::Delete({"k"})).status, (Statuses{kMiss}));
  EXPECT_EQ(one.Run(Request::Get({"k", "l"}, {1, 0})).status, (Statuses{kHit, kSize}));
  EXPECT_EQ(one.Run(Request::Set({"k"}, {"new"})).status, (Statuses{kHit}));
  EXPECT_EQ(one.Run(Request::Get({"k"}, 1)).status, (Statuses{kSize}));
  EXPECT_EQ(one.Run(Request::Delete({"k"})).status, (Statuses{kHit}));
}

TEST_F(MooncakeCalls, PutsOfOneKeyNeverRunTogether) {
  SharedHost host(Mooncake(), Config(R"("workers":8)"));
  const std::string value(1000, 'x');
  std::vector<std::thread> threads;
  std::atomic<int> failed{0};
  for (int t = 0; t < 8; t++) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < 50; round++) {
        SharedHost::Call set(4), get(4);
        std::vector<std::string> keys(4), out(4, std::string(1000, ' '));
        for (uint32_t i = 0; i < 4; i++) {
          keys[i] = "k" + std::to_string(static_cast<uint32_t>(round) * 4 + (i + static_cast<uint32_t>(t)) % 4);
          set.SetKey(i, keys[i]);
          set.SetBuf(i, const_cast<char *>(value.data()), value.size());
          get.SetKey(i, keys[i]);
          get.SetBuf(i, out[i].data(), out[i].size());
        }
        host.Run(SIXCALL_OP_SET, set);
        host.Run(SIXCALL_OP_GET, get);
        failed += set.n_ok != 4 || get.n_ok != 4 || out != std::vector<std::string>(4, value);
      }
    });
  }
  for (auto &thread : threads) thread.join();
  EXPECT_EQ(failed.load(), 0) << "what a set reported as stored was not there";
  EXPECT_EQ(FakeCollidingPuts(), 0);
}

// ---- values that are stored already

TEST_F(MooncakeCalls, CompareTellsWhetherTheStoredValueIsTheSame) {
  Connection connection(Mooncake(), Options(R"("existing":"compare")"));
  connection.Run(Request::Set({"a", "b", "c"}, {"same", "old!", "shorter"}));
  const int64_t puts = FakeKeys("batch_put_from");
  EXPECT_EQ(connection.Run(Request::Set({"a"}, {"same"})).status, (Statuses{kHit}));
  EXPECT_EQ(FakeKeys("batch_put_from"), puts) << "nothing to put";
  EXPECT_EQ(connection.Run(Request::Set({"b", "c", "d"}, {"new!", "a longer one", "fresh"})).status, (Statuses{kHit, kHit, kHit}));
  EXPECT_EQ(connection.Run(Request::Get({"b", "c", "d"}, {4, 12, 5})).values, (std::vector<std::string>{"new!", "a longer one", "fresh"}));
  EXPECT_EQ(Stat(connection, "sixcall_mooncake_existing_total{outcome=\"equal\"}"), 1);
  EXPECT_EQ(Stat(connection, "sixcall_mooncake_existing_total{outcome=\"replaced\"}"), 2);
}

TEST_F(MooncakeCalls, CompareRefusesWhatALeaseKeeps) {
  FakeLeases();
  Connection connection(Mooncake(), Options(R"("existing":"compare")"));
  connection.Run(Request::Set({"a"}, {"old"}));
  const Result result = connection.Run(Request::Set({"a", "b"}, {"new", "fresh"}));
  EXPECT_EQ(result.status, (Statuses{kRefused, kHit}));
  EXPECT_NE(result.err_text.find("another value is stored"), std::string::npos) << result.err_text;
  EXPECT_EQ(connection.Run(Request::Get({"a"}, 3)).values[0], "old");
  EXPECT_EQ(Stat(connection, "sixcall_mooncake_existing_total{outcome=\"refused\"}"), 1);
}

TEST_F(MooncakeCalls, ForceRemoveReplacesLeasedValues) {
  FakeLeases();
  Connection connection(Mooncake(), Options(R"("existing":"compare","force_remove":true)"));
  connection.Run(Request::Set({"a"}, {"old"}));
  EXPECT_EQ(connection.Run(Request::Set({"a"}, {"new"})).status, (Statuses{kHit}));
  EXPECT_EQ(connection.Run(Request::Get({"a"}, 3)).values[0], "new");
  EXPECT_EQ(connection.Run(Request::Delete({"a"})).status, (Statuses{kHit}));
}

TEST_F(MooncakeCalls, ReplaceRemovesWithoutLooking) {
  FakeLeases();
  Connection connection(Mooncake(), Options(R"("existing":"replace")"));
  connection.Run(Request::Set({"a", "b"}, {"old", "old"}));
  connection.Run(Request::Get({"b"}, 3));
  EXPECT_EQ(FakeCalls("batch_is_exist"), 0);
  EXPECT_EQ(connection.Run(Request::Set({"a", "b"}, {"new", "new"})).status, (Statuses{kHit, kRefused})) << "b was read";
  EXPECT_EQ(connection.Run(Request::Get({"a", "b"}, 3)).values, (std::vector<std::string>{"new", "old"}));
}

TEST_F(MooncakeCalls, KeepTrustsTheKeys) {
  Connection connection(Mooncake(), Options(R"("existing":"keep")"));
  connection.Run(Request::Set({"a"}, {"old"}));
  EXPECT_EQ(connection.Run(Request::Set({"a"}, {"new"})).status, (Statuses{kHit}));
  EXPECT_EQ(connection.Run(Request::Get({"a"}, 3)).values[0], "old");
  EXPECT_EQ(FakeCalls("batch_is_exist") + FakeCalls("remove"), 0);
}

TEST_F(MooncakeCalls, AStoredValueThatCannotBeReadIsNotClaimed) {
  Connection connection(Mooncake(), Options());
  connection.Run(Request::Set({"a", "b"}, {"1", "2"}));
  FakeResult("batch_get_into", -800);  // its node is dead, and the master does not know yet
  FakeResult("batch_get_into", -704);  // it went in between
  const int64_t puts = FakeKeys("batch_put_from");
  const Result result = connection.Run(Request::Set({"a", "b"}, {"1", "2"}));
  EXPECT_EQ(result.status, (Statuses{kError, kHit}));
  EXPECT_EQ(FakeKeys("batch_put_from"), puts + 1);
}

TEST_F(MooncakeCalls, APutThatHasBegunElsewhereIsNotClaimed) {
  Connection connection(Mooncake(), Options(R"("existing":"replace")"));
  FakeResult("remove", -703);
  EXPECT_EQ(connection.Run(Request::Set({"a"}, {"1"})).status, (Statuses{kRefused}));
  EXPECT_FALSE(FakeHas("a"));
}

// ---- delete

TEST_F(MooncakeCalls, DeleteReportsALease) {
  FakeLeases();
  Connection connection(Mooncake(), Options());
  connection.Run(Request::Set({"a", "b"}, {"1", "2"}));
  connection.Run(Request::Exists({"b"}));
  const Result result = connection.Run(Request::Delete({"a", "b", "none"}));
  EXPECT_EQ(result.status, (Statuses{kHit, kRefused, kMiss}));
  EXPECT_NE(result.err_text.find("it was read a moment ago"), std::string::npos) << result.err_text;
  EXPECT_TRUE(FakeHas("b"));
}

// ---- where values are stored

TEST_F(MooncakeCalls, ReplicationIsHandedOverOnlyIfItSaysSomething) {
  {
    Connection connection(Mooncake(), Options());
    connection.Run(Request::Set({"a"}, {"1"}));
    EXPECT_EQ(FakeLastConfig(), "none");
  }
  Connection connection(Mooncake(), Options(R"("replica_num":2,"soft_pin":true,"preferred_segments":["s1","s2"],"prefer_local_alloc":true)"));
  ASSERT_TRUE(connection.ok()) << connection.open_error();
  connection.Run(Request::Set({"b"}, {"1"}));
  EXPECT_EQ(FakeLastConfig(), "2|1|0|fake-segment:1|s1|s2");
}

TEST_F(MooncakeCalls, ComparedMemoryIsRegisteredWhereTheTransportWantsIt) {
  Connection connection(Mooncake(), Options(R"("protocol":"rdma","workers":1)"));
  std::string old_value = "old!", new_value = "new!", longer(9000, 'l');
  const auto memory = [&](std::string &s) {
    sixcall_memory m = {};
    m.struct_size = sizeof(m);
    m.base = s.data();
    m.len = s.size();
    m.fd = -1;
    return m;
  };
  uint64_t handles[3] = {};
  std::string *const texts[] = {&old_value, &new_value, &longer};
  for (int i = 0; i < 3; i++) {
    const sixcall_memory m = memory(*texts[i]);
    ASSERT_EQ(Mooncake()->register_memory(connection.handle(), &m, &handles[i], nullptr), SIXCALL_OK);
  }
  FakeWantsRegistered();
  const auto set = [&](std::string &value) {
    sixcall_item item = {reinterpret_cast<const uint8_t *>("k"), 1, 0, value.data(), value.size()};
    uint8_t status = SIXCALL_STATUS_UNSET;
    sixcall_batch batch = {};
    batch.struct_size = sizeof(batch);
    batch.n = 1;
    batch.item_stride = sizeof(item);
    batch.items = &item;
    batch.status = &status;
    EXPECT_EQ(Mooncake()->submit_batch_set(connection.handle(), &batch), SIXCALL_OK);
    sixcall_completion done = {};
    EXPECT_TRUE(Eventually([&] { return Mooncake()->drain_completions(connection.handle(), &done, 1, sizeof(done)) == 1; }));
    return status;
  };
  EXPECT_EQ(set(old_value), kHit);
  EXPECT_EQ(set(new_value), kHit);
  EXPECT_EQ(set(longer), kHit);
  EXPECT_EQ(set(longer), kHit);
  EXPECT_EQ(Stat(connection, "sixcall_mooncake_existing_total{outcome=\"replaced\"}"), 2);
  EXPECT_EQ(Stat(connection, "sixcall_mooncake_existing_total{outcome=\"equal\"}"), 1);
  EXPECT_EQ(FakeRegistered(), 4) << "three of the host's and the one to compare with";
  EXPECT_EQ(connection.Close(), SIXCALL_OK);
}

}  // namespace
}  // namespace sixcall_test
