// SPDX-License-Identifier: Apache-2.0
//
// C: submissions and completions.
#include <algorithm>
#include <cstring>

#include "load.h"

namespace probe {
namespace {

OpenOptions WithParams(const std::string& name) {
  OpenOptions options;
  options.config = In(name);
  return options;
}

}  // namespace

PROBE_CHECK(C01) {
  Session s(Load());
  LoadOptions load;
  load.ms = EffortMs() / 2;
  load.window = 32;
  Figure("batches", static_cast<double>(RandomLoad(s, load)));
  // Nothing may come after the last ticket.
  for (int i = 0; i < 3; i++) {
    if (s.Readable(100)) s.Drain(64);
  }
}

PROBE_CHECK(C02) {
  Session s(Load());
  const uint32_t n = s.Batch(100);
  std::vector<std::string> keys, stored, values;
  std::vector<uint64_t> lens;
  for (uint32_t i = 0; i < n; i++) {
    keys.push_back(Key("status/%u", i));
    lens.push_back(30);
    if (i % 3 == 0) stored.push_back(keys.back());
    if (i % 3 == 0) values.push_back(Content(keys.back(), 0, 30));
  }
  // The session checks status bytes and n_ok of every completion.
  s.Run(Spec::Set(stored, values));
  for (int round = 0; round < 3; round++) {
    const Result exists = s.Run(Spec::Exists(keys)), get = s.Run(Spec::Get(keys, lens));
    for (const Result* r : {&exists, &get}) {
      if (r->rc != 0) Fail("%s of %u keys ended with rc %s: %s", OpText(r->op), n, CodeText(r->rc).c_str(), r->err_text.c_str());
      if (r->n_ok != stored.size()) Fail("%s of %u keys says that %u are stored, want %zu", OpText(r->op), n, r->n_ok, stored.size());
    }
  }
}

PROBE_CHECK(C03) {
  // Memory is inaccessible from the moment its ticket was drained: a late touch faults.
  Session s(Load());
  for (int round = 0; round < 60; round++) {
    std::vector<uint64_t> tickets;
    const std::string key = Key("touch/%d", round % 5), value = Content(key, 0, s.ValueLen(4000));
    tickets.push_back(s.Submit(Spec::Set({key}, {value})));
    Spec exists = Spec::Exists({key, Key("touch/absent")});
    exists.value_lens = true;
    tickets.push_back(s.Submit(exists));
    tickets.push_back(s.Submit(Spec::Get({Key("touch/absent/%d", round)}, {64})));
    for (const uint64_t t : tickets) s.Wait(t);
    if (s.Get(key, value.size(), nullptr) != SIXCALL_STATUS_HIT) Fail("a stored key is not found");
    if (round % 10 == 0) SleepUs(5000);  // time for a late touch
  }
  SleepUs(100000);
}

PROBE_CHECK(C04) {
  for (const uint32_t stride : {32u, 40u, 128u}) {
    for (const uint32_t cap : {1u, 7u, 4096u}) {
      OpenOptions options;
      options.stride = stride;
      options.drain_cap = cap;
      Session s(Load(), options);
      std::vector<uint64_t> tickets;
      const uint32_t n = s.limits().max_inflight != 0 ? std::min(s.limits().max_inflight, 20u) : 20;
      for (uint32_t i = 0; i < n; i++) tickets.push_back(s.Submit(Spec::Exists({Key("stride")})));
      // All of them at once, if they are ready; the records between are checked.
      if (cap > 1) SleepUs(2000);
      s.WaitAll();
      for (const uint64_t t : tickets) s.Wait(t);
      for (const uint32_t item_stride : {32u, 40u, 96u}) {
        const std::string a = Key("item/a/%u", item_stride), b = Key("item/b/%u", item_stride);
        Spec set = Spec::Set({a, b}, {Content(a, 0, 50), Content(b, 0, 60)});
        set.stride = item_stride;
        if (s.Run(set).n_ok != 2) Fail("SET with an item_stride of %u does not store its keys", item_stride);
        Spec get = Spec::Get({a, b}, {50, 60});
        get.stride = item_stride;
        const Result r = s.Run(get);
        if (r.n_ok != 2 || r.values[0] != Content(a, 0, 50) || r.values[1] != Content(b, 0, 60)) {
          Fail("GET with an item_stride of %u does not return what was stored", item_stride);
        }
      }
    }
  }
}

PROBE_CHECK(C05) {
  Session s(Load());
  const uint64_t numbers[] = {0, 1, 255, UINT64_C(1) << 31, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX - 1, UINT64_MAX};
  for (int round = 0; round < 3; round++) {  // reused after the drain
    for (const uint64_t n : numbers) {
      Spec spec = Spec::Exists({Key("ticket")});
      spec.own_ticket = true;
      spec.ticket = n;
      s.Submit(spec);
    }
    s.WaitAll();
    for (const uint64_t n : numbers) s.Wait(n);
  }
}

PROBE_CHECK(C06) {
  Session s(Load());
  int measured = 0;
  for (int i = 0; i < 50; i++) {
    const Result r = s.Run(i % 2 == 0 ? Spec::Set({Key("time")}, {Content("time", 0, 100)}) : Spec::Exists({Key("time")}));
    if (r.done_ns == 0) continue;
    measured++;
    if (r.done_ns < r.submitted_ns) Fail("done_ns is %llu us before the submit; it is no time of CLOCK_MONOTONIC", static_cast<unsigned long long>((r.submitted_ns - r.done_ns) / 1000));
    if (r.done_ns > r.drained_ns) Fail("done_ns is %llu us after the drain; it is no time of CLOCK_MONOTONIC", static_cast<unsigned long long>((r.done_ns - r.drained_ns) / 1000));
  }
  if (measured == 0) Note("done_ns is 0: the connector does not measure it");
}

PROBE_CHECK(C07) {
  const sixcall_api* api = Load();
  Session s(api);
  sixcall_completion one;
  for (int i = 0; i < 100; i++) {
    if (s.Drain(64) != 0) Fail("a drain with nothing in flight returned a record");
  }
  At("drain_completions with cap 0");
  int32_t n = api->drain_completions(s.conn(), &one, 0, sizeof(one));
  if (n != 0) Fail("drain_completions with cap 0 returned %d, want 0", n);
  At("drain_completions with out NULL and cap 0");
  n = api->drain_completions(s.conn(), nullptr, 0, sizeof(one));
  if (n != 0) Fail("drain_completions with out NULL and cap 0 returned %d, want 0", n);
  // The same with a record waiting: it must not be lost.
  const uint64_t ticket = s.Submit(Spec::Exists({Key("empty")}));
  const bool readable = s.Readable(static_cast<int>(PatienceMs()));
  n = api->drain_completions(s.conn(), nullptr, 0, sizeof(one));
  if (n != 0) Fail("drain_completions with cap 0 and a record waiting returned %d, want 0", n);
  if (!readable) Fail("the event fd is silent, although ticket %llu must have ended", static_cast<unsigned long long>(ticket));
  if (!s.Readable(1000)) Fail("after drain_completions with cap 0 the event fd is silent, although a record waits");
  s.Wait(ticket);
}

PROBE_CHECK(C08) {
  const sixcall_api* api = Load();
  const bool stalled = Has("params_stall");
  Session s(api, stalled ? WithParams("params_stall") : OpenOptions());
  const uint32_t declared = s.limits().max_inflight;
  const uint32_t most = std::min(declared != 0 ? declared : 4096u, 70000u);
  // Plain memory: so many guarded batches would need more mappings than there are.
  // It stays to the end of the process, as a stalled connection may keep it.
  auto& status = *new std::vector<uint8_t>(most + 2, SIXCALL_STATUS_UNSET);
  static const std::string key = Key("block");
  static sixcall_item item = {};
  item.key = reinterpret_cast<const uint8_t*>(key.data());
  item.key_len = static_cast<uint32_t>(key.size());
  sixcall_batch batch = {};
  batch.struct_size = sizeof(batch);
  batch.n = 1;
  batch.item_stride = sizeof(item);
  batch.items = &item;
  uint64_t slowest = 0;
  uint32_t accepted = 0, slow = 0;
  bool again = false;
  // Nobody drains: submits have to be accepted or refused at once all the same.
  for (; accepted <= most && !again; accepted += again ? 0 : 1) {
    batch.ticket = accepted;
    batch.status = &status[accepted];
    At("submit of EXISTS number %u without a drain", accepted + 1);
    const uint64_t before = NowNs();
    const int32_t rc = api->submit_batch_exists(s.conn(), &batch);
    const uint64_t took = NowNs() - before;
    slowest = std::max(slowest, took);
    slow += took > 1000000000;
    if (rc == SIXCALL_E_AGAIN) again = true;
    else if (rc != 0) Fail("submit %u without a drain was refused with %s, want 0 or SIXCALL_E_AGAIN", accepted + 1, CodeText(rc).c_str());
  }
  Figure("slowest_submit_us", static_cast<double>(slowest) / 1000);
  Figure("accepted", accepted);
  if (slow > 1) Fail("submits took up to %llu ms while nobody drained; submit never blocks", static_cast<unsigned long long>(slowest / 1000000));
  if (declared != 0 && again && accepted < declared) Fail("submit returned SIXCALL_E_AGAIN with %u tickets in flight, although limits says %u", accepted, declared);
  if (declared != 0 && declared == most && !again) Fail("more than max_inflight = %u tickets were accepted without a drain", declared);
  if (!again) Note("%u tickets in flight were accepted", accepted);
  if (stalled) {
    s.Close(0);
    return;
  }
  std::vector<sixcall_completion> records(256);
  uint32_t drained = 0;
  for (const Deadline end(PatienceMs()); drained < accepted;) {
    const int32_t n = s.Readable(100) ? api->drain_completions(s.conn(), records.data(), 256, sizeof(records[0])) : 0;
    if (n < 0) Fail("drain_completions returned %s", CodeText(n).c_str());
    drained += static_cast<uint32_t>(n);
    if (end.passed()) Fail("%u of %u tickets have no completion", accepted - drained, accepted);
  }
  Exercise(s, "after AGAIN");
}

PROBE_CHECK(C09) {
  const sixcall_api* api = Load();
  Session s(api);
  const std::string key = Key("refused");
  uint8_t status[2] = {SIXCALL_STATUS_UNSET, SIXCALL_STATUS_UNSET};
  uint8_t buf[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  sixcall_item items[2] = {};
  for (auto& item : items) {
    item.key = reinterpret_cast<const uint8_t*>(key.data());
    item.key_len = static_cast<uint32_t>(key.size());
    item.buf = buf;
    item.len = sizeof(buf);
  }
  sixcall_batch good = {};
  good.struct_size = sizeof(good);
  good.ticket = 4711;
  good.n = 1;
  good.item_stride = sizeof(sixcall_item);
  good.items = items;
  good.status = status;
  const struct {
    const char* what;
    void (*change)(sixcall_batch&, sixcall_item&);
  } cases[] = {
      {"n = 0", [](sixcall_batch& b, sixcall_item&) { b.n = 0; }},
      {"an item_stride of 0", [](sixcall_batch& b, sixcall_item&) { b.n = 2, b.item_stride = 0; }},
      {"an item_stride of 16", [](sixcall_batch& b, sixcall_item&) { b.n = 2, b.item_stride = 16; }},
      {"items NULL", [](sixcall_batch& b, sixcall_item&) { b.items = nullptr; }},
      {"status NULL", [](sixcall_batch& b, sixcall_item&) { b.status = nullptr; }},
      {"a key that is NULL", [](sixcall_batch&, sixcall_item& i) { i.key = nullptr; }},
      {"a key of 0 bytes", [](sixcall_batch&, sixcall_item& i) { i.key_len = 0; }},
      {"a struct_size of 8", [](sixcall_batch& b, sixcall_item&) { b.struct_size = 8; }},
  };
  const struct {
    const char* name;
    int32_t (*submit)(sixcall_conn*, const sixcall_batch*);
  } calls[] = {{"submit_batch_get", api->submit_batch_get}, {"submit_batch_set", api->submit_batch_set}, {"submit_batch_exists", api->submit_batch_exists}};
  for (const auto& call : calls) {
    for (const auto& c : cases) {
      sixcall_batch batch = good;
      const sixcall_item kept = items[0];
      c.change(batch, items[0]);
      At("%s with %s", call.name, c.what);
      const int32_t rc = call.submit(s.conn(), &batch);
      items[0] = kept;
      if (rc == 0) Fail("%s with %s was accepted, want SIXCALL_E_INVAL", call.name, c.what);
      if (rc != SIXCALL_E_INVAL) Warn("%s with %s was refused with %s, want SIXCALL_E_INVAL", call.name, c.what, CodeText(rc).c_str());
    }
    At("%s with a NULL batch", call.name);
  }
  if (s.Readable(300) && s.Drain(64) > 0) Fail("a refused batch has a completion");  // Drain fails for an unknown ticket
  if (status[0] != SIXCALL_STATUS_UNSET || status[1] != SIXCALL_STATUS_UNSET) Fail("a refused batch has a status byte");
  for (int i = 0; i < 8; i++) {
    if (buf[i] != i + 1) Fail("a refused batch has changed a buf");
  }
  if (s.Exists(key) != SIXCALL_STATUS_MISS) Fail("a refused SET stored its key");
  Exercise(s, "after refusals");
}

PROBE_CHECK(C10) {
  const sixcall_api* api = Load();
  Require(api, SIXCALL_CAP_DEADLINE, "DEADLINE");
  if (!Has("params_stall")) Skip("needs --stall-params, a configuration with which operations take a minute");
  Session s(api, WithParams("params_stall"));
  std::vector<uint64_t> lates;  // the median counts: the machine may be busy
  for (int i = 0; i < 5; i++) {
    Spec spec = Spec::Get({Key("deadline/%d", i)}, {s.ValueLen(1000)});
    const uint64_t deadline = NowNs() + 50000000;
    spec.deadline_ns = deadline;
    const Result r = s.Run(spec);
    lates.push_back((r.drained_ns - std::min(r.drained_ns, deadline)) / 1000000);
    if (r.status[0] != SIXCALL_STATUS_TIMEOUT) Fail("a GET whose deadline passed has status %u, want TIMEOUT (5)", r.status[0]);
  }
  std::sort(lates.begin(), lates.end());
  const uint64_t late = lates[lates.size() / 2];
  Figure("late_ms", static_cast<double>(late));
  if (late > 100) Fail("tickets complete %llu ms after their deadline, want at most 100", static_cast<unsigned long long>(late));
  SleepUs(200000);  // a late write would fault now
  s.Close(0);
}

}  // namespace probe
