// SPDX-License-Identifier: Apache-2.0
//
// Z: random calls and random configurations.
#include "fuzz.h"

namespace probe {

PROBE_CHECK(Z01) {
  const uint64_t seed = InNumber("seed", 1), from = InNumber("from", 0), most = InNumber("steps", 2000);
  const std::string keep = In("keep");  // '1' for each step to make, when shortening
  const Deadline end(EffortMs() * 2);
  Walk walk(Load());
  uint64_t done = 0;
  for (uint64_t i = from; done < most; i++) {
    if (!keep.empty() && (i - from >= keep.size())) break;
    if (keep.empty() && end.passed()) break;
    if (!keep.empty() && keep[i - from] != '1') continue;
    const Step step = Step::Make(seed, i);
    const std::string line = Format("{\"step\":%llu,\"what\":%s}\n", static_cast<unsigned long long>(i), JsonText(step.Text()).c_str());
    WriteResult(line.data(), line.size());
    walk.Do(step, i);
    done++;
  }
  walk.Finish();
  Figure("steps", static_cast<double>(done));
}

PROBE_CHECK(Z02) {
  const sixcall_api* api = Load();
  std::vector<std::string> base = {In("params", "{}"), In("params_x_key", "{}")};
  for (const auto& c : All("bad_value")) base.push_back(c);
  Random random;
  const Deadline end(EffortMs() * 2);
  uint64_t n = 0, opened = 0;
  for (; n < 20000 && !end.passed(); n++) {
    std::string text = base[random.Below(base.size())];
    // The texts of values stay as they are, or become long, or empty: another word
    // could be the address of somebody else's server.
    for (uint64_t k = random.Between(1, 3); k > 0; k--) {
      static const char* const pieces[] = {"{", "}", "[", "]", ",", ":", "null", "true", "-1", "1e999", "0.5", "18446744073709551616", "\"\"", "\"x-a\":", "\\", "\"", "\n"};
      std::vector<size_t> outside;
      bool in_text = false;
      for (size_t i = 0; i < text.size(); i++) {
        if (text[i] == '"') in_text = !in_text;
        else if (!in_text) outside.push_back(i);
      }
      const size_t at = outside.empty() ? 0 : outside[random.Below(outside.size())];
      switch (random.Below(5)) {
        case 0: text.insert(at, pieces[random.Below(17)]); break;
        case 1: if (at < text.size()) text.erase(at, random.Between(1, 3)); break;
        case 2: text.resize(at); break;
        case 3: text.insert(text.size() > 1 ? 1 : 0, Format("\"x-long\":\"%s\",", std::string(random.Between(1, 20000), 'l').c_str())); break;
        default: text.insert(text.size() > 1 ? 1 : 0, "\"x-nested\":" + std::string(random.Between(1, 3000), '[') + std::string(random.Between(1, 3000), ']') + ",");
      }
    }
    OpenOptions options;
    options.config = text;
    options.timeout_ms = 1000;
    options.what = " with the mutated configuration number " + std::to_string(n);
    OpenError error;
    auto s = Session::TryOpen(api, options, &error);
    if (s == nullptr && !error.violation.empty()) Fail("an open that fails: %s", error.violation.c_str());
    opened += s != nullptr;
  }
  Figure("configurations", static_cast<double>(n));
  Figure("accepted", static_cast<double>(opened));
}

}  // namespace probe
