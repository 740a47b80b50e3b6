// SPDX-License-Identifier: Apache-2.0
//
// Registered memory. The fake notices a request with memory that is not.
#include <sys/mman.h>

#include "harness/shared_host.h"
#include "nixl.h"

namespace sixcall_test {
namespace {

// Memory as a host registers it.
struct Arena {
  explicit Arena(size_t n) : size(n), data(static_cast<uint8_t *>(mmap(nullptr, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {}
  ~Arena() { munmap(data, size); }
  size_t size;
  uint8_t *data;
};

int32_t Register(SharedHost &host, const Arena &arena, size_t from, size_t len, uint64_t *handle) {
  sixcall_memory memory = {};
  memory.struct_size = sizeof(memory);
  memory.base = arena.data + from;
  memory.len = len;
  memory.fd = -1;
  sixcall_err err = {};
  err.struct_size = sizeof(err);
  return Nixl()->register_memory(host.handle(), &memory, handle, &err);
}

std::string Config(const TempFolder &folder, const std::string &backend) {
  return FileOptions(folder, ",\"workers\":2,\"backend\":\"" + backend + "\"").config;
}

// Stores and loads one value in the arena and one outside of it.
void StoreAndLoad(SharedHost &host, Arena &arena) {
  std::string outside = Pattern(5000, 1), loaded(5000, '\0');
  const std::string inside = Pattern(5000, 2);
  std::copy(inside.begin(), inside.end(), arena.data + 100);
  SharedHost::Call set(2), get(2);
  const std::string a = "a", b = "b";
  for (auto *call : {&set, &get}) call->SetKey(0, a), call->SetKey(1, b);
  set.SetBuf(0, arena.data + 100, 5000);
  set.SetBuf(1, outside.data(), 5000);
  get.SetBuf(0, arena.data + 20000, 5000);
  get.SetBuf(1, loaded.data(), 5000);
  host.Run(SIXCALL_OP_SET, set);
  host.Run(SIXCALL_OP_GET, get);
  ASSERT_EQ(set.n_ok, 2u);
  ASSERT_EQ(get.n_ok, 2u);
  EXPECT_EQ(loaded, outside);
  EXPECT_EQ(std::string(arena.data + 20000, arena.data + 25000), inside);
}

TEST(NixlMemory, IsMovedInPlaceWhereItIsRegisteredAndBouncedElsewhere) {
  Fake fake;
  TempFolder folder;
  Arena arena(1 << 20);
  SharedHost host(Nixl(), Config(folder, "DIRECT"));
  uint64_t handle = 0;
  StoreAndLoad(host, arena);
  ASSERT_EQ(Register(host, arena, 0, 1 << 20, &handle), SIXCALL_OK);
  StoreAndLoad(host, arena);
  EXPECT_EQ(Nixl()->unregister_memory(host.handle(), handle), SIXCALL_OK);
  StoreAndLoad(host, arena);
  EXPECT_EQ(Nixl()->unregister_memory(host.handle(), handle), SIXCALL_E_INVAL);
}

TEST(NixlMemory, NeedsNoRegistrationWithPosix) {
  Fake fake;
  TempFolder folder;
  Arena arena(1 << 20);
  SharedHost host(Nixl(), Config(folder, "POSIX"));
  ASSERT_TRUE(Eventually([&] { return fake.Registrations() == 2; })) << "one of each agent, which spans all memory";
  uint64_t handle = 0;
  ASSERT_EQ(Register(host, arena, 0, 1 << 20, &handle), SIXCALL_OK);
  EXPECT_NE(handle, 0u);
  StoreAndLoad(host, arena);
  EXPECT_EQ(fake.Registrations(), 2);
}

TEST(NixlMemory, RangesMayNotOverlap) {
  Fake fake;
  TempFolder folder;
  Arena arena(1 << 20);
  SharedHost host(Nixl(), Config(folder, "DIRECT"));
  uint64_t one = 0, two = 0, three = 0;
  ASSERT_EQ(Register(host, arena, 0, 65536, &one), SIXCALL_OK);
  EXPECT_EQ(Register(host, arena, 65535, 10, &two), SIXCALL_E_INVAL);
  EXPECT_EQ(Register(host, arena, 65536, 10, &two), SIXCALL_OK);
  EXPECT_EQ(Nixl()->unregister_memory(host.handle(), one), SIXCALL_OK);
  EXPECT_EQ(Register(host, arena, 0, 65536, &three), SIXCALL_OK);
}

TEST(NixlMemory, IsRegisteredWithTheAgentsOfLaterAsWell) {
  Fake fake;
  TempFolder folder;
  Arena arena(1 << 20);
  SharedHost host(Nixl(), Config(folder, "DIRECT"));
  uint64_t handle = 0;
  ASSERT_EQ(Register(host, arena, 0, 1 << 20, &handle), SIXCALL_OK);
  StoreAndLoad(host, arena);
  const long made = fake.Counts().agents_made;
  fake.Kill();
  std::string value = "v";
  const std::string key = "k";
  SharedHost::Call set(1);
  set.SetKey(0, key);
  set.SetBuf(0, value.data(), 1);
  ASSERT_TRUE(Eventually([&] {
    host.Run(SIXCALL_OP_SET, set);
    return fake.Counts().agents_made >= made + 2 && set.n_ok == 1;
  }));
  StoreAndLoad(host, arena);
}

TEST(NixlMemory, ComesAndGoesWhileBatchesRun) {
  Fake fake;
  TempFolder folder;
  Arena arena(1 << 20), other(1 << 20);
  SharedHost host(Nixl(), Config(folder, "DIRECT"));
  std::atomic<bool> stop{false};
  std::thread registrar([&] {
    while (!stop) {
      uint64_t handle = 0;
      EXPECT_EQ(Register(host, other, 0, other.size, &handle), SIXCALL_OK);
      EXPECT_EQ(Nixl()->unregister_memory(host.handle(), handle), SIXCALL_OK);
    }
  });
  for (int i = 0; i < 100; ++i) StoreAndLoad(host, arena);
  stop = true;
  registrar.join();
}

}  // namespace
}  // namespace sixcall_test
