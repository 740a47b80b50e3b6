// SPDX-License-Identifier: Apache-2.0
//
// The threads that do the work.
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "conn.h"
#include "mutant.h"

using mutant::Is;
using mutant::Record;

namespace {

std::chrono::steady_clock::time_point At(uint64_t ns) { return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(ns)); }

}  // namespace

bool sixcall_conn::StartThreads() {
  sigset_t all, before;
  sigfillset(&all);
  for (const int signo : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS}) sigdelset(&all, signo);
  if (Is("thread_blocks_all")) sigfillset(&all);
  if (!Is("thread_unmasked") && !Is("eintr_error")) pthread_sigmask(SIG_SETMASK, &all, &before);
  else pthread_sigmask(SIG_SETMASK, nullptr, &before);
  try {
    for (uint64_t i = 0; i < config.workers; i++) threads.emplace_back([this] { Work(); });
    threads.emplace_back([this] { Watch(); });
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  for (auto& t : threads) {
    if (!Is("thread_unnamed")) pthread_setname_np(t.native_handle(), "sixcall:mutant");
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return true;
}

void sixcall_conn::Log(int32_t level, const char* text) const {
  if (host->log == nullptr && !Is("log_null")) return;
  if (level > host->log_level && !Is("log_level_ignored")) return;
  host->log(host->log_ctx, level, text, strlen(text));
}

// mu is held.
void sixcall_conn::Forget(Record* r) { running.erase(std::find(running.begin(), running.end(), r)); }

void sixcall_conn::Work() {
  std::unique_lock<std::mutex> lock(mu);
  for (;;) {
    while (queue.empty() && !closing) {
      if (Is("busy_loop")) {
        lock.unlock();
        sched_yield();
        lock.lock();
      } else {
        work.wait(lock);
      }
    }
    if (closing) return;
    Record* r = queue.front();
    queue.pop_front();
    running.push_back(r);
    // The pause stands for a slow backend; it ends early for whoever has a reason.
    const uint64_t until = config.delay_us == 0 ? 0 : mutant::NowNs() + config.delay_us * 1000;
    const auto over = [&] {
      const uint64_t now = mutant::NowNs();
      return closing || r->cancelled || now >= until || (r->batch.deadline_ns != 0 && now >= r->batch.deadline_ns && !Is("deadline_ignored"));
    };
    if (Is("close_waits") && until != 0) {
      lock.unlock();
      std::this_thread::sleep_until(At(until));
      lock.lock();
    }
    while (!over()) {
      const uint64_t wake = r->batch.deadline_ns != 0 ? std::min(until, r->batch.deadline_ns) : until;
      work.wait_until(lock, At(std::max(wake, mutant::NowNs() + 1000000)));
    }
    if (Is("eintr_error")) {
      lock.unlock();
      const timespec pause = {0, 200000};
      const bool interrupted = nanosleep(&pause, nullptr) != 0;
      lock.lock();
      if (interrupted) {
        Forget(r);
        End(r, SIXCALL_E_IO, SIXCALL_STATUS_ERROR);
        continue;
      }
    }
    if (closing && !Is("close_ignores_flight")) {
      Forget(r);
      End(r, SIXCALL_E_CANCELLED, SIXCALL_STATUS_CANCELLED);
      return;
    }
    if (r->cancelled) {
      Forget(r);
      End(r, SIXCALL_E_CANCELLED, SIXCALL_STATUS_CANCELLED);
      continue;
    }
    if (r->batch.deadline_ns != 0 && mutant::NowNs() >= r->batch.deadline_ns && !Is("deadline_ignored")) {
      const Record late = *r;
      Forget(r);
      End(r, SIXCALL_E_TIMEOUT, SIXCALL_STATUS_TIMEOUT);
      if (Is("deadline_late_write") && late.op == SIXCALL_OP_GET) {
        lock.unlock();
        usleep(100000);
        static_cast<volatile char*>(const_cast<void*>(static_cast<const void*>(late.batch.status)))[0] = 1;
        lock.lock();
      }
      continue;
    }
    lock.unlock();
    Run(r);
    lock.lock();
  }
}

/// Ends what becomes overdue while it waits behind other work.
void sixcall_conn::Watch() {
  std::unique_lock<std::mutex> lock(mu);
  while (!closing) {
    uint64_t next = UINT64_MAX;
    const uint64_t now = mutant::NowNs();
    for (auto it = queue.begin(); it != queue.end();) {
      Record* r = *it;
      const uint64_t deadline = r->batch.deadline_ns;
      if (deadline != 0 && deadline <= now && !Is("deadline_ignored")) {
        it = queue.erase(it);
        End(r, SIXCALL_E_TIMEOUT, SIXCALL_STATUS_TIMEOUT);
        continue;
      }
      if (deadline != 0) next = std::min(next, std::max(deadline, now + 1000000));
      ++it;
    }
    if (next == UINT64_MAX) timer.wait(lock);
    else timer.wait_until(lock, At(next));
  }
}

uint8_t sixcall_conn::Key(const Record& r, uint32_t i) {
  const sixcall_item& item = r.Item(i);
  if (Is("key_overread") && item.key[item.key_len] == 'x') return SIXCALL_STATUS_ERROR;
  if (Is("key_written")) const_cast<volatile uint8_t&>(item.key[0]) = item.key[0];
  const std::string key(reinterpret_cast<const char*>(item.key), item.key_len);
  uint64_t stored = SIXCALL_LEN_UNKNOWN;
  uint8_t status;
  if (Is("data_race")) races++;
  if (Is("slows")) usleep(static_cast<useconds_t>(completed * 10));
  if (Is("cancel_poisons") && r.op == SIXCALL_OP_SET) {
    std::lock_guard<std::mutex> lock(mu);
    if (poisoned) return poisoned = false, static_cast<uint8_t>(SIXCALL_STATUS_HIT);  // and does not store
  }
  if (Is("third_of_three") && r.op == SIXCALL_OP_DELETE && r.batch.n >= 3 && i == 2) return SIXCALL_STATUS_MISS;
  switch (r.op) {
    case SIXCALL_OP_GET: status = store->Get(key, static_cast<uint8_t*>(item.buf), item.len, &stored); break;
    case SIXCALL_OP_SET: status = store->Set(key, static_cast<const uint8_t*>(item.buf), item.len); break;
    case SIXCALL_OP_EXISTS: status = store->Exists(key, &stored); break;
    default: status = store->Delete(key);
  }
  if (r.batch.value_lens != nullptr) r.batch.value_lens[i] = stored;
  return status;
}

void sixcall_conn::Run(Record* r) {
  if (Is("batch_kept")) r->batch = *reinterpret_cast<const sixcall_batch*>(r->batch.items);
  int32_t rc = 0;
  if (r->op == SIXCALL_OP_PING) {
    rc = store->Ping() && !Is("ping_fails") ? 0 : SIXCALL_E_CONNECT;
  } else if (r->op == SIXCALL_OP_LIST) {
    try {
      rc = store->List(r->page);
    } catch (...) {
      rc = SIXCALL_E_NOMEM;
    }
  } else {
    for (uint32_t i = 0; i < r->batch.n; i++) {
      if (Is("tile_drops") && r->batch.n > 4 && r->batch.n % 4 == 1 && i == r->batch.n - 1) {
        r->batch.status[i] = SIXCALL_STATUS_MISS;
        continue;
      }
      uint8_t status = SIXCALL_STATUS_ERROR;
      try {
        status = Key(*r, i);
      } catch (...) {  // no memory
        if (Is("throws")) throw;
      }
      if (Is("heisenbug") && r->op == SIXCALL_OP_GET && completed % 97 == 50 && status == SIXCALL_STATUS_HIT) status = SIXCALL_STATUS_MISS;
      uint32_t at = i;
      if (Is("tile_shift") && r->batch.n > 300) at = i ^ 1u;
      if (at >= r->batch.n) at = i;
      r->batch.status[at] = status;
    }
    if (Is("status_unset") && r->batch.n > 8) r->batch.status[r->batch.n - 1] = SIXCALL_STATUS_UNSET;
    if (Is("status_undefined") && r->batch.n > 8) r->batch.status[0] = 9;
  }
  if (Is("log_under_lock")) {
    std::lock_guard<std::mutex> lock(mu);
    Log(SIXCALL_LOG_DEBUG, "a batch has ended");
  }
  if (Is("log_level_ignored")) Log(SIXCALL_LOG_DEBUG, "a batch has ended");
  if (Is("prints")) fprintf(stderr, "mutant: a batch has ended\n");
  if (Is("errno_abort") && errno == ENOSPC) abort();
  uint8_t* status = r->batch.status;
  const bool touches = Is("late_touch") && status != nullptr;
  const uint32_t n = r->batch.n;
  {
    std::lock_guard<std::mutex> lock(mu);
    Forget(r);
    End(r, rc, SIXCALL_STATUS_ERROR);
  }
  if (touches && n > 0) {
    usleep(500);
    static_cast<volatile uint8_t*>(status)[0] = 1;
  }
}

// mu is held.
void sixcall_conn::End(Record* r, int32_t rc, uint8_t rest) {
  sixcall_completion out = {};
  out.ticket = r->batch.ticket;
  out.rc = rc;
  out.op = Is("op_wrong") ? SIXCALL_OP_GET : r->op;
  for (uint32_t i = 0; i < r->batch.n; i++) {
    if (r->batch.status[i] == SIXCALL_STATUS_UNSET && !Is("status_unset")) r->batch.status[i] = rest;
    out.n_ok += r->batch.status[i] == SIXCALL_STATUS_HIT;
  }
  if (Is("n_ok_wrong") && r->batch.n > 8) out.n_ok++;
  if (r->batch.err != nullptr && rc != 0) {
    r->batch.err->code = rc;
    r->batch.err->len = 9;
    memcpy(r->batch.err->msg, "it failed", 10);
  }
  out.done_ns = mutant::NowNs();
  if (Is("time_realtime")) {
    timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    out.done_ns = static_cast<uint64_t>(t.tv_sec) * 1000000000u + static_cast<uint64_t>(t.tv_nsec);
  }
  const auto used = memory.find(r->batch.mem_handle);
  if (used != memory.end() && used->second > 0) used->second--;
  delete r;
  Publish(out);
}

bool sixcall_conn::Stop(uint32_t grace_ms) {
  std::unique_lock<std::mutex> lock(mu);
  closing = true;
  work.notify_all();
  timer.notify_all();
  while (!queue.empty() && !Is("close_ignores_flight")) {
    Record* r = queue.front();
    queue.pop_front();
    delete r;  // the host takes its memory back when close has returned
  }
  lock.unlock();
  static_cast<void>(grace_ms);
  if (Is("close_forgets_thread")) {
    threads.emplace_back([] { usleep(30000000); });
    threads.back().detach();
    threads.pop_back();
  }
  for (auto& t : threads) t.join();
  return true;
}

sixcall_conn::~sixcall_conn() {
  if (fd >= 0 && !Is("close_forgets_fd")) close(fd);
}
