// SPDX-License-Identifier: Apache-2.0
#include "session.h"

namespace probe {
namespace {

std::string StatusText(uint8_t status) {
  static const char* const names[] = {"MISS", "HIT", "ERROR", "SIZE", "CANCELLED", "TIMEOUT", "REFUSED", "CORRUPT"};
  return status < 8 ? Format("%s (%u)", names[status], status) : Format("%u", status);
}

std::string Why(const Result& r) {
  std::string text;
  if (r.rc != 0) text += ", rc " + CodeText(r.rc);
  if (!r.err_text.empty()) text += ": " + r.err_text;
  return text;
}

}  // namespace

void Session::Set(const std::string& key, const std::string& value) {
  const Result r = Run(Spec::Set({key}, {value}));
  if (r.status[0] != SIXCALL_STATUS_HIT) {
    Fail("SET of %s with %zu bytes has status %s, want HIT%s", Show(key).c_str(), value.size(), StatusText(r.status[0]).c_str(), Why(r).c_str());
  }
}

uint8_t Session::Get(const std::string& key, uint64_t len, std::string* value) {
  const Result r = Run(Spec::Get({key}, {len}));
  if (value != nullptr) *value = r.values[0];
  return r.status[0];
}

void Session::ExpectValue(const std::string& key, const std::string& value) {
  const Result r = Run(Spec::Get({key}, {value.size()}));
  if (r.status[0] != SIXCALL_STATUS_HIT) {
    Fail("GET of %s, which was stored with %zu bytes, has status %s, want HIT%s", Show(key).c_str(), value.size(), StatusText(r.status[0]).c_str(), Why(r).c_str());
  }
  if (r.values[0] != value) {
    size_t at = 0;
    while (r.values[0][at] == value[at]) at++;
    Fail("GET of %s returned other bytes than were stored: byte %zu of %zu is 0x%02x, want 0x%02x", Show(key).c_str(), at, value.size(),
         static_cast<unsigned char>(r.values[0][at]), static_cast<unsigned char>(value[at]));
  }
}

void Session::ExpectMiss(const std::string& key, uint64_t len) {
  const Result r = Run(Spec::Get({key}, {len}));
  if (r.status[0] != SIXCALL_STATUS_MISS || r.rc != 0) {
    Fail("GET of %s, which was never stored, has status %s, want MISS%s", Show(key).c_str(), StatusText(r.status[0]).c_str(), Why(r).c_str());
  }
}

uint8_t Session::Exists(const std::string& key) { return Run(Spec::Exists({key})).status[0]; }

void Exercise(Session& s, const char* tag, uint32_t rounds) {
  for (uint32_t round = 0; round < rounds; round++) {
    std::vector<std::string> keys, values;
    std::vector<uint64_t> lens;
    const uint32_t n = s.Batch(4);
    for (uint32_t i = 0; i < n; i++) {
      keys.push_back(Key("%s/%u/%u", tag, round, i));
      values.push_back(Content(keys.back(), 1, s.ValueLen(i == 0 ? 1 : 700 * i)));
      lens.push_back(values.back().size());
    }
    const Result set = s.Run(Spec::Set(keys, values));
    for (uint32_t i = 0; i < n; i++) {
      if (set.status[i] != SIXCALL_STATUS_HIT) Fail("SET of key %u of %u has status %s, want HIT%s", i, n, StatusText(set.status[i]).c_str(), Why(set).c_str());
    }
    const Result got = s.Run(Spec::Get(keys, lens));
    for (uint32_t i = 0; i < n; i++) {
      if (got.status[i] != SIXCALL_STATUS_HIT) Fail("GET of key %u of %u, which was stored, has status %s, want HIT%s", i, n, StatusText(got.status[i]).c_str(), Why(got).c_str());
      if (got.values[i] != values[i]) Fail("GET of key %u of %u returned other bytes than were stored", i, n);
    }
    if (s.Exists(keys[0]) != SIXCALL_STATUS_HIT) Fail("EXISTS of a stored key is not HIT");
    s.ExpectMiss(Key("%s/%u/absent", tag, round));
    if (PROBE_SLOT(s.api(), submit_batch_delete) != nullptr && HasCap(s.api(), SIXCALL_CAP_DELETE)) s.Run(Spec::Delete(keys));
  }
}

}  // namespace probe
