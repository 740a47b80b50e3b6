// SPDX-License-Identifier: Apache-2.0
//
// P: delete, ping, cancel, registered memory.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "load.h"

namespace probe {
namespace {

void Shell(const std::string& command) {
  if (system(command.c_str()) != 0) ToolError("the fixture command failed: %s", command.c_str());
}

struct Registered {
  explicit Registered(Session& s, size_t len) : session(s), memory(len, Edge::kStart, "registered memory", 4096) {
    sixcall_memory m = {};
    m.struct_size = sizeof(m);
    m.kind = SIXCALL_MEMORY_ANONYMOUS;
    m.base = memory.data();
    m.len = len;
    m.fd = -1;
    sixcall_err err = {};
    err.struct_size = sizeof(err);
    At("register_memory of %zu bytes", len);
    const int32_t rc = s.api()->register_memory(s.conn(), &m, &handle, &err);
    if (rc != 0) Fail("register_memory of %zu bytes returned %s: %.200s", len, CodeText(rc).c_str(), err.msg);
    if (handle == 0) Fail("register_memory returned 0 and the handle 0, which means none");
  }
  int32_t Unregister() {
    At("unregister_memory");
    return session.api()->unregister_memory(session.conn(), handle);
  }
  Session& session;
  Guarded memory;
  uint64_t handle = 0;
};

}  // namespace

PROBE_CHECK(P01) {
  const sixcall_api* api = Load();
  Require(api, SIXCALL_CAP_DELETE, "DELETE");
  Session s(api);
  std::vector<std::string> stored, values, all;
  const uint32_t n = std::min(20u, s.Batch(20));
  for (uint32_t i = 0; i < n; i++) {
    all.push_back(Key("delete/%u", i));
    if (i % 2 != 0) continue;
    stored.push_back(all.back());
    values.push_back(Content(all.back(), 0, 50));
  }
  for (int round = 0; round < 3; round++) {
    s.Run(Spec::Set(stored, values));
    const Result r = s.Run(Spec::Delete(all));
    for (uint32_t i = 0; i < n; i++) {
      const uint8_t want = i % 2 == 0 ? SIXCALL_STATUS_HIT : SIXCALL_STATUS_MISS;
      if (r.status[i] != want) Fail("DELETE of key %u, which was %s, has status %u, want %u", i, want == SIXCALL_STATUS_HIT ? "stored" : "absent", r.status[i], want);
    }
    const Result e = s.Run(Spec::Exists(all));
    if (e.n_ok != 0) Fail("%u of %zu deleted keys still exist", e.n_ok, stored.size());
    s.ExpectMiss(stored[0], 50);
    const Result again = s.Run(Spec::Delete(stored));
    if (again.n_ok != 0) Fail("a second DELETE removed %u keys that were gone", again.n_ok);
  }
  // The same key several times: removed once or more often said so, then gone.
  s.Set(all[0], "x");
  const Result twice = s.Run(Spec::Delete({all[0], all[0], all[0]}));
  if (twice.n_ok == 0) Fail("DELETE of one stored key three times in a batch says that nothing was removed");
  if (s.Exists(all[0]) != SIXCALL_STATUS_MISS) Fail("a key that was deleted three times in a batch still exists");
  s.Set(all[0], "again");
  s.ExpectValue(all[0], "again");
}

PROBE_CHECK(P02) {
  const sixcall_api* api = Load();
  Require(api, SIXCALL_CAP_PING, "PING");
  Session s(api);
  for (int i = 0; i < 20; i++) {
    const Result r = s.Run(Spec::Ping());
    if (r.rc != 0) Fail("a ping of a backend that is up ended with rc %s: %s", CodeText(r.rc).c_str(), r.err_text.c_str());
  }
  Spec wrong = Spec::Exists({Key("ping")});
  wrong.op = SIXCALL_OP_PING;
  uint64_t ticket = 0;
  if (s.TrySubmit(wrong, &ticket) == 0) {
    s.Wait(ticket);
    Warn("submit_ping accepted a batch with a key");
  }
  if (!Has("fixture_pause")) {
    Note("the backend was not paused: no --fixture-pause");
    return;
  }
  Shell(In("fixture_pause"));
  const uint64_t before = NowNs();
  Spec ping = Spec::Ping();
  ping.deadline_ns = before + 1000000000;
  const int32_t rc = s.TrySubmit(ping, &ticket);
  const uint64_t submit_ms = (NowNs() - before) / 1000000;
  bool finished = false;
  if (rc == 0) {
    finished = Until(std::min<uint64_t>(PatienceMs(), 10000), [&] {
      if (s.Readable(50)) s.Drain(64);
      return s.Finished(ticket);
    });
  }
  Shell(In("fixture_resume"));
  if (submit_ms > 1000) Fail("submit_ping took %llu ms while the backend was paused", static_cast<unsigned long long>(submit_ms));
  if (finished && s.Wait(ticket).rc == 0) Fail("a ping succeeded while the backend was paused");
  if (!finished && HasCap(api, SIXCALL_CAP_DEADLINE)) Fail("a ping with a deadline of 1 s did not end in 10 s while the backend was paused");
}

PROBE_CHECK(P03) {
  const sixcall_api* api = Load();
  Require(api, SIXCALL_CAP_CANCEL, "CANCEL");
  {
    Session s(api);
    const auto cancel = [&](uint64_t ticket) {
      At("cancel of ticket %llu", static_cast<unsigned long long>(ticket));
      return api->cancel(s.conn(), ticket);
    };
    int32_t rc = cancel(999999);
    if (rc != SIXCALL_E_INVAL) Fail("cancel of a ticket that was never submitted returned %s, want SIXCALL_E_INVAL", CodeText(rc).c_str());
    Random random;
    const Deadline end(EffortMs());
    for (int i = 0; i < 500 && !end.passed(); i++) {
      std::vector<uint64_t> tickets;
      for (int k = 0; k < 6; k++) {
        const std::string key = Key("cancel/%d", k);
        tickets.push_back(s.Submit(k % 2 == 0 ? Spec::Set({key}, {Content(key, 0, s.ValueLen(5000))}) : Spec::Get({key}, {s.ValueLen(5000)})));
        if (random.Chance(2)) cancel(tickets[random.Below(tickets.size())]);
      }
      for (const uint64_t t : tickets) {
        rc = cancel(t);
        if (rc != 0 && rc != SIXCALL_E_INVAL) Fail("cancel returned %s, want 0 or SIXCALL_E_INVAL", CodeText(rc).c_str());
        const Result r = s.Wait(t);  // exactly once, whatever happened
        for (const uint8_t status : r.status) {
          if (status == SIXCALL_STATUS_MISS && r.op == SIXCALL_OP_SET) Fail("a cancelled SET has status MISS");
        }
        rc = cancel(t);
        if (rc != SIXCALL_E_INVAL) Fail("cancel of a ticket that was drained returned %s, want SIXCALL_E_INVAL", CodeText(rc).c_str());
      }
    }
    Exercise(s, "after cancels");
  }
  if (!Has("params_stall")) return;
  OpenOptions options;
  options.config = In("params_stall");
  Session s(api, options);
  const uint64_t ticket = s.Submit(Spec::Get({Key("stalled")}, {100}));
  SleepUs(20000);
  if (api->cancel(s.conn(), ticket) == 0) {
    const uint64_t before = NowMs();
    const Result r = s.Wait(ticket);
    Figure("cancel_ms", static_cast<double>(NowMs() - before));
    if (r.status[0] != SIXCALL_STATUS_CANCELLED) Fail("a cancelled GET on a stalled backend has status %u, want CANCELLED (4)", r.status[0]);
  }
  s.Close(0);
}

PROBE_CHECK(P04) {
  const sixcall_api* api = Load();
  Require(api, SIXCALL_CAP_REGISTER_MEMORY, "REGISTER_MEMORY");
  Session s(api);
  const size_t len = std::max<size_t>(1 << 16, s.align());
  const auto specs = [&](const Registered& m, const std::string& key, const std::string& value) {
    memcpy(m.memory.data(), value.data(), value.size());
    Spec set = Spec::Set({key}, {value}), get = Spec::Get({key}, {value.size()});
    set.bufs = {m.memory.data()};
    get.bufs = {m.memory.data() + len / 2};
    set.mem_handle = get.mem_handle = m.handle;
    return std::make_pair(set, get);
  };
  {
    Registered m(s, len);
    const std::string key = Key("registered"), value = Content(key, 0, s.ValueLen(len / 2));
    const auto sg = specs(m, key, value);
    if (s.Run(sg.first).status[0] != SIXCALL_STATUS_HIT) Fail("SET from registered memory is not HIT");
    const Result r = s.Run(sg.second);
    if (r.status[0] != SIXCALL_STATUS_HIT || r.values[0] != value) Fail("GET into registered memory has status %u or wrong bytes", r.status[0]);
    const int32_t rc = m.Unregister();
    if (rc != 0) Fail("unregister_memory with nothing in flight returned %s", CodeText(rc).c_str());
    if (m.Unregister() == 0) Fail("unregister_memory accepted a handle twice");
    uint64_t ticket = 0;
    if (s.TrySubmit(sg.second, &ticket) == 0) {
      s.Wait(ticket);
      Fail("a batch with a handle that was unregistered was accepted, want SIXCALL_E_INVAL");
    }
    Spec unknown = Spec::Get({key}, {value.size()});
    unknown.mem_handle = 0xDEADBEEFCAFE;
    if (s.TrySubmit(unknown, &ticket) == 0) {
      s.Wait(ticket);
      Fail("a batch with a handle that was never given was accepted, want SIXCALL_E_INVAL");
    }
  }
  {
    // Unregistering in flight is refused, or waits; memory must not go away meanwhile.
    OpenOptions options;
    const bool stalled = Has("params_stall");
    if (stalled) options.config = In("params_stall");
    Session busy(api, options);
    auto* m = new Registered(busy, len);  // stays: the stalled one is never done
    const auto sg = specs(*m, Key("inflight"), Content("inflight", 0, busy.ValueLen(len / 2)));
    const uint64_t ticket = busy.Submit(sg.second);
    const int32_t rc = m->Unregister();
    if (rc != 0 && rc != SIXCALL_E_BUSY) Fail("unregister_memory with a batch in flight returned %s, want SIXCALL_E_BUSY", CodeText(rc).c_str());
    if (stalled && rc == 0) Fail("unregister_memory returned 0 with a stalled batch in flight: its transfer goes to memory that is gone");
    if (!stalled) busy.Wait(ticket);
    busy.Close(stalled ? 0 : 5000);
  }
  const Deadline end(EffortMs());
  uint32_t cycles = 0;
  Guarded memory(len, Edge::kStart, "registered memory", 4096);
  for (; cycles < 10000 && !end.passed(); cycles++) {
    sixcall_memory m = {};
    m.struct_size = sizeof(m);
    m.base = memory.data();
    m.len = len;
    m.fd = -1;
    uint64_t handle = 0;
    int32_t rc = api->register_memory(s.conn(), &m, &handle, nullptr);
    if (rc != 0 || handle == 0) Fail("register_memory returned %s in cycle %u", CodeText(rc).c_str(), cycles);
    rc = api->unregister_memory(s.conn(), handle);
    if (rc != 0) Fail("unregister_memory returned %s in cycle %u", CodeText(rc).c_str(), cycles);
  }
  Figure("cycles", cycles);
  Exercise(s, "after registrations");
}

}  // namespace probe
