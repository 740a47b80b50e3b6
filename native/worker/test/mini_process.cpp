// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <system_error>

#include "mini_host.h"

namespace worker_test {

std::string MemLibrary() { return SIXCALL_TEST_MEM; }

std::string FaultyLibrary(const std::string& what) {
  const std::string path = SIXCALL_TEST_FAULTY;  // .../libsixcall_faulty.so
  return what.empty() ? path : path.substr(0, path.size() - 3) + "_" + what + ".so";
}

Process::Process(std::vector<std::string> argv, int keep_fd, int as_fd, bool leave_stray_fd)
    : output_(static_cast<int>(syscall(SYS_memfd_create, "output", 0u))) {
  std::vector<char*> raw;
  for (std::string& arg : argv) raw.push_back(arg.data());
  raw.push_back(nullptr);
  fcntl(output_.get(), F_SETFL, O_APPEND);
  pid_ = fork();
  if (pid_ == 0) {
    setpgid(0, 0);
    setenv("TSAN_OPTIONS", "atexit_sleep_ms=0", 0);  // it would sleep a second at each exit
    if (keep_fd >= 0 && dup2(keep_fd, as_fd) < 0) _exit(126);
    if (leave_stray_fd && (dup2(0, 50) < 0 || dup2(0, 700) < 0)) _exit(126);
    dup2(output_.get(), 1);
    dup2(output_.get(), 2);
    if (output_.get() != as_fd) close(output_.get());
    execvp(raw[0], raw.data());
    _exit(127);
  }
  if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
  pidfd_ = Fd(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
}

void Process::CheckForReports() const {
  if (!kSanitized || report_expected_) return;
  const std::string output = Output();
  for (const char* start : {"WARNING: ThreadSanitizer", "ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error: "}) {
    if (output.find(start) != std::string::npos) ADD_FAILURE() << output;
  }
}

Process::~Process() {
  CheckForReports();
  if (pid_ < 0 || !end_.empty()) return;
  kill(-pid_, SIGKILL);
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

std::string Process::Output() const {
  struct stat st;
  fstat(output_.get(), &st);
  std::string text(static_cast<size_t>(st.st_size), '\0');
  const ssize_t n = pread(output_.get(), text.data(), text.size(), 0);
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
  return text;
}

void Process::Kill(int signal) { kill(pid_, signal); }

bool Process::Ended() {
  pollfd wait = {pidfd_.get(), POLLIN, 0};
  return !end_.empty() || poll(&wait, 1, 0) == 1;
}

std::string Process::End() {
  if (!end_.empty()) return end_;
  pollfd wait = {pidfd_.get(), POLLIN, 0};
  if (poll(&wait, 1, 60000) != 1) throw std::runtime_error("the worker does not end; it wrote: " + Output());
  int status = 0;
  waitpid(pid_, &status, 0);
  end_ = WIFSIGNALED(status) ? "signal " + std::to_string(WTERMSIG(status)) : "exit " + std::to_string(WEXITSTATUS(status));
  return end_;
}

}  // namespace worker_test
