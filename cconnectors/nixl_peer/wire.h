// SPDX-License-Identifier: Apache-2.0
//
// What peers say to each other over TCP, beside the transfers of NIXL. Little endian.
//
//   hello      client  kMagic
//              server  kMagic, u16 length and text of its agent's name, u32 length and bytes of NIXL's metadata
//   request    client  u8 operation, u16 length of the key, key
//   answer     server  u8 status (0 absent, 1 there), u64 length, u64 address, u64 hash; none to kRelease
//
// kGet leases the value to the connection until kRelease, the next kGet, or its end.
#ifndef SIXCALL_NIXL_PEER_WIRE_H
#define SIXCALL_NIXL_PEER_WIRE_H

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

namespace nixl_peer {

constexpr char kMagic[] = "6CPEER01";
constexpr size_t kMagicBytes = 8;
constexpr size_t kMaxKey = 4096;  // bytes
constexpr size_t kMaxName = 256;
constexpr size_t kMaxMetadata = 1 << 20;

enum class Op : uint8_t { kExists = 'E', kGet = 'G', kRelease = 'R' };

struct Answer {
  bool found = false;
  uint64_t len = 0, address = 0, hash = 0;
};
constexpr size_t kAnswerBytes = 25;

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "what is sent is little endian");

template <class T>
void Append(std::string& out, T value) {
  static_assert(std::is_integral<T>::value, "numbers only");
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

template <class T>
T Take(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

inline std::string Request(Op op, std::string_view key) {
  std::string out;
  Append(out, static_cast<uint8_t>(op));
  Append(out, static_cast<uint16_t>(key.size()));
  out.append(key);
  return out;
}

inline std::string Packed(const Answer& a) {
  std::string out;
  Append(out, static_cast<uint8_t>(a.found));
  Append(out, a.len);
  Append(out, a.address);
  Append(out, a.hash);
  return out;
}

inline Answer Unpacked(const char* from) {
  return {from[0] == 1, Take<uint64_t>(from + 1), Take<uint64_t>(from + 9), Take<uint64_t>(from + 17)};
}

}  // namespace nixl_peer

#endif  // SIXCALL_NIXL_PEER_WIRE_H
