// SPDX-License-Identifier: Apache-2.0
//
// The parts of R01 to R05, B13, B16 and Z03 that use the library. The command breaks
// the network meanwhile, by its proxy or with commands of the vendor.
#include "tolerant.h"

namespace probe {

/// R01 to R04, B16, Z03: the command runs this one with what its proxy does.
PROBE_CHECK(NETWORK) {
  const sixcall_api* api = Load();
  Session s(api);
  Exercise(s, "before");
  TolerantOptions options;
  options.ms = InNumber("fault_ms", 3000);
  options.len = InNumber("fault_len", 3000);
  options.wrong_bytes_warn = InNumber("wrong_bytes_warn", 0) != 0;
  static const std::string during = In("fault_text", "network faults");
  options.during = during.c_str();
  Tolerant load(s, options);
  WriteResult("{\"phase\":\"fault\"}\n", 18);
  load.Run();
  WriteResult("{\"phase\":\"heal\"}\n", 17);
  Figure("batches", static_cast<double>(load.done()));
  Figure("failures", static_cast<double>(load.failures()));
  if (InNumber("nothing_lost", 0) != 0 && load.failures() != 0) {
    Fail("%llu keys failed during %s, although nothing was lost", static_cast<unsigned long long>(load.failures()), options.during);
  }
  MustRecover(s, options.during);
  Exercise(s, "after");
  if (InNumber("must_fail", 0) != 0 && load.failures() == 0) Note("no batch failed: the faults may not have reached the connection");
}

/// B13: the command counts the bytes of each phase.
PROBE_CHECK(STORE) {
  Session s(Load());
  for (int i = 0; i < 4; i++) {
    const std::string key = Key("cheap/%d", i);
    s.Set(key, Content(key, 0, s.ValueLen(16 << 20)));
  }
}

PROBE_CHECK(ASK) {
  Session s(Load());
  std::vector<std::string> keys;
  for (int i = 0; i < 4; i++) keys.push_back(Key("cheap/%d", i));
  if (s.Run(Spec::Exists(keys)).n_ok != 4) Skip("values do not outlive the process, so they cannot be asked for by another one");
  Figure("value_bytes", 4.0 * static_cast<double>(s.ValueLen(16 << 20)));
}

}  // namespace probe
