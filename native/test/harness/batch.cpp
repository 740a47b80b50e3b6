// SPDX-License-Identifier: Apache-2.0
#include "batch.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace sixcall_test {
namespace {

constexpr uint8_t kItemGap = 0xEE;  // between items that are further apart than their size

std::string Bytes(const GuardedMemory &memory) {
  return std::string(reinterpret_cast<const char *>(memory.data()), memory.size());
}

GuardedMemory CopyOf(const std::string &bytes, Edge edge, const std::string &name) {
  GuardedMemory memory(bytes.size(), edge, name);
  if (!bytes.empty()) std::memcpy(memory.data(), bytes.data(), bytes.size());
  return memory;
}

const char *OpText(uint32_t op) {
  static const char *const kNames[] = {"?", "get", "set", "exists", "delete", "ping", "list"};
  return op <= SIXCALL_OP_LIST ? kNames[op] : kNames[0];
}

}  // namespace

Request Request::Get(std::vector<std::string> keys, std::vector<uint64_t> lens) {
  Request request;
  request.op = SIXCALL_OP_GET;
  request.keys = std::move(keys);
  request.lens = std::move(lens);
  return request;
}

Request Request::Get(std::vector<std::string> keys, uint64_t len) {
  const size_t n = keys.size();
  return Get(std::move(keys), std::vector<uint64_t>(n, len));
}

Request Request::Set(std::vector<std::string> keys, std::vector<std::string> values) {
  Request request;
  request.op = SIXCALL_OP_SET;
  request.keys = std::move(keys);
  request.values = std::move(values);
  return request;
}

Request Request::Exists(std::vector<std::string> keys) {
  Request request;
  request.op = SIXCALL_OP_EXISTS;
  request.keys = std::move(keys);
  return request;
}

Request Request::Delete(std::vector<std::string> keys) {
  Request request;
  request.op = SIXCALL_OP_DELETE;
  request.keys = std::move(keys);
  return request;
}

Request Request::Ping() {
  Request request;
  request.op = SIXCALL_OP_PING;
  return request;
}

Request Request::List(uint64_t page_cap, std::string cursor) {
  Request request;
  request.op = SIXCALL_OP_LIST;
  request.page_cap = page_cap;
  request.cursor = std::move(cursor);
  return request;
}

LentBatch::LentBatch(const Request &request, uint64_t ticket)
    : ticket_(ticket),
      op_(request.op),
      n_(static_cast<uint32_t>(request.keys.size())),
      item_stride_(request.item_stride),
      fill_(static_cast<uint8_t>(request.fill.empty() ? 0 : request.fill[0])),
      edge_(request.edge),
      batch_tail_(request.batch_tail) {
  const Edge edge = request.edge;
  const std::string of = std::string(" of ") + OpText(op_) + " ticket " + std::to_string(ticket);
  if (op_ == SIXCALL_OP_GET && request.lens.size() != n_) throw std::logic_error("a get needs a length per key");
  if (op_ == SIXCALL_OP_SET && request.values.size() != n_) throw std::logic_error("a set needs a value per key");

  batch_.struct_size = static_cast<uint32_t>(sizeof(batch_)) + batch_tail_;
  batch_.flags = request.flags;
  batch_.ticket = ticket;
  batch_.n = n_;
  batch_.item_stride = item_stride_;
  batch_.deadline_ns = request.deadline_ns;
  batch_.mem_handle = request.mem_handle;

  for (uint32_t i = 0; i < n_; ++i) {
    const std::string at = " " + std::to_string(i) + of;
    keys_.push_back(CopyOf(request.keys[i], edge, "key" + at));
    if (op_ == SIXCALL_OP_GET) {
      bufs_.emplace_back(request.lens[i], edge, "buf" + at);
      std::memset(bufs_.back().data(), fill_, bufs_.back().size());
    } else if (op_ == SIXCALL_OP_SET) {
      bufs_.push_back(CopyOf(request.values[i], edge, "value" + at));
    }
  }
  if (n_ > 0) {
    // The last item has its size only, not its stride: nothing may read the gap.
    items_ = GuardedMemory(size_t{item_stride_} * (n_ - 1) + sizeof(sixcall_item), edge, "items" + of);
    std::memset(items_.data(), kItemGap, items_.size());
    for (uint32_t i = 0; i < n_; ++i) {
      sixcall_item item = {};
      item.key = keys_[i].data();
      item.key_len = static_cast<uint32_t>(keys_[i].size());
      if (!bufs_.empty()) {
        item.buf = bufs_[i].data();
        item.len = bufs_[i].size();
      }
      std::memcpy(items_.data() + size_t{item_stride_} * i, &item, sizeof(item));
    }
    status_ = GuardedMemory(n_, edge, "status" + of);
    std::memset(status_.data(), SIXCALL_STATUS_UNSET, n_);
    batch_.items = reinterpret_cast<const sixcall_item *>(items_.data());
    batch_.status = status_.data();
    if (request.value_lens) {
      value_lens_ = GuardedMemory(size_t{n_} * sizeof(uint64_t), edge, "value_lens" + of);
      std::memset(value_lens_.data(), 0xEE, value_lens_.size());
      batch_.value_lens = reinterpret_cast<uint64_t *>(value_lens_.data());
    }
  }
  if (request.err) {
    err_ = GuardedMemory(sizeof(sixcall_err), edge, "err" + of);
    reinterpret_cast<sixcall_err *>(err_.data())->struct_size = sizeof(sixcall_err);
    batch_.err = reinterpret_cast<sixcall_err *>(err_.data());
  }
  if (op_ == SIXCALL_OP_LIST) {
    page_ = GuardedMemory(sizeof(sixcall_page), edge, "page" + of);
    // Entries are 8-byte aligned, so the buffer starts where its page does.
    page_buf_ = GuardedMemory(request.page_cap, Edge::kStart, "page buffer" + of);
    std::memset(page_buf_.data(), fill_, page_buf_.size());
    sixcall_page *out = page();
    out->struct_size = sizeof(*out);
    out->buf = page_buf_.data();
    out->cap = request.page_cap;
    out->cursor_len = static_cast<uint32_t>(request.cursor.size());
    std::memcpy(out->cursor, request.cursor.data(), std::min(request.cursor.size(), sizeof(out->cursor)));
  }
  for (const GuardedMemory &buf : bufs_) originals_.push_back(Bytes(buf));
  ForAll(Access::kNone);
}

