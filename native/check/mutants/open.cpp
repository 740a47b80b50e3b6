// SPDX-License-Identifier: Apache-2.0
//
// open and close.
#include "open.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "conn.h"
#include "mutant.h"

namespace mutant {
namespace {

int32_t Fail(sixcall_err* err, int32_t code, const std::string& text) {
  if (err == nullptr || Is("err_empty")) return code;
  err->code = Is("err_code") ? 0 : code;
  err->len = static_cast<uint32_t>(std::min<size_t>(text.size(), sizeof(err->msg) - 1));
  memcpy(err->msg, text.data(), err->len);
  err->msg[err->len] = '\0';
  if (Is("err_not_utf8")) err->msg[0] = '\xff';
  return code;
}

/// Things a library must leave alone.
void Disturb() {
  if (Is("handler")) {
    struct sigaction action = {};
    action.sa_handler = [](int) {};
    sigaction(SIGURG, &action, nullptr);
  }
  if (Is("sigpipe_ignored")) signal(SIGPIPE, SIG_IGN);
  if (Is("chdir") && chdir("/") != 0) abort();
  if (Is("umask")) umask(0);
  if (Is("setenv")) setenv("MUTANT", "1", 1);
  if (Is("locale")) setlocale(LC_ALL, "C.UTF-8");
  if (Is("mask")) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
  }
}

bool Singleton() {
  // A name that the whole process shares: a second copy of the library finds it taken.
  static int held = -1;
  if (held >= 0) return true;
  held = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "mutant-%d", static_cast<int>(getpid()));
  if (bind(held, reinterpret_cast<sockaddr*>(&name), sizeof(name)) == 0) return true;
  close(held);
  held = -1;
  return false;
}

/// A static object whose destructor waits for a thread that nobody stops.
struct Joiner {
  std::thread thread;
  ~Joiner() {
    if (thread.joinable()) thread.join();
  }
};
Joiner joiner;

sixcall_conn* shared_conn = nullptr;  // for the mistake static_state

}  // namespace

namespace {

int32_t OpenOrThrow(const sixcall_host* host, const sixcall_open_args* args, sixcall_conn** out, sixcall_err* err) {
  if (host == nullptr || args == nullptr || out == nullptr) return SIXCALL_E_INVAL;
  if (Is("host_overread") && reinterpret_cast<const volatile char*>(host)[sizeof(*host)] == 'x') return SIXCALL_E_VERSION;
  if (Is("args_overread") && reinterpret_cast<const volatile char*>(args)[args->struct_size] == 'x') return SIXCALL_E_VERSION;
  if (Is("args_strict") && args->struct_size != sizeof(*args)) return Fail(err, SIXCALL_E_INVAL, "open args of another size");
  auto c = std::make_unique<sixcall_conn>();
  const std::string json(args->config_json == nullptr ? "" : args->config_json, args->config_json == nullptr ? 0 : args->config_len);
  const std::string wrong = Parse(json, &c->config);
  if (!wrong.empty()) {
    if (Is("exits")) exit(3);
    if (Is("aborts")) abort();
    if (Is("open_forgets_fd")) static_cast<void>(eventfd(0, EFD_CLOEXEC));
    if (Is("open_forgets_memory")) memset(malloc(8192), 1, 8192);
    return Fail(err, Is("config_as_io") ? SIXCALL_E_IO : SIXCALL_E_CONFIG, Is("err_secret") ? wrong + " in " + json : wrong);
  }
  Disturb();
  if (Is("open_fails")) return Fail(err, SIXCALL_E_IO, "the mutant does not open");
  if (Is("needs_path")) {
    Dl_info info;
    if (dladdr(&joiner, &info) == 0 || strstr(info.dli_fname, ".so") == nullptr) return Fail(err, SIXCALL_E_INTERNAL, "where am I?");
  }
  if (Is("singleton") && !Singleton()) return Fail(err, SIXCALL_E_BUSY, "this process has a mutant already");
  if (Is("static_state") && shared_conn != nullptr) {
    *out = shared_conn;
    c.release();  // a lost one
    return 0;
  }
  c->host = host;
  int32_t code = SIXCALL_E_IO;
  std::string error;
  if (!c->config.endpoint.empty()) {
    c->store = MakeRemoteStore(c->config, args->open_timeout_ms != 0 ? args->open_timeout_ms : 5000, &code, &error);
  } else if (!c->config.base_path.empty()) {
    c->store = MakeFileStore(c->config, &error);
  } else {
    c->store = MakeMemoryStore(c->config);
  }
  if (c->store == nullptr) return Fail(err, code, error);
  c->fd = eventfd(0, (Is("fd_blocking") ? 0 : EFD_NONBLOCK) | (Is("fd_inherited") ? 0 : EFD_CLOEXEC));
  if (c->fd < 0 && !Is("eventfd_unchecked")) return Fail(err, SIXCALL_E_IO, "eventfd failed");
  if (c->fd < 0) *reinterpret_cast<volatile int*>(uintptr_t{16}) = 1;
  for (int i = 0; Is("fds_inherited") && i < 10; i++) static_cast<void>(open("/dev/null", O_RDONLY));
  if (Is("heap_lost")) {
    volatile char* lost = static_cast<char*>(malloc(3000));
    lost[0] = 1;
  }
  if (Is("log_null")) c->Log(SIXCALL_LOG_INFO, "open");
  if (Is("log_floods")) {
    auto* self = c.get();
    std::thread([self] {
      for (int i = 0; i < 100000; i++) self->Log(SIXCALL_LOG_DEBUG, "idle"), usleep(100);
    }).detach();
  }
  if (Is("log_newline")) c->Log(SIXCALL_LOG_WARN, "two\nlines");
  c->done.reserve(c->config.max_inflight + 64);
  c->running.reserve(c->config.workers);
  try {
    c->StartThreads();
  } catch (...) {
    c->Stop(0);
    throw;
  }
  if (Is("exit_hangs")) {
    auto* self = c.get();
    if (!joiner.thread.joinable()) joiner.thread = std::thread([self] {
      std::unique_lock<std::mutex> lock(self->mu);
      while (!self->closing) self->work.wait(lock);
    });
  }
  *out = c.release();
  if (Is("static_state")) shared_conn = *out;
  return 0;
}

}  // namespace

