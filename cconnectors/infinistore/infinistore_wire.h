// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_INFINISTORE_WIRE_H
#define SIXCALL_INFINISTORE_WIRE_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace infinistore {

// A request is a header of 9 bytes (magic, op, body size), a body, and for a put
// the value. Little-endian. An answer begins with a code.

constexpr uint32_t kMagic = 0xDEADBEEF;
constexpr size_t kHeaderBytes = 9;

/// What a value may have at most on the wire: its length is an int32.
constexpr uint64_t kMaxWireValue = 0x7FFFFFFF;

/// Codes of answers.
constexpr int32_t kCodeDone = 200;
constexpr int32_t kCodeNotFound = 404;
constexpr int32_t kCodeNoMemory = 507;

/// The words of a code, for messages.
const char* CodeText(int32_t code);

/// Each writes one request, without the value, over *out. The key is not empty
/// and value_len is 1..kMaxWireValue: other requests hang the server.
void WritePut(std::string_view key, uint64_t value_len, std::string* out);
void WriteGet(std::string_view key, std::string* out);
void WriteExists(std::string_view key, std::string* out);
void WriteDelete(std::string_view key, std::string* out);

/// Whether a value begins like a request. A server that has no room for a put
/// reads the value as the next request, and would obey it.
bool LooksLikeRequest(const uint8_t* value, uint64_t len);

inline int32_t ReadI32(const uint8_t* p) {
  return static_cast<int32_t>(uint32_t{p[0]} | uint32_t{p[1]} << 8 | uint32_t{p[2]} << 16 | uint32_t{p[3]} << 24);
}

}  // namespace infinistore

#endif  // SIXCALL_INFINISTORE_WIRE_H
