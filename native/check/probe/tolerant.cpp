// SPDX-License-Identifier: Apache-2.0
#include "tolerant.h"

#include <algorithm>
#include <cstring>

namespace probe {

std::string Sealed(const std::string& key, uint64_t version, uint64_t len) {
  std::string value = Content(key, version, len);
  memcpy(&value[0], &version, std::min<size_t>(8, len));
  return value;
}

uint64_t Unseal(const std::string& key, const std::string& value) {
  uint64_t version = 0;
  if (value.size() < 8) return 0;
  memcpy(&version, value.data(), 8);
  return version != 0 && value == Sealed(key, version, value.size()) ? version : 0;
}

Tolerant::Tolerant(Session& session, const TolerantOptions& options) : s_(session), options_(options) {
  const uint32_t most = s_.limits().max_inflight;
  if (most != 0 && options_.window > most) options_.window = most;
  options_.len = s_.ValueLen(options_.len);
}

void Tolerant::Look(const Result& r, const std::vector<std::string>& keys) {
  done_++;
  for (size_t i = 0; i < keys.size(); i++) {
    if (r.status[i] == SIXCALL_STATUS_HIT) hits_++;
    if (r.status[i] > SIXCALL_STATUS_HIT) failures_++;
    if (r.op != SIXCALL_OP_GET || r.status[i] != SIXCALL_STATUS_HIT || Unseal(keys[i], r.values[i]) != 0) continue;
    if (options_.wrong_bytes_warn) {
      Warn("during %s a GET returned wrong bytes as a HIT: there is no checksum; hosts should use \"integrity\": \"xxh3\"", options_.during);
    } else {
      Fail("during %s a GET returned bytes as a HIT that were never stored under the key", options_.during);
    }
  }
}

void Tolerant::Round() {
  std::vector<std::pair<uint64_t, std::vector<std::string>>> tickets;
  for (uint32_t i = 0; i < options_.window; i++) {
    Spec spec;
    const uint64_t what = random_.Below(5);
    std::vector<std::string> keys;
    for (uint64_t k = random_.Between(1, 3); k > 0; k--) keys.push_back(Key("%s/%llu", options_.tag.c_str(), static_cast<unsigned long long>(random_.Below(options_.keys))));
    if (what < 2) {
      std::vector<std::string> values;
      for (const auto& key : keys) values.push_back(Sealed(key, ++version_, options_.len));
      spec = Spec::Set(keys, values);
    } else if (what < 4) {
      spec = Spec::Get(keys, std::vector<uint64_t>(keys.size(), options_.len));
    } else {
      spec = Spec::Exists(keys);
    }
    uint64_t ticket = 0;
    const int32_t rc = s_.TrySubmit(spec, &ticket);
    if (rc == 0) {
      tickets.emplace_back(ticket, keys);
    } else if (rc != SIXCALL_E_AGAIN && rc != SIXCALL_E_NOMEM && rc != SIXCALL_E_IO && rc != SIXCALL_E_CONNECT && rc != SIXCALL_E_INTERNAL) {
      Fail("during %s a submit was refused with %s, want 0, AGAIN or the cause", options_.during, CodeText(rc).c_str());
    }
  }
  for (const auto& t : tickets) Look(s_.Wait(t.first), t.second);
}

void Tolerant::Run() {
  for (const Deadline end(options_.ms); !end.passed();) {
    Round();
    SleepUs(500);  // a backend that refuses is not asked 100,000 times a second
  }
}

void MustRecover(Session& s, const char* after) {
  const std::string key = Key("recovered"), value = Content(key, 1, s.ValueLen(500));
  std::string last = "nothing";
  const bool ok = Until(PatienceMs() + 10000, [&] {
    const Result set = s.Run(Spec::Set({key}, {value}));
    if (set.status[0] != SIXCALL_STATUS_HIT) {
      last = Format("SET has status %u%s%s", set.status[0], set.err_text.empty() ? "" : ": ", set.err_text.c_str());
      SleepUs(50000);
      return false;
    }
    const Result get = s.Run(Spec::Get({key}, {value.size()}));
    if (get.status[0] == SIXCALL_STATUS_HIT && get.values[0] != value) Fail("after %s a GET returns wrong bytes", after);
    last = Format("GET has status %u%s%s", get.status[0], get.err_text.empty() ? "" : ": ", get.err_text.c_str());
    return get.status[0] == SIXCALL_STATUS_HIT;
  });
  if (!ok) Fail("after %s the connection never works again: %s", after, last.c_str());
}

}  // namespace probe
