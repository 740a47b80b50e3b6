// SPDX-License-Identifier: Apache-2.0
//
// Submissions, completions and the event fd.
#include <sched.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "conn.h"
#include "mutant.h"

using mutant::Is;
using mutant::Record;

namespace {

/// A function of its own: its frame is there only while it runs.
__attribute__((noinline)) void BigFrame() {
  volatile char room[400 << 10];
  for (size_t i = 0; i < sizeof(room); i += 4096) room[i] = 1;
}

}  // namespace

namespace mutant {

uint64_t NowNs() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1000000000u + static_cast<uint64_t>(t.tv_nsec);
}

const sixcall_item& Record::Item(uint32_t i) const {
  const size_t stride = Is("item_stride_ignored") ? sizeof(sixcall_item) : batch.item_stride;
  return *reinterpret_cast<const sixcall_item*>(reinterpret_cast<const char*>(batch.items) + i * stride);
}

}  // namespace mutant

int32_t sixcall_conn::Check(uint32_t op, const sixcall_batch* b, const sixcall_page* page) const {
  if (b == nullptr || b->struct_size < sizeof(*b)) return SIXCALL_E_INVAL;
  if (op == SIXCALL_OP_PING) return b->n == 0 ? 0 : SIXCALL_E_INVAL;
  if (op == SIXCALL_OP_LIST) return b->n == 0 && page != nullptr && page->buf != nullptr && page->cursor_len <= sizeof(page->cursor) ? 0 : SIXCALL_E_INVAL;
  if (b->n == 0 || (b->n > mutant::kMaxBatch && !Is("limits_lie")) || b->items == nullptr || b->status == nullptr) return SIXCALL_E_INVAL;
  if (b->item_stride < sizeof(sixcall_item) || b->item_stride % 8 != 0) return SIXCALL_E_INVAL;
  for (uint32_t i = 0; i < b->n; i++) {
    const auto& item = *reinterpret_cast<const sixcall_item*>(reinterpret_cast<const char*>(b->items) + size_t{i} * b->item_stride);
    if (item.key == nullptr || item.key_len == 0 || item.key_len > mutant::kMaxKeyLen) return SIXCALL_E_INVAL;
    if (op != SIXCALL_OP_GET && op != SIXCALL_OP_SET) continue;
    if ((item.buf == nullptr && item.len != 0) || item.len > mutant::kMaxValueLen) return SIXCALL_E_INVAL;
  }
  if (b->mem_handle != 0 && memory.count(b->mem_handle) == 0 && !Is("handle_unchecked")) return SIXCALL_E_INVAL;
  return 0;
}

int32_t sixcall_conn::Submit(uint32_t op, const sixcall_batch* b, sixcall_page* page) {
  if (Is("big_stack")) BigFrame();
  if (Is("oom_null")) {
    auto* copy = static_cast<volatile char*>(malloc(32));
    copy[0] = 1;
    free(const_cast<char*>(copy));
  }
  if (Is("heap_overflow") && op == SIXCALL_OP_SET) {
    auto* copy = static_cast<volatile char*>(malloc(24));
    copy[24] = 1;
    free(const_cast<char*>(copy));
  }
  if (Is("data_race")) races++;
  if (Is("batch_leaks")) memset(malloc(6000), 1, 6000);
  if (Is("crash_in_submit")) *reinterpret_cast<volatile int*>(16) = 1;
  if (Is("thread_local")) {
    static thread_local uint64_t calls = 0;
    if (++calls < completed / 4) return SIXCALL_E_INTERNAL;  // "this thread was not initialised"
  }
  if (Is("batch_overread") && reinterpret_cast<const volatile char*>(b)[b->struct_size] != 0) return SIXCALL_E_INVAL;
  std::unique_lock<std::mutex> lock(mu);
  const int32_t bad = Check(op, b, page);
  if (bad != 0) {
    if (Is("refused_writes") && b != nullptr && b->status != nullptr) b->status[0] = SIXCALL_STATUS_ERROR;
    if (Is("refused_completes")) {
      inflight++;
      sixcall_completion ghost = {};
      ghost.ticket = b->ticket;
      ghost.op = op;
      Publish(ghost);
    }
    return Is("invalid_accepted") && b->n == 0 ? 0 : bad;
  }
  if (inflight >= config.max_inflight && !Is("accepts_too_many")) {
    if (!Is("submit_blocks")) return SIXCALL_E_AGAIN;
    while (inflight >= config.max_inflight) work.wait(lock);
  }
  auto held = std::make_unique<Record>(Record{*b, page, op});
  queue.push_back(nullptr);  // the last thing that may throw
  queue.pop_back();
  Record* r = held.release();
  if (Is("batch_kept")) r->batch.items = reinterpret_cast<const sixcall_item*>(b);
  if (Is("ticket_cut")) r->batch.ticket &= 0xFFFFFFFF;
  inflight++;
  if (b->mem_handle != 0 && memory.count(b->mem_handle) != 0) memory[b->mem_handle]++;
  if (Is("racy_queue")) {
    // Takes the place, lets others in, then writes: what they wrote is lost.
    const size_t place = queue.size();
    lock.unlock();
    for (int i = 0; i < 3; i++) sched_yield();
    lock.lock();
    if (queue.size() > place) queue[place] = r;
    else queue.push_back(r);
  } else {
    queue.push_back(r);
  }
  work.notify_one();
  if (b->deadline_ns != 0) timer.notify_one();
  if (Is("thread_per_batch")) threads.emplace_back([this] {
    std::unique_lock<std::mutex> wait(mu);
    while (!closing) timer.wait(wait);
  });
  return 0;
}

