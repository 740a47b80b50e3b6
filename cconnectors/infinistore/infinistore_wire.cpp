// SPDX-License-Identifier: Apache-2.0
#include "infinistore_wire.h"

namespace infinistore {

namespace {

void Put16(uint32_t v, std::string* out) {
  out->push_back(static_cast<char>(v & 0xFF));
  out->push_back(static_cast<char>(v >> 8 & 0xFF));
}
void Put32(uint32_t v, std::string* out) {
  Put16(v & 0xFFFF, out);
  Put16(v >> 16, out);
}

void Header(char op, size_t body, std::string* out) {
  out->clear();
  Put32(kMagic, out);
  out->push_back(op);
  Put32(static_cast<uint32_t>(body), out);
}

/// A FlatBuffers string: length, bytes, NUL, and zeros up to a multiple of 4.
size_t StringBytes(std::string_view text) { return 4 + (text.size() + 1 + 3) / 4 * 4; }
void String(std::string_view text, std::string* out) {
  Put32(static_cast<uint32_t>(text.size()), out);
  out->append(text);
  out->append(StringBytes(text) - 4 - text.size(), '\0');
}

/// PayloadRequest, laid out as: offset of the table, vtable, table, key.
void Payload(std::string_view key, uint32_t value_len, char op, std::string* out) {
  Header('L', 32 + StringBytes(key), out);
  Put32(16, out);  // the table is 16 bytes ahead
  Put16(10, out);  // vtable: its size,
  Put16(16, out);  //   the table's size,
  Put16(4, out);   //   where key,
  Put16(8, out);   //   value_length
  Put16(12, out);  //   and op are in the table
  Put16(0, out);   // padding
  Put32(12, out);  // table: its vtable is 12 bytes back,
  Put32(12, out);  //   key is 12 bytes ahead
  Put32(value_len, out);
  Put32(static_cast<uint8_t>(op), out);  // with 3 bytes of padding
  String(key, out);
}

}  // namespace

const char* CodeText(int32_t code) {
  switch (code) {
    case kCodeDone: return "done";
    case 202: return "accepted";
    case 400: return "invalid request";
    case kCodeNotFound: return "no such key";
    case 408: return "try again";
    case 500: return "internal error";
    case 503: return "system error";
    case kCodeNoMemory: return "out of memory";
    default: return "unknown code";
  }
}

void WritePut(std::string_view key, uint64_t value_len, std::string* out) {
  Payload(key, static_cast<uint32_t>(value_len), 'P', out);
}

void WriteGet(std::string_view key, std::string* out) { Payload(key, 0, 'G', out); }

void WriteExists(std::string_view key, std::string* out) {
  Header('C', key.size(), out);
  out->append(key);  // no FlatBuffer here
}

/// DeleteRequest with one key, laid out as: offset of the table, vtable, table,
/// vector, key. One, because the answer to several does not say which were there.
void WriteDelete(std::string_view key, std::string* out) {
  Header('X', 28 + StringBytes(key), out);
  Put32(12, out);  // the table is 12 bytes ahead
  Put16(6, out);   // vtable: its size,
  Put16(8, out);   //   the table's size,
  Put16(4, out);   //   where keys is in the table
  Put16(0, out);   // padding
  Put32(8, out);   // table: its vtable is 8 bytes back,
  Put32(4, out);   //   keys is 4 bytes ahead
  Put32(1, out);   // vector: one string,
  Put32(4, out);   //   4 bytes ahead
  String(key, out);
}

bool LooksLikeRequest(const uint8_t* value, uint64_t len) {
  return len >= 4 && static_cast<uint32_t>(ReadI32(value)) == kMagic;
}

}  // namespace infinistore
