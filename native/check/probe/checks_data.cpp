// SPDX-License-Identifier: Apache-2.0
//
// B: values and batches.
#include <algorithm>
#include <cstring>

#include "session.h"

namespace probe {
namespace {

std::string Diff(const std::string& got, const std::string& want) {
  size_t at = 0;
  while (at < got.size() && at < want.size() && got[at] == want[at]) at++;
  return Format("the first difference is at byte %zu of %zu", at, want.size());
}

}  // namespace

PROBE_CHECK(B01) {
  Session s(Load());
  std::vector<uint64_t> sizes = {1, 2, 63, 4095, 4096, 4097, 64 << 10, (64 << 10) + 1, 1 << 20, 16 << 20};
  if (s.limits().max_value_len != 0 && s.limits().max_value_len <= (64 << 20)) sizes.push_back(s.limits().max_value_len);
  std::vector<std::string> keys;
  for (const uint64_t size : sizes) {
    if (size > s.ValueLen(UINT64_MAX)) continue;
    const std::string key = Key("round/%llu", static_cast<unsigned long long>(size));
    s.Set(key, Content(key, 1, size));
    s.ExpectValue(key, Content(key, 1, size));
    keys.push_back(key);
  }
  // Once more, after all of them were stored.
  for (size_t i = 0; i < keys.size(); i++) s.ExpectValue(keys[i], Content(keys[i], 1, sizes[i]));
}

PROBE_CHECK(B02) {
  Session s(Load());
  for (const uint64_t len : {1, 100, 5000}) {
    Spec get = Spec::Get({Key("miss/%d", static_cast<int>(len))}, {s.ValueLen(len)});
    get.value_lens = true;
    const Result r = s.Run(get);  // the session checks that the buf is untouched
    if (r.status[0] != SIXCALL_STATUS_MISS) Fail("GET of a key that was never stored has status %u, want MISS (0)%s%s", r.status[0], r.err_text.empty() ? "" : ": ", r.err_text.c_str());
    if (r.rc != 0) Fail("GET of a key that was never stored ended with rc %s; a miss is a result, not an error", CodeText(r.rc).c_str());
    if (!r.err_text.empty() || r.err_code != 0) Fail("GET of a key that was never stored filled err: %s", r.err_text.c_str());
  }
  const Result e = s.Run(Spec::Exists({Key("miss/exists")}));
  if (e.status[0] != SIXCALL_STATUS_MISS || e.rc != 0) Fail("EXISTS of a key that was never stored has status %u and rc %d, want 0 and 0", e.status[0], e.rc);
}

PROBE_CHECK(B03) {
  Session s(Load());
  const uint32_t n = s.Batch(1000);
  std::vector<std::string> keys, stored, values;
  std::vector<uint64_t> lens;
  for (uint32_t i = 0; i < n; i++) {
    keys.push_back(Key("mixed/%u", i));
    const uint64_t len = s.ValueLen(20 + i % 50);
    lens.push_back(len);
    if (i % 2 == 1 || i % 7 == 0) {
      stored.push_back(keys.back());
      values.push_back(Content(keys.back(), 3, len));
    }
  }
  const Result set = s.Run(Spec::Set(stored, values));
  if (set.n_ok != stored.size()) Fail("SET of %zu keys stored %u%s%s", stored.size(), set.n_ok, set.err_text.empty() ? "" : ": ", set.err_text.c_str());
  const Result get = s.Run(Spec::Get(keys, lens)), exists = s.Run(Spec::Exists(keys));
  for (uint32_t i = 0; i < n; i++) {
    const bool want = i % 2 == 1 || i % 7 == 0;
    if ((get.status[i] == SIXCALL_STATUS_HIT) != want || get.status[i] > 1) Fail("GET of a batch of %u: key %u has status %u, want %d", n, i, get.status[i], want);
    if ((exists.status[i] == SIXCALL_STATUS_HIT) != want || exists.status[i] > 1) Fail("EXISTS of a batch of %u: key %u has status %u, want %d", n, i, exists.status[i], want);
    if (want && get.values[i] != Content(keys[i], 3, lens[i])) Fail("GET of a batch of %u: key %u has the value of another key or wrong bytes", n, i);
  }
}

PROBE_CHECK(B04) {
  Session s(Load());
  const uint32_t workers = 4;
  for (const uint32_t n : {1u, 2u, 3u, workers - 1, workers, workers + 1, 7u, 8u, 9u, 13u, 16u, 17u, 31u, 32u, 33u, 61u, 64u, 65u, 127u, 257u, 509u, 1021u}) {
    if (n > s.Batch(UINT32_MAX)) break;
    std::vector<std::string> keys, values;
    std::vector<uint64_t> lens;
    for (uint32_t i = 0; i < n; i++) {
      keys.push_back(Key("shape/%u/%u", n, i));
      values.push_back(Content(keys.back(), 0, s.ValueLen(10 + i % 90)));
      lens.push_back(values.back().size());
    }
    const Result set = s.Run(Spec::Set(keys, values));
    if (set.n_ok != n) Fail("SET of %u keys stored %u", n, set.n_ok);
    const Result get = s.Run(Spec::Get(keys, lens));
    for (uint32_t i = 0; i < n; i++) {
      if (get.status[i] != SIXCALL_STATUS_HIT || get.values[i] != values[i]) Fail("GET of %u keys: key %u has status %u or a wrong value", n, i, get.status[i]);
    }
    const Result exists = s.Run(Spec::Exists(keys));
    if (exists.n_ok != n) Fail("EXISTS of %u stored keys finds %u", n, exists.n_ok);
  }
}

PROBE_CHECK(B05) {
  Session s(Load());
  const std::string key = Key("overwrite");
  uint64_t version = 0;
  for (const uint64_t len : {100, 5000, 300, 300, 70000, 1}) {
    const std::string value = Content(key, ++version, s.ValueLen(len));
    s.Set(key, value);
    s.ExpectValue(key, value);
  }
  // The length of an earlier value must be gone.
  if (s.Get(key, s.ValueLen(70000), nullptr) == SIXCALL_STATUS_HIT) Fail("after a shorter value was stored, a GET with the length of the value before is a HIT: a stale tail");
}

PROBE_CHECK(B06) {
  Session s(Load());
  const uint32_t n = s.Batch(8);
  const uint64_t len = s.ValueLen(30000);
  const Deadline end(EffortMs());
  for (uint64_t round = 0; round < 400 && !end.passed(); round++) {
    const std::string key = Key("twice/%llu", static_cast<unsigned long long>(round % 5));
    std::vector<std::string> keys(n, key), values;
    for (uint32_t i = 0; i < n; i++) values.push_back(Content(key, round * 100 + i, len));
    const uint64_t set = s.Submit(Spec::Set(keys, values)), get = s.Submit(Spec::Get(keys, std::vector<uint64_t>(n, len)));
    s.Wait(set);
    // Read while it was written: each buf holds one whole value of this or an earlier round.
    const Result during = s.Wait(get), after = s.Run(Spec::Get(keys, std::vector<uint64_t>(n, len)));
    for (uint32_t i = 0; i < n; i++) {
      const auto whole = [&](const std::string& v, bool earlier) {
        for (uint32_t k = 0; k < n; k++) {
          if (v == values[k]) return true;
          if (earlier && round >= 5 && v == Content(key, (round - 5) * 100 + k, len)) return true;
        }
        return false;
      };
      if (during.status[i] == SIXCALL_STATUS_HIT && !whole(during.values[i], true)) Fail("a GET during a SET of the same key returned a mixture of values");
      if (after.status[i] != SIXCALL_STATUS_HIT) Fail("a key that was stored %u times in one batch has status %u, want HIT", n, after.status[i]);
      if (!whole(after.values[i], false)) Fail("a key that was stored %u times in one batch has none of the values: %s", n, Diff(after.values[i], values[0]).c_str());
      if (after.values[i] != after.values[0]) Fail("GETs of one key in one batch returned different values, with no SET in flight");
    }
  }
}

PROBE_CHECK(B10) {
  Session s(Load());
  const std::string key = Key("size"), value = Content(key, 0, 100);
  s.Set(key, value);
  for (const uint64_t asked : {60, 99, 101, 200, 1}) {
    Spec get = Spec::Get({key}, {asked});
    get.value_lens = true;
    const Result r = s.Run(get);  // a byte past the end faults
    if (r.status[0] == SIXCALL_STATUS_HIT) Fail("GET of a value of 100 bytes with len %llu is a HIT, want SIZE (3)", static_cast<unsigned long long>(asked));
    if (r.status[0] != SIXCALL_STATUS_SIZE) Fail("GET of a value of 100 bytes with len %llu has status %u, want SIZE (3)", static_cast<unsigned long long>(asked), r.status[0]);
    if (HasCap(s.api(), SIXCALL_CAP_VALUE_LENS) && r.value_lens[0] != 100) {
      Fail("value_lens of a value of 100 bytes is %llu", static_cast<unsigned long long>(r.value_lens[0]));
    }
  }
  s.ExpectValue(key, value);
}

PROBE_CHECK(B11) {
  Session s(Load());
  const uint32_t align = s.align();
  const std::string key = Key("unaligned"), value = Content(key, 0, s.ValueLen(9001));
  s.Set(key, value);
  for (const uint32_t by : {1u, 2u, 3u, 7u, 8u, 63u, 511u}) {
    const bool fits = by % align == 0;
    Spec set = Spec::Set({key}, {value}), get = Spec::Get({key}, {value.size()});
    for (Spec* spec : {&set, &get}) {
      // A page boundary lies inside; `by` is the distance from a page's begin.
      spec->align = 4096;
      spec->misalign = by;
      spec->edge = Edge::kStart;
      uint64_t ticket = 0;
      const int32_t rc = s.TrySubmit(*spec, &ticket);
      if (!fits) {
        if (rc == 0) {
          s.Wait(ticket);
          Fail("limits says buf_align %u, but a buf at an address of %u modulo 4096 was accepted; want SIXCALL_E_INVAL", align, by);
        }
        continue;
      }
      if (rc != 0) Fail("%s with a buf at an address of %u modulo 4096 was refused with %s, although limits asks for no alignment", OpText(spec->op), by, CodeText(rc).c_str());
      const Result r = s.Wait(ticket);
      if (r.status[0] != SIXCALL_STATUS_HIT) Fail("%s with a buf at an address of %u modulo 4096 has status %u, want HIT: %s", OpText(spec->op), by, r.status[0], r.err_text.c_str());
      if (spec->op == SIXCALL_OP_GET && r.values[0] != value) Fail("GET into a buf at an address of %u modulo 4096 returned wrong bytes", by);
    }
  }
}

PROBE_CHECK(B12) {
  const sixcall_api* api = Load();
  if (!HasCap(api, SIXCALL_CAP_PERSISTENT)) Skip("values belong to the handle: the library does not declare PERSISTENT");
  Session a(api), b(api);
  const bool promised = HasCap(api, SIXCALL_CAP_READ_YOUR_WRITES);
  for (int i = 0; i < 50; i++) {
    const std::string key = Key("ryw/%d", i % 10), value = Content(key, static_cast<uint64_t>(i), a.ValueLen(100 + 90 * static_cast<uint64_t>(i)));
    b.Exists(key);  // what it remembers of this must not count later
    a.Set(key, value);
    if (!promised) continue;
    if (b.Exists(key) != SIXCALL_STATUS_HIT) Fail("EXISTS on another handle does not see a SET that was drained, although READ_YOUR_WRITES is declared");
    b.ExpectValue(key, value);
  }
  if (promised) return;
  // Without the promise it has to be seen some time.
  const std::string key = Key("ryw/last");
  a.Set(key, "last");
  if (!Until(PatienceMs(), [&] { return b.Exists(key) == SIXCALL_STATUS_HIT; })) Fail("a value is never seen on another handle, although PERSISTENT is declared");
}

PROBE_CHECK(B14) {
  const sixcall_api* api = Load();
  if (!Has("params_other")) Skip("needs --other-params, a configuration with another namespace");
  OpenOptions other_options;
  other_options.config = In("params_other");
  Session one(api), other(api, other_options);
  for (int i = 0; i < 10; i++) {
    const std::string key = Key("tenant/%d", i), mine = Content(key, 1, 200), theirs = Content(key, 2, 200);
    one.Set(key, mine);
    if (other.Exists(key) != SIXCALL_STATUS_MISS) Fail("a key that was stored in one namespace exists in the other one");
    other.ExpectMiss(key, 200);
    other.Set(key, theirs);
    one.ExpectValue(key, mine);
    other.ExpectValue(key, theirs);
    if (!HasCap(api, SIXCALL_CAP_DELETE)) continue;
    other.Run(Spec::Delete({key}));
    one.ExpectValue(key, mine);
  }
}

}  // namespace probe
