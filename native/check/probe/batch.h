// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_PROBE_BATCH_H
#define SIXCALL_PROBE_BATCH_H

#include <memory>
#include <string>
#include <vector>

#include "memory.h"
#include "sixcall/connector.h"

namespace probe {

/// What to submit.
struct Spec {
  uint32_t op = SIXCALL_OP_GET;
  std::vector<std::string> keys;
  std::vector<std::string> values;  ///< SET: one per key
  std::vector<uint64_t> lens;       ///< GET: sizes wanted, one per key
  bool value_lens = false;
  bool err = true;
  uint32_t stride = sizeof(sixcall_item);
  uint32_t tail = 0;  ///< bytes of a later host's fields behind the batch struct, not zero
  uint32_t flags = 0;
  uint64_t deadline_ns = 0;
  uint64_t mem_handle = 0;
  std::vector<uint8_t*> bufs;  ///< where values are, instead of memory of the batch's own
  uint64_t ticket = 0;
  bool own_ticket = false;  ///< ticket is given
  Edge edge = Edge::kEnd;
  uint32_t align = 1;          ///< of bufs
  uint32_t misalign = 0;       ///< bytes from that alignment
  uint64_t page_cap = 0;       ///< LIST
  std::string cursor;          ///< LIST

  static Spec Set(std::vector<std::string> keys, std::vector<std::string> values);
  static Spec Get(std::vector<std::string> keys, std::vector<uint64_t> lens);
  static Spec Exists(std::vector<std::string> keys);
  static Spec Delete(std::vector<std::string> keys);
  static Spec Ping();
};

struct ListedKey {
  std::string key;
  uint64_t len;
};

/// How a ticket ended.
struct Result {
  uint64_t ticket = 0;
  int32_t rc = 0;
  uint32_t op = 0;
  uint32_t n_ok = 0;
  uint64_t done_ns = 0, submitted_ns = 0, drained_ns = 0;
  std::vector<uint8_t> status;
  std::vector<std::string> values;  ///< GET
  std::vector<uint64_t> value_lens;
  int32_t err_code = 0;
  std::string err_text;
  std::vector<ListedKey> listed;  ///< LIST
  std::string cursor;
  bool last_page = false;
};

const char* OpText(uint32_t op);

/// The memory of one submission, lent to the connector and taken back.
class Lent {
 public:
  Lent(const Spec& spec, uint64_t ticket);
  uint64_t ticket() const { return ticket_; }
  uint32_t op() const { return op_; }
  uint32_t n() const { return n_; }
  uint64_t submitted_ns = 0;

  /// Keys, items and the values of SET become read-only.
  void Lend();
  /// The batch struct, guarded and read-only; it is valid during the submit only.
  Guarded MakeStruct() const;
  sixcall_page* page() const { return reinterpret_cast<sixcall_page*>(page_.data()); }

  /// Checks the completion and everything around the memory, copies the result, and
  /// makes all memory inaccessible. "" = all is well.
  std::string TakeBack(const sixcall_completion& done, Result* result);
  /// The same for a batch that was refused: nothing may have been written.
  std::string TakeBackRefused();
  /// Makes all memory inaccessible.
  void Close(const char* why);

 private:
  void MakeItems(const Spec& spec);
  void ForAll(int access, const char* why);
  std::string Damage() const;
  std::string Values(Result* result) const;
  std::string Page(Result* result) const;
  std::string Text(const char* what) const;
  const uint8_t* BufOf(size_t i) const { return bufs_at_[i]; }

  uint64_t ticket_;
  uint32_t op_, n_;
  uint8_t fill_;
  sixcall_batch batch_ = {};
  uint32_t tail_;
  Guarded items_, status_, lens_, err_, page_, page_buf_;
  std::vector<Guarded> keys_, bufs_;
  std::vector<uint8_t*> bufs_at_;
  std::vector<uint64_t> sizes_;
};

}  // namespace probe

#endif  // SIXCALL_PROBE_BATCH_H