void LentBatch::ForAll(Access access) {
  for (GuardedMemory *memory : {&items_, &status_, &value_lens_, &err_, &page_, &page_buf_}) {
    memory->Protect(access);
  }
  for (GuardedMemory &key : keys_) key.Protect(access);
  for (GuardedMemory &buf : bufs_) buf.Protect(access);
}

void LentBatch::Lend() {
  ForAll(Access::kReadWrite);
  items_.Protect(Access::kRead);
  for (GuardedMemory &key : keys_) key.Protect(Access::kRead);
  if (op_ == SIXCALL_OP_SET) {
    for (GuardedMemory &buf : bufs_) buf.Protect(Access::kRead);
  }
}

GuardedMemory LentBatch::MakeStruct() const {
  GuardedMemory memory(sizeof(batch_) + batch_tail_, edge_,
                       std::string("batch struct of ") + OpText(op_) + " ticket " + std::to_string(ticket_));
  std::memset(memory.data(), 0xEE, memory.size());
  std::memcpy(memory.data(), &batch_, sizeof(batch_));
  memory.Protect(Access::kRead);
  return memory;
}

// Only memory that the connector may write can be damaged beside it.
std::string LentBatch::Damage() const {
  if (!status_.SlackIntact()) return "wrote beside the status bytes";
  if (!value_lens_.SlackIntact()) return "wrote beside value_lens";
  if (!err_.SlackIntact()) return "wrote beside err";
  if (!page_.SlackIntact() || !page_buf_.SlackIntact()) return "wrote beside the page";
  for (size_t i = 0; i < bufs_.size(); ++i) {
    if (op_ == SIXCALL_OP_GET && !bufs_[i].SlackIntact()) return "wrote beside buf " + std::to_string(i);
  }
  return "";
}

std::string LentBatch::TakeBackRefused() {
  std::string what = Damage();
  const auto filled = [](const GuardedMemory &memory, uint8_t byte, size_t from = 0) {
    return std::all_of(memory.data() + from, memory.data() + memory.size(), [&](uint8_t b) { return b == byte; });
  };
  if (!filled(status_, SIXCALL_STATUS_UNSET)) what = "a refused batch has a status byte";
  if (!filled(value_lens_, 0xEE)) what = "a refused batch has a value length";
  if (!filled(err_, 0, err_.size() > 0 ? sizeof(uint32_t) : 0)) what = "a refused batch has an error text";
  if (!filled(page_buf_, fill_)) what = "a refused list has a page";
  for (size_t i = 0; i < bufs_.size(); ++i) {
    if (Bytes(bufs_[i]) != originals_[i]) what = "a refused batch has a value";
  }
  ForAll(Access::kNone);
  return what;
}

