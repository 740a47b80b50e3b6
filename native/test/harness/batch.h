// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_TEST_HARNESS_BATCH_H
#define SIXCALL_TEST_HARNESS_BATCH_H

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "guard.h"
#include "sixcall/connector.h"

namespace sixcall_test {

// What a test asks for, in ordinary memory. Strings are bytes of any value.
struct Request {
  uint32_t op = SIXCALL_OP_GET;
  std::vector<std::string> keys;
  std::vector<std::string> values;  // SET: one per key
  std::vector<uint64_t> lens;       // GET: one per key
  std::string fill = "\xA5";        // GET: first byte fills the buffers
  uint64_t page_cap = 0;            // LIST: bytes of the page's buffer
  std::string cursor;               // LIST: as the page before left it

  // How it is asked.
  std::optional<uint64_t> ticket;  // else the connection numbers them
  Edge edge = Edge::kEnd;
  uint32_t item_stride = sizeof(sixcall_item);
  uint32_t batch_tail = 0;  // bytes of 0xEE behind the batch struct, counted in its struct_size
  bool value_lens = false;
  bool err = true;
  uint64_t deadline_ns = 0;
  uint32_t flags = 0;
  uint64_t mem_handle = 0;

  static Request Get(std::vector<std::string> keys, std::vector<uint64_t> lens);
  static Request Get(std::vector<std::string> keys, uint64_t len);
  static Request Set(std::vector<std::string> keys, std::vector<std::string> values);
  static Request Exists(std::vector<std::string> keys);
  static Request Delete(std::vector<std::string> keys);
  static Request Ping();
  static Request List(uint64_t page_cap, std::string cursor = "");
};

// One entry of a list page.
struct ListedKey {
  std::string key;
  uint64_t value_len;
};

// How a batch ended, copied out of the lent memory.
struct Result {
  uint64_t ticket = 0;
  int32_t rc = 0;
  uint32_t op = 0;
  uint32_t n_ok = 0;
  uint64_t done_ns = 0;
  std::vector<uint8_t> status;
  std::vector<std::string> values;   // GET
  std::vector<uint64_t> value_lens;  // when asked for
  int32_t err_code = 0;
  std::string err_text;
  std::vector<ListedKey> listed;  // LIST
  std::string cursor;
  bool last_page = false;
};

// A request in guarded memory: what the host lends to a connector. From Lend to
// TakeBack the items, the keys and the bufs of SET may be read, and the status
// bytes, value lengths, error, page and the bufs of GET may be written; before
// and after nobody may touch anything.
class LentBatch {
 public:
  LentBatch(const Request &request, uint64_t ticket);

  uint64_t ticket() const { return ticket_; }
  uint32_t op() const { return op_; }
  uint32_t n() const { return n_; }

  // Opens the memory.
  void Lend();

  // The batch struct, read-only. It belongs to the submit call and not to the
  // batch: a completion may be drained while the call still runs.
  GuardedMemory MakeStruct() const;
  sixcall_page *page() const { return reinterpret_cast<sixcall_page *>(page_.data()); }

  // After a refusal: closes everything. Returns what was written, "" if nothing.
  std::string TakeBackRefused();

  // After the completion: copies the results and closes everything.
  Result TakeBack(const sixcall_completion &completion, std::string *violation);

  // Closes everything without looking, as after close().
  void Close();

 private:
  void ForAll(Access access);
  std::string Damage() const;
  void CopyPage(Result *result) const;

  uint64_t ticket_;
  uint32_t op_;
  uint32_t n_;
  uint32_t item_stride_;
  uint8_t fill_;
  Edge edge_;
  uint32_t batch_tail_;
  sixcall_batch batch_ = {};
  GuardedMemory items_;
  GuardedMemory status_;
  GuardedMemory value_lens_;
  GuardedMemory err_;
  GuardedMemory page_;
  GuardedMemory page_buf_;
  std::vector<GuardedMemory> keys_;
  std::vector<GuardedMemory> bufs_;
  std::vector<std::string> originals_;  // bytes of bufs when lent, to compare after a refusal or a miss
};

}  // namespace sixcall_test

#endif  // SIXCALL_TEST_HARNESS_BATCH_H
