// SPDX-License-Identifier: Apache-2.0
//
// sixcall-probe: runs one check of a connector library, in a process of its own.
//
//   sixcall-probe --check ID --input FILE [--result-fd N] [--state-fd N]
//   sixcall-probe --check ID --library LIB [--params JSON] [--seed N]
//   sixcall-probe --list
//
// `sixcall check` writes the input file and reads the result; by hand and under a
// debugger the second form is enough.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core.h"
#include "memory.h"

namespace {

int Usage() {
  fprintf(stderr, "usage: sixcall-probe --check ID (--input FILE | --library LIB [--params JSON] [--seed N]) [--set NAME VALUE]\n");
  return 2;
}

void Limit(__rlimit_resource what, uint64_t most) {
  rlimit limit;
  if (getrlimit(what, &limit) != 0 || limit.rlim_max <= most) return;
  limit.rlim_cur = limit.rlim_max = most;
  setrlimit(what, &limit);
}

}  // namespace

int main(int argc, char** argv) {
  std::string id;
  int result = -1, state = -1;
  for (int i = 1; i < argc; i++) {
    const std::string flag = argv[i];
    if (flag == "--list") {
      for (auto* c = probe::Check::First(); c != nullptr; c = c->next) printf("%s\n", c->id);
      return 0;
    }
    if (i + 1 >= argc) return Usage();
    const char* value = argv[++i];
    if (flag == "--check") id = value;
    else if (flag == "--result-fd") result = atoi(value);
    else if (flag == "--state-fd") state = atoi(value);
    else if (flag == "--library" || flag == "--params" || flag == "--seed") probe::SetInput(flag.substr(2), value);
    else if (flag == "--set" && i + 1 < argc) probe::SetInput(value, argv[++i]);
    else if (flag == "--input") {
      if (!probe::ReadInput(value)) {
        fprintf(stderr, "sixcall-probe: cannot read the input file %s\n", value);
        return 2;
      }
    } else {
      return Usage();
    }
  }
  if (id.empty() || !probe::Has("library")) return Usage();
  probe::SetInput("check", id);
  probe::OpenResult(result);
  probe::OpenState(state);
  Limit(RLIMIT_CORE, 0);
  if (probe::Has("limit_data_bytes")) Limit(RLIMIT_DATA, probe::InNumber("limit_data_bytes", 0));
  if (probe::Has("limit_file_bytes")) Limit(RLIMIT_FSIZE, probe::InNumber("limit_file_bytes", 0));
  if (result >= 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (probe::InNumber("catch_faults", 1) != 0) probe::CatchFaults();
  probe::PrepareSchedule();
  for (auto* c = probe::Check::First(); c != nullptr; c = c->next) {
    if (id != c->id) continue;
    probe::At("the start of the check");
    c->run();
    probe::Pass();
  }
  probe::ToolError("this probe has no check %s; it does not fit the sixcall command", id.c_str());
}
