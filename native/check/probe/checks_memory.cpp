// SPDX-License-Identifier: Apache-2.0
//
// M: the host's memory.
#include <cstring>

#include "session.h"

namespace probe {

PROBE_CHECK(M01) {
  Session s(Load());
  for (const Edge edge : {Edge::kEnd, Edge::kStart}) {
    for (const uint64_t len : {1, 7, 8, 100, 4096, 5000}) {
      const std::string key = Key("guard/%d/%llu", edge == Edge::kEnd, static_cast<unsigned long long>(len)), value = Content(key, 0, s.ValueLen(len));
      Spec set = Spec::Set({key, key + "b"}, {value, value}), get = Spec::Get({key, key + "b", key + "c"}, {value.size(), value.size(), 9});
      Spec exists = Spec::Exists({key, key + "c"}), wrong = Spec::Get({key}, {value.size() + 5}), small = Spec::Get({key + "b"}, {value.size() / 2 + 1});
      set.edge = get.edge = exists.edge = wrong.edge = small.edge = edge;
      get.value_lens = exists.value_lens = wrong.value_lens = true;
      s.Run(set);
      const Result r = s.Run(get);
      if (r.status[0] != SIXCALL_STATUS_HIT || r.values[0] != value) Fail("GET of a stored value of %zu bytes has status %u or wrong bytes", value.size(), r.status[0]);
      s.Run(exists);
      s.Run(wrong);
      s.Run(small);
      if (HasCap(s.api(), SIXCALL_CAP_DELETE)) {
        Spec gone = Spec::Delete({key + "b", key + "c"});
        gone.edge = edge;
        s.Run(gone);
      }
    }
  }
}

PROBE_CHECK(M02) {
  // Keys, items and the values of a SET are mapped read-only while they are lent.
  Session s(Load());
  for (int i = 0; i < 40; i++) {
    const std::string key = Key("readonly/%d", i), value = Content(key, 0, s.ValueLen(300 * static_cast<uint64_t>(i) + 1));
    s.Set(key, value);
    s.ExpectValue(key, value);
    s.Exists(key);
    s.Run(Spec::Set({key, key + "x", key + "y"}, {value, value, value}));
    if (HasCap(s.api(), SIXCALL_CAP_DELETE)) s.Run(Spec::Delete({key + "x"}));
  }
}

PROBE_CHECK(M03) {
  // The session overwrites the batch struct with 0xAA right after each submit and
  // then takes it away.
  Session s(Load());
  for (int round = 0; round < 30; round++) {
    std::vector<uint64_t> tickets;
    std::vector<std::string> values;
    for (int i = 0; i < 8; i++) {
      const std::string key = Key("copy/%d", i);
      values.push_back(Content(key, static_cast<uint64_t>(round), s.ValueLen(2000)));
      tickets.push_back(s.Submit(Spec::Set({key}, {values.back()})));
    }
    for (const uint64_t t : tickets) {
      if (s.Wait(t).status[0] != SIXCALL_STATUS_HIT) Fail("a SET whose batch struct was overwritten after the submit is not stored");
    }
    for (int i = 0; i < 8; i++) tickets[static_cast<size_t>(i)] = s.Submit(Spec::Get({Key("copy/%d", i)}, {values[static_cast<size_t>(i)].size()}));
    for (size_t i = 0; i < 8; i++) {
      const Result r = s.Wait(tickets[i]);
      if (r.status[0] != SIXCALL_STATUS_HIT || r.values[0] != values[i]) Fail("a GET whose batch struct was overwritten after the submit does not return its value");
    }
  }
}

PROBE_CHECK(M04) {
  Session s(Load());
  std::vector<std::string> keys;
  std::vector<uint64_t> lens;
  const uint32_t n = s.Batch(40);
  for (uint32_t i = 0; i < n; i++) {
    keys.push_back(Key("poison/%u", i));
    lens.push_back(s.ValueLen(i * 97 + 1));
  }
  s.Set(keys[0], Content(keys[0], 0, lens[0]));
  for (int round = 0; round < 20; round++) {
    // The bufs hold another pattern each round; those of misses have to keep it.
    const Result r = s.Run(Spec::Get(keys, lens));
    if (r.status[0] != SIXCALL_STATUS_HIT || r.n_ok != 1) Fail("a batch with one hit and %u misses has %u hits", n - 1, r.n_ok);
    std::vector<uint64_t> wrong = lens;
    wrong[0] = lens[0] + 50;
    s.Run(Spec::Get(keys, wrong));
    s.Run(Spec::Exists(keys));
  }
}

}  // namespace probe