void LentBatch::CopyPage(Result *result) const {
  const sixcall_page &from = *page();
  result->last_page = (from.flags & SIXCALL_PAGE_LAST) != 0;
  if (from.cursor_len > sizeof(from.cursor)) throw std::runtime_error("list: cursor_len is over the cursor's size");
  result->cursor.assign(reinterpret_cast<const char *>(from.cursor), from.cursor_len);
  if (from.used > from.cap) throw std::runtime_error("list: used is over cap");
  const uint8_t *in = from.buf;
  const uint8_t *end = from.buf + from.used;
  for (uint32_t i = 0; i < from.n; ++i) {
    uint32_t head[2];
    ListedKey entry;
    if (static_cast<size_t>(end - in) < 16) throw std::runtime_error("list: an entry is cut short");
    std::memcpy(head, in, sizeof(head));
    std::memcpy(&entry.value_len, in + 8, sizeof(entry.value_len));
    const size_t padded = (size_t{head[0]} + 7) / 8 * 8;
    if (head[1] != 0) throw std::runtime_error("list: a reserved field is not 0");
    if (static_cast<size_t>(end - in) < 16 + padded) throw std::runtime_error("list: a key is cut short");
    entry.key.assign(reinterpret_cast<const char *>(in + 16), head[0]);
    if (!std::all_of(in + 16 + head[0], in + 16 + padded, [](uint8_t b) { return b == 0; })) {
      throw std::runtime_error("list: padding is not 0");
    }
    in += 16 + padded;
    result->listed.push_back(std::move(entry));
  }
  if (in != end) throw std::runtime_error("list: used counts more than the entries");
  const uint8_t *limit = from.buf + from.cap;
  if (!std::all_of(end, limit, [this](uint8_t b) { return b == fill_; })) {
    throw std::runtime_error("list: wrote past used");
  }
}

Result LentBatch::TakeBack(const sixcall_completion &completion, std::string *violation) {
  Result result;
  result.ticket = completion.ticket;
  result.rc = completion.rc;
  result.op = completion.op;
  result.n_ok = completion.n_ok;
  result.done_ns = completion.done_ns;
  *violation = Damage();
  result.status.assign(status_.data(), status_.data() + status_.size());
  if (op_ == SIXCALL_OP_GET) {
    for (size_t i = 0; i < bufs_.size(); ++i) {
      result.values.push_back(Bytes(bufs_[i]));
      if (result.status[i] == SIXCALL_STATUS_MISS && result.values[i] != originals_[i]) {
        *violation = "a miss has changed buf " + std::to_string(i);
      }
    }
  }
  if (value_lens_.size() > 0) {
    result.value_lens.resize(n_);
    std::memcpy(result.value_lens.data(), value_lens_.data(), value_lens_.size());
  }
  if (err_.size() > 0) {
    const auto &err = *reinterpret_cast<const sixcall_err *>(err_.data());
    result.err_code = err.code;
    if (err.len >= sizeof(err.msg) || err.msg[err.len] != '\0') {
      *violation = "err.msg is not NUL-terminated at len";
    } else {
      result.err_text.assign(err.msg, err.len);
    }
  }
  if (op_ == SIXCALL_OP_LIST && completion.rc == SIXCALL_OK) {
    try {
      CopyPage(&result);
    } catch (const std::runtime_error &error) {
      *violation = error.what();
    }
  }
  for (const uint8_t status : result.status) {
    if (status > SIXCALL_STATUS_CORRUPT) *violation = "status byte " + std::to_string(status) + " is not defined";
  }
  const auto hits = std::count(result.status.begin(), result.status.end(), uint8_t{SIXCALL_STATUS_HIT});
  if (static_cast<uint32_t>(hits) != result.n_ok) *violation = "n_ok is not the number of hits";
  if (result.op != op_) *violation = "the completion names another operation";
  Close();
  return result;
}

void LentBatch::Close() { ForAll(Access::kNone); }

}  // namespace sixcall_test