void sixcall_conn::Signal() {
  const uint64_t one = 1;
  if (Is("edge_missing")) {
    if (signalled) return;  // "it is readable already"
    signalled = true;
  }
  while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR) {
  }
}

// mu is held.
void sixcall_conn::Publish(const sixcall_completion& record) {
  done.push_back(record);
  completed++;
  if (Is("lost_completion") && completed % 50 == 0) {
    done.pop_back();
    return;
  }
  if (Is("double_completion") && completed % 50 == 0) done.push_back(record);
  Signal();
}

int32_t sixcall_conn::Drain(sixcall_completion* out, uint32_t cap, uint32_t stride) {
  if (cap == 0) return Is("cap_zero_fails") ? SIXCALL_E_INVAL : 0;
  if (out == nullptr || stride < sizeof(*out)) return SIXCALL_E_INVAL;
  if (Is("stride_ignored")) stride = sizeof(*out);
  const auto clear = [this] {
    uint64_t count;
    ssize_t n;
    do {
      n = read(fd, &count, sizeof(count));
    } while (n < 0 && errno == EINTR);
    return n == sizeof(count);
  };
  const bool late = Is("clear_late"), rare = Is("clear_late_rare");
  if (Is("edge_missing")) {
    std::lock_guard<std::mutex> lock(mu);
    if (done.empty()) signalled = false, clear();
  } else if (!late && !rare && !clear() && Is("needs_counter")) {
    return 0;  // "nothing was signalled, so nothing is there"
  }
  uint32_t n = 0;
  bool more;
  {
    std::lock_guard<std::mutex> lock(mu);
    for (; n < cap && n < done.size(); n++) {
      if (Is("records_wide")) memset(reinterpret_cast<char*>(out) + size_t{n} * stride, 0, stride);
      memcpy(reinterpret_cast<char*>(out) + size_t{n} * stride, &done[n], sizeof(*out));
    }
    done.erase(done.begin(), done.begin() + n);
    inflight -= std::min(n, inflight);
    more = !done.empty();
    if (Is("submit_blocks")) work.notify_all();
  }
  if (late) {
    for (int i = 0; i < 20; i++) sched_yield();
    clear();
  }
  if (rare) clear();
  if (more && !Is("fd_cleared")) Signal();
  if (n == 0 && Is("empty_fails")) return SIXCALL_E_AGAIN;
  if (Is("fd_always") && n == 0) Signal();
  return static_cast<int32_t>(n);
}

int32_t sixcall_conn::Cancel(uint64_t ticket) {
  std::unique_lock<std::mutex> lock(mu);
  if (Is("cancel_poisons")) poisoned = true;
  for (auto it = queue.begin(); it != queue.end(); ++it) {
    Record* r = *it;
    if (r->batch.ticket != ticket) continue;
    queue.erase(it);
    const sixcall_completion again = {ticket, SIXCALL_E_CANCELLED, r->op, 0, 0, 0};
    End(r, SIXCALL_E_CANCELLED, SIXCALL_STATUS_CANCELLED);
    if (Is("cancel_twice")) Publish(again);
    return 0;
  }
  for (Record* r : running) {
    if (r->batch.ticket != ticket) continue;
    r->cancelled = true;
    work.notify_all();
    return 0;
  }
  return Is("cancel_unknown") ? 0 : SIXCALL_E_INVAL;
}