int32_t Open(const sixcall_host* host, const sixcall_open_args* args, sixcall_conn** out, sixcall_err* err) {
  try {
    return OpenOrThrow(host, args, out, err);
  } catch (...) {
    if (Is("throws")) throw;
    if (err != nullptr) {
      static const char text[] = "no memory or no thread";
      err->code = SIXCALL_E_NOMEM;
      err->len = sizeof(text) - 1;
      memcpy(err->msg, text, sizeof(text));
    }
    return SIXCALL_E_NOMEM;
  }
}

int32_t EventFd(sixcall_conn* c) {
  if (Is("fd_changes")) return c->fd_for_host = fcntl(c->fd, F_DUPFD_CLOEXEC, 0);
  return c->fd;
}

int32_t Close(sixcall_conn* c, uint32_t grace_ms) {
  if (Is("static_state")) return 0;
  if (Is("close_crashes") && c->completed == 0) *reinterpret_cast<volatile int*>(16) = 1;
  if (Is("close_busy") && c->completed == 0) return SIXCALL_E_BUSY;
  if (Is("close_late_touch") && !c->queue.empty()) {
    uint8_t* status = c->queue.back()->batch.status;
    std::thread([status] {
      usleep(2000000);
      if (status != nullptr) static_cast<volatile uint8_t*>(status)[0] = 1;
    }).detach();
  }
  if (Is("close_no_wait")) {
    // Says that all is over while the threads go on.
    for (auto& t : c->threads) t.detach();
    c->threads.clear();
    return 0;
  }
  if (Is("close_unmaps")) {
    auto* page = static_cast<volatile char*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    std::thread([page] {
      usleep(200);
      page[0] = 1;  // gone by then
    }).detach();
    munmap(const_cast<char*>(page), 4096);
  }
  if (Is("close_frees_early")) {
    auto* marker = new uint64_t[64];
    marker[0] = 1;
    std::thread([marker] {
      usleep(200);
      for (int i = 0; i < 64; i++) marker[i] += 0xABCDEF;  // freed by then
    }).detach();
    delete[] marker;
  }
  if (!c->Stop(grace_ms)) return SIXCALL_E_BUSY;
  if (Is("close_logs_late")) {
    const sixcall_host* host = c->host;
    std::thread([host] {
      usleep(50000);
      if (host->log != nullptr) host->log(host->log_ctx, SIXCALL_LOG_ERROR, "late", 4);
    }).detach();
  }
  if (Is("cycle_leaks")) memset(malloc(20000), 1, 20000);
  delete c;
  return 0;
}

}  // namespace mutant
