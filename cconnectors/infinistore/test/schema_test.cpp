// SPDX-License-Identifier: Apache-2.0
// The fixed layout of the requests, read and verified by the FlatBuffers library with
// what flatc makes of infinistore.fbs. The server aborts on a malformed one.
#include <gtest/gtest.h>

#include <string>

#include "infinistore_generated.h"
#include "infinistore_wire.h"

namespace {

// The body, in memory that is aligned as the library wants it.
struct Body {
  explicit Body(const std::string &request) : bytes(request.substr(infinistore::kHeaderBytes)), words(bytes.size() / 8 + 1) {
    std::memcpy(words.data(), bytes.data(), bytes.size());
  }
  const uint8_t *data() const { return reinterpret_cast<const uint8_t *>(words.data()); }
  flatbuffers::Verifier Verifier() const { return flatbuffers::Verifier(data(), bytes.size()); }
  std::string bytes;
  std::vector<uint64_t> words;
};

void CheckHeader(const std::string &request, char op) {
  EXPECT_EQ(static_cast<uint32_t>(infinistore::ReadI32(reinterpret_cast<const uint8_t *>(request.data()))), infinistore::kMagic);
  EXPECT_EQ(request[4], op);
  EXPECT_EQ(static_cast<size_t>(infinistore::ReadI32(reinterpret_cast<const uint8_t *>(request.data()) + 5)),
            request.size() - infinistore::kHeaderBytes);
}

TEST(InfiniStoreSchema, EveryKeyLengthIsWellFormed) {
  for (size_t len = 1; len <= 4096; len += len < 70 ? 1 : 61) {
    std::string key(len, 'k');
    key[len / 2] = 0;  // any byte is allowed
    std::string request;

    infinistore::WritePut(key, infinistore::kMaxWireValue, &request);
    CheckHeader(request, 'L');
    const Body put(request);
    auto verifier = put.Verifier();
    ASSERT_TRUE(verifier.VerifyBuffer<infinistore::schema::PayloadRequest>(nullptr)) << len;
    const auto *p = flatbuffers::GetRoot<infinistore::schema::PayloadRequest>(put.data());
    EXPECT_EQ(p->key()->str(), key);
    EXPECT_EQ(p->value_length(), 0x7FFFFFFF);
    EXPECT_EQ(p->op(), 'P');

    infinistore::WriteGet(key, &request);
    CheckHeader(request, 'L');
    const Body get(request);
    auto get_verifier = get.Verifier();
    ASSERT_TRUE(get_verifier.VerifyBuffer<infinistore::schema::PayloadRequest>(nullptr)) << len;
    const auto *g = flatbuffers::GetRoot<infinistore::schema::PayloadRequest>(get.data());
    EXPECT_EQ(g->key()->str(), key);
    EXPECT_EQ(g->value_length(), 0);
    EXPECT_EQ(g->op(), 'G');

    infinistore::WriteDelete(key, &request);
    CheckHeader(request, 'X');
    const Body erase(request);
    auto erase_verifier = erase.Verifier();
    ASSERT_TRUE(erase_verifier.VerifyBuffer<infinistore::schema::DeleteRequest>(nullptr)) << len;
    const auto *x = flatbuffers::GetRoot<infinistore::schema::DeleteRequest>(erase.data());
    ASSERT_EQ(x->keys()->size(), 1u);
    EXPECT_EQ(x->keys()->Get(0)->str(), key);
  }
}

}  // namespace
