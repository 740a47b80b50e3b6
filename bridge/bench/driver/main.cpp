// SPDX-License-Identifier: Apache-2.0
//
// sixcall-driver: the speed of a connector library without a bridge.
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "error.h"
#include "library.h"
#include "options.h"
#include "round.h"
#include "workload.h"

namespace driver {
namespace {

// Before open, so that the connector's threads inherit the CPUs.
void PinProcess(const std::vector<int> &cpus) {
  if (cpus.empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof(set), &set) != 0) throw RunError(std::string("--cpu: ") + std::strerror(errno));
}

void Run(const Options &options) {
  PinProcess(options.cpus);
  const sixcall_api *api = LoadConnector(options.lib);
  Connection connection(api, options.params, options.depth, options.batch, options.value_bytes);
  auto workload = std::make_unique<Workload>(options, connection);
  try {
    if (options.op != Op::kStore) workload->StoreWorkingSet();
    if (options.op == Op::kLoad && options.verify) workload->VerifyWorkingSet();
    RunRound(options, *workload, std::min(0.2, options.seconds / 4));  // warm-up
    for (uint32_t i = 0; i < options.rounds; ++i) {
      const RoundResult result = RunRound(options, *workload, options.seconds);
      std::printf("%s\n", FormatResult(options, result).c_str());
      std::fflush(stdout);
    }
  } catch (...) {
    // Batches may be in flight: their memory may go only after the close.
    try {
      connection.Close();
    } catch (const RunError &) {
      static_cast<void>(workload.release());
    }
    throw;
  }
  connection.Close();
  if (std::ferror(stdout) != 0) throw RunError("write to stdout failed");
}

}  // namespace
}  // namespace driver

int main(int argc, char **argv) {
  try {
    const driver::Options options = driver::ParseOptions(argc, argv);
    if (options.help) {
      std::fputs(driver::HelpText(), stdout);
      return 0;
    }
    driver::Run(options);
    return 0;
  } catch (const driver::UsageError &error) {
    std::fprintf(stderr, "sixcall-driver: %s\nsixcall-driver: try --help\n", error.what());
    return 2;
  } catch (const std::exception &error) {
    std::fprintf(stderr, "sixcall-driver: %s\n", error.what());
    return 1;
  }
}
