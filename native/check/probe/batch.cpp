// SPDX-License-Identifier: Apache-2.0
#include "batch.h"

#include <algorithm>
#include <cstring>

#include "core.h"

namespace probe {
namespace {

constexpr uint8_t kLensFill = 0xEE;
constexpr size_t kEachApart = 24;  // keys up to which each has mappings of its own

bool Filled(const uint8_t* p, size_t n, uint8_t byte) {
  for (size_t i = 0; i < n; i++) {
    if (p[i] != byte) return false;
  }
  return true;
}

}  // namespace

Spec Spec::Set(std::vector<std::string> keys, std::vector<std::string> values) {
  Spec s;
  s.op = SIXCALL_OP_SET;
  s.keys = std::move(keys);
  s.values = std::move(values);
  return s;
}
Spec Spec::Get(std::vector<std::string> keys, std::vector<uint64_t> lens) {
  Spec s;
  s.op = SIXCALL_OP_GET;
  s.keys = std::move(keys);
  s.lens = std::move(lens);
  return s;
}
Spec Spec::Exists(std::vector<std::string> keys) {
  Spec s;
  s.op = SIXCALL_OP_EXISTS;
  s.keys = std::move(keys);
  return s;
}
Spec Spec::Delete(std::vector<std::string> keys) {
  Spec s = Exists(std::move(keys));
  s.op = SIXCALL_OP_DELETE;
  return s;
}
Spec Spec::Ping() {
  Spec s;
  s.op = SIXCALL_OP_PING;
  return s;
}

const char* OpText(uint32_t op) {
  static const char* const names[] = {"?", "GET", "SET", "EXISTS", "DELETE", "PING", "LIST"};
  return op < 7 ? names[op] : "?";
}

std::string Lent::Text(const char* what) const {
  return Format("%s of %s ticket %llu", what, OpText(op_), static_cast<unsigned long long>(ticket_));
}

Lent::Lent(const Spec& spec, uint64_t ticket)
    : ticket_(ticket), op_(spec.op), n_(static_cast<uint32_t>(spec.keys.size())), fill_(static_cast<uint8_t>(0x5A ^ (ticket * 37))), tail_(spec.tail) {
  batch_.struct_size = static_cast<uint32_t>(sizeof(batch_) + spec.tail);
  batch_.flags = spec.flags;
  batch_.ticket = ticket;
  batch_.n = n_;
  batch_.item_stride = spec.stride;
  batch_.deadline_ns = spec.deadline_ns;
  batch_.mem_handle = spec.mem_handle;
  if (n_ != 0) {
    MakeItems(spec);
    status_ = Guarded(n_, spec.edge, Text("the status bytes"));
    memset(status_.data(), SIXCALL_STATUS_UNSET, n_);
    batch_.status = status_.data();
    if (spec.value_lens) {
      lens_ = Guarded(size_t{n_} * 8, spec.edge, Text("value_lens"), 8);
      memset(lens_.data(), kLensFill, lens_.size());
      batch_.value_lens = reinterpret_cast<uint64_t*>(lens_.data());
    }
  }
  if (spec.err) {
    err_ = Guarded(sizeof(sixcall_err), spec.edge, Text("err"), 8);
    batch_.err = reinterpret_cast<sixcall_err*>(err_.data());
    batch_.err->struct_size = sizeof(sixcall_err);
  }
  if (op_ == SIXCALL_OP_LIST) {
    page_ = Guarded(sizeof(sixcall_page), spec.edge, Text("the page struct"), 8);
    page_buf_ = Guarded(spec.page_cap, Edge::kEnd, Text("the page buffer"), 8);
    memset(page_buf_.data(), fill_, page_buf_.size());
    sixcall_page* out = page();
    out->struct_size = sizeof(*out);
    out->buf = page_buf_.data();
    out->cap = spec.page_cap;
    out->cursor_len = static_cast<uint32_t>(spec.cursor.size());
    memcpy(out->cursor, spec.cursor.data(), std::min(spec.cursor.size(), sizeof(out->cursor)));
  }
}

void Lent::MakeItems(const Spec& spec) {
  items_ = Guarded(size_t{spec.stride} * (n_ - 1) + sizeof(sixcall_item), spec.edge, Text("the items"), 8);
  memset(items_.data(), 0xEE, items_.size());
  const bool has_bufs = op_ == SIXCALL_OP_GET || op_ == SIXCALL_OP_SET;
  const bool apart = n_ <= kEachApart;
  const uint64_t align = std::max<uint64_t>(spec.align, 1);
  size_t all_keys = 0, all_bufs = 0;
  for (uint32_t i = 0; i < n_; i++) {
    sizes_.push_back(!has_bufs ? 0 : op_ == SIXCALL_OP_SET ? spec.values[i].size() : spec.lens[i]);
    all_keys += spec.keys[i].size();
    all_bufs += (sizes_[i] + align - 1) / align * align;
  }
  if (!apart) {
    keys_.emplace_back(all_keys, spec.edge, Text("the keys"));
    if (has_bufs && spec.bufs.empty()) bufs_.emplace_back(all_bufs, spec.edge, Text("the bufs"), spec.align);
  }
  size_t key_at = 0, buf_at = 0;
  for (uint32_t i = 0; i < n_; i++) {
    uint8_t* key;
    if (apart) {
      keys_.emplace_back(spec.keys[i].size(), spec.edge, Format("key %u of ", i) + Text("").substr(4));
      key = keys_.back().data();
    } else {
      key = keys_[0].data() + key_at;
      key_at += spec.keys[i].size();
    }
    memcpy(key, spec.keys[i].data(), spec.keys[i].size());
    uint8_t* buf = nullptr;
    if (has_bufs && !spec.bufs.empty()) {
      buf = spec.bufs[i];
    } else if (has_bufs && apart) {
      // An odd distance from the alignment needs room in front.
      bufs_.emplace_back(sizes_[i] + spec.misalign, spec.edge, Format("buf %u of ", i) + Text("").substr(4), spec.align);
      buf = bufs_.back().data() + spec.misalign;
    } else if (has_bufs) {
      buf = bufs_[0].data() + buf_at;
      buf_at += (sizes_[i] + align - 1) / align * align;
    }
    bufs_at_.push_back(buf);
    if (op_ == SIXCALL_OP_SET) memcpy(buf, spec.values[i].data(), sizes_[i]);
    if (op_ == SIXCALL_OP_GET) memset(buf, fill_, sizes_[i]);
    sixcall_item item = {};
    item.key = key;
    item.key_len = static_cast<uint32_t>(spec.keys[i].size());
    item.buf = buf;
    item.len = sizes_[i];
    memcpy(items_.data() + size_t{spec.stride} * i, &item, sizeof(item));
  }
  batch_.items = reinterpret_cast<const sixcall_item*>(items_.data());
}

void Lent::ForAll(int access, const char* why) {
  for (Guarded* g : {&items_, &status_, &lens_, &err_, &page_, &page_buf_}) g->Protect(access, why);
  for (Guarded& g : keys_) g.Protect(access, why);
  for (Guarded& g : bufs_) g.Protect(access, why);
}

void Lent::Lend() {
  static const char* const kReadOnly = ", which is read-only for the connector";
  items_.Protect(PROT_READ, kReadOnly);
  for (Guarded& g : keys_) g.Protect(PROT_READ, kReadOnly);
  if (op_ == SIXCALL_OP_SET) {
    for (Guarded& g : bufs_) g.Protect(PROT_READ, kReadOnly);
  }
}

Guarded Lent::MakeStruct() const {
  Guarded memory(sizeof(batch_) + tail_, Edge::kEnd, Text("the batch struct"), 8);
  memset(memory.data(), 0xEE, memory.size());
  memcpy(memory.data(), &batch_, sizeof(batch_));
  memory.Protect(PROT_READ, ", which is read-only for the connector");
  return memory;
}

std::string Lent::Damage() const {
  if (!status_.SlackIntact()) return "bytes beside the status bytes were written";
  if (!lens_.SlackIntact()) return "bytes beside value_lens were written";
  if (!err_.SlackIntact()) return "bytes beside err were written";
  if (!page_.SlackIntact() || !page_buf_.SlackIntact()) return "bytes beside the page were written";
  for (const Guarded& g : bufs_) {
    if (op_ == SIXCALL_OP_GET && !g.SlackIntact()) return "bytes beside a buf were written";
  }
  return "";
}

std::string Lent::TakeBackRefused() {
  std::string what = Damage();
  if (!Filled(status_.data(), status_.size(), SIXCALL_STATUS_UNSET)) what = "its status bytes were written";
  if (!Filled(lens_.data(), lens_.size(), kLensFill)) what = "its value_lens were written";
  if (page_buf_ && !Filled(page_buf_.data(), page_buf_.size(), fill_)) what = "its page was written";
  for (uint32_t i = 0; op_ == SIXCALL_OP_GET && i < n_; i++) {
    if (!Filled(bufs_at_[i], sizes_[i], fill_)) what = Format("buf %u was written", i);
  }
  Close(" after it was refused");
  return what;
}

std::string Lent::Values(Result* result) const {
  for (uint32_t i = 0; i < n_; i++) {
    result->values.emplace_back(reinterpret_cast<const char*>(bufs_at_[i]), sizes_[i]);
    if (result->status[i] == SIXCALL_STATUS_MISS && !Filled(bufs_at_[i], sizes_[i], fill_)) {
      return Format("key %u is a miss, but its buf was written", i);
    }
  }
  return "";
}

std::string Lent::Page(Result* result) const {
  const sixcall_page& from = *page();
  if (from.cursor_len > sizeof(from.cursor)) return "cursor_len is over the size of the cursor";
  if (from.used > from.cap) return "used is over cap";
  result->last_page = (from.flags & SIXCALL_PAGE_LAST) != 0;
  result->cursor.assign(reinterpret_cast<const char*>(from.cursor), from.cursor_len);
  uint64_t at = 0;
  for (uint32_t i = 0; i < from.n; i++) {
    uint32_t head[2];
    ListedKey entry;
    if (from.used - at < 16) return Format("entry %u is cut short", i);
    memcpy(head, from.buf + at, 8);
    memcpy(&entry.len, from.buf + at + 8, 8);
    const uint64_t padded = (uint64_t{head[0]} + 7) / 8 * 8;
    if (from.used - at - 16 < padded) return Format("the key of entry %u is cut short", i);
    if (!Filled(from.buf + at + 16 + head[0], padded - head[0], 0)) return Format("the padding of entry %u is not zero", i);
    entry.key.assign(reinterpret_cast<const char*>(from.buf + at + 16), head[0]);
    at += 16 + padded;
    result->listed.push_back(entry);
  }
  if (at != from.used) return "used counts more than the entries";
  return "";
}

std::string Lent::TakeBack(const sixcall_completion& done, Result* result) {
  result->ticket = done.ticket;
  result->rc = done.rc;
  result->op = done.op;
  result->n_ok = done.n_ok;
  result->done_ns = done.done_ns;
  result->submitted_ns = submitted_ns;
  result->drained_ns = NowNs();
  std::string what = Damage();
  result->status.assign(status_.data(), status_.data() + status_.size());
  uint32_t hits = 0;
  for (uint32_t i = 0; i < n_; i++) {
    const uint8_t s = result->status[i];
    hits += s == SIXCALL_STATUS_HIT;
    if (s == SIXCALL_STATUS_UNSET) what = Format("the status byte of key %u was never written", i);
    else if (s > SIXCALL_STATUS_CORRUPT) what = Format("the status byte of key %u is %u, which is not defined", i, s);
  }
  if (what.empty() && hits != done.n_ok) what = Format("n_ok is %u, but %u status bytes are HIT", done.n_ok, hits);
  if (what.empty() && done.op != op_) what = Format("its op is %u (%s), but it was submitted as %s", done.op, OpText(done.op), OpText(op_));
  if (what.empty() && done.rc > 0) what = Format("its rc is %d, want 0 or a SIXCALL_E_ code", done.rc);
  if (op_ == SIXCALL_OP_GET) {
    const std::string values = Values(result);
    if (what.empty()) what = values;
  }
  if (lens_) {
    result->value_lens.resize(n_);
    memcpy(result->value_lens.data(), lens_.data(), lens_.size());
  }
  if (err_) {
    const sixcall_err& err = *reinterpret_cast<const sixcall_err*>(err_.data());
    result->err_code = err.code;
    if (err.len >= sizeof(err.msg) || err.msg[err.len] != '\0') {
      what = "err.msg is not NUL-terminated at err.len";
    } else {
      result->err_text.assign(err.msg, err.len);
    }
  }
  if (op_ == SIXCALL_OP_LIST && done.rc == 0) {
    const std::string listed = Page(result);
    if (what.empty()) what = listed;
  }
  Close(" after its completion was drained");
  return what;
}

void Lent::Close(const char* why) { ForAll(PROT_NONE, why); }

}  // namespace probe
