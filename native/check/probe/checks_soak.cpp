// SPDX-License-Identifier: Apache-2.0
//
// K: hours of load. Q: figures.
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

#include "load.h"
#include "process.h"

namespace probe {
namespace {

uint64_t SoakMs() { return InNumber("soak_ms", 3600000); }

uint64_t Percentile(std::vector<uint64_t>& v, double p) {
  if (v.empty()) return 0;
  const auto at = static_cast<size_t>(p * static_cast<double>(v.size() - 1));
  std::nth_element(v.begin(), v.begin() + static_cast<long>(at), v.end());
  return v[at];
}

LoadOptions Steady(const char* tag, uint64_t ms) {
  LoadOptions load;
  load.tag = tag;
  load.ms = ms;
  load.batches = UINT64_MAX;
  return load;
}

/// Microseconds of one operation with so many in flight.
std::vector<uint64_t> Measure(Session& s, uint32_t op, uint64_t len, uint32_t window, uint64_t ms) {
  std::vector<uint64_t> took;
  std::vector<std::string> keys;
  for (uint32_t i = 0; i < window; i++) keys.push_back(Key("latency/%llu/%u", static_cast<unsigned long long>(len), i));
  const std::string value = Content("latency", 0, len);
  for (const auto& key : keys) s.Set(key, value);
  std::map<uint64_t, uint32_t> pending;
  const Deadline end(ms);
  const auto submit = [&](uint32_t slot) {
    const Spec spec = op == SIXCALL_OP_SET ? Spec::Set({keys[slot]}, {value}) : op == SIXCALL_OP_GET ? Spec::Get({keys[slot]}, {len}) : Spec::Exists({keys[slot]});
    pending[s.Submit(spec)] = slot;
  };
  for (uint32_t i = 0; i < window; i++) submit(i);
  while (!pending.empty()) {
    if (s.Readable(100)) s.Drain(64);
    for (auto it = pending.begin(); it != pending.end();) {
      if (!s.Finished(it->first)) {
        ++it;
        continue;
      }
      const Result r = s.Wait(it->first);
      took.push_back((r.drained_ns - r.submitted_ns) / 1000);
      const uint32_t slot = it->second;
      it = pending.erase(it);
      if (!end.passed()) submit(slot);
    }
  }
  return took;
}

}  // namespace

PROBE_CHECK(K01) {
  Session s(Load());
  s.Forget(false);
  Workload load(s, Steady("soak", SoakMs()));
  std::vector<std::pair<double, double>> rss;  // seconds, bytes
  size_t threads = 0, fds = 0;
  const uint64_t start = NowMs();
  const uint64_t warm = SoakMs() / 5;
  uint64_t next = warm;
  for (const Deadline end(SoakMs()); !end.passed();) {
    for (int i = 0; i < 100; i++) load.Step();
    load.DrainSome(5);
    const uint64_t at = NowMs() - start;
    if (at < next) continue;
    next = at + SoakMs() / 200;
    rss.emplace_back(static_cast<double>(at) / 1000, static_cast<double>(RssBytes()));
    if (threads == 0) threads = Threads().size(), fds = Descriptors().size();
  }
  for (const Deadline end(PatienceMs()); s.InFlight() > 0 && !end.passed();) load.DrainSome(50);
  if (Threads().size() > threads + 2) Leak("%zu threads after a fifth of the time, %zu at the end", threads, Threads().size());
  if (Descriptors().size() > fds + 4) Leak("%zu file descriptors after a fifth of the time, %zu at the end", fds, Descriptors().size());
  // Least squares; the error of the slope bounds it from below.
  double n = 0, sx = 0, sy = 0, sxx = 0, sxy = 0;
  for (const auto& p : rss) n++, sx += p.first, sy += p.second, sxx += p.first * p.first, sxy += p.first * p.second;
  if (n < 10) Skip("too short: %zu samples", rss.size());
  const double slope = (n * sxy - sx * sy) / (n * sxx - sx * sx), base = (sy - slope * sx) / n;
  double residual = 0;
  for (const auto& p : rss) residual += (p.second - base - slope * p.first) * (p.second - base - slope * p.first);
  const double error = 2.6 * __builtin_sqrt(residual / (n - 2) / (sxx - sx * sx / n));
  Figure("rss_bytes_per_hour", slope * 3600);
  Figure("batches", static_cast<double>(load.done()));
  const double grown = (slope - error) * (rss.back().first - rss.front().first);
  if (slope > error && grown > 4 << 20) Leak("the process grows by %.0f bytes per hour of steady load", slope * 3600);
}

PROBE_CHECK(K02) {
  Session s(Load());
  const uint64_t part = std::max<uint64_t>(SoakMs() / 6, 200);
  std::vector<uint64_t> first = Measure(s, SIXCALL_OP_GET, s.ValueLen(4096), 4, part);
  LoadOptions load = Steady("between", SoakMs() - 2 * part);
  RandomLoad(s, load);
  std::vector<uint64_t> last = Measure(s, SIXCALL_OP_GET, s.ValueLen(4096), 4, part);
  const auto before = static_cast<double>(Percentile(first, 0.99)), after = static_cast<double>(Percentile(last, 0.99));
  Figure("p99_us_first", before);
  Figure("p99_us_last", after);
  const auto middle = static_cast<double>(Percentile(first, 0.5)), later = static_cast<double>(Percentile(last, 0.5));
  Figure("p50_us_first", middle);
  Figure("p50_us_last", later);
  if (later > 1.3 * middle + 100) Warn("the p50 of GET was %.0f us in the first sixth and is %.0f us in the last", middle, later);
  if (after > 1.3 * before + 200) Warn("the p99 of GET was %.0f us in the first sixth and is %.0f us in the last", before, after);
}

PROBE_CHECK(K03) {
  const sixcall_api* api = Load();
  Session steady(api);  // is there while others come and go
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> cycles{0};
  std::thread churn([&] {
    while (!stop.load()) {
      Session s(api);
      Exercise(s, "churn");
      cycles.fetch_add(1);
    }
  });
  Figure("batches", static_cast<double>(RandomLoad(steady, Steady("steady", SoakMs()))));
  stop.store(true);
  churn.join();
  Figure("cycles", static_cast<double>(cycles.load()));
}

PROBE_CHECK(Q01) {
  Session s(Load());
  for (const uint32_t n : {1u, 8u, 64u, s.Batch(1024)}) {
    std::vector<std::string> keys;
    for (uint32_t i = 0; i < n; i++) keys.push_back(Key("submit/%u", i));
    std::string flat;
    std::vector<sixcall_item> items(n);
    std::vector<uint8_t> status(n);
    for (uint32_t i = 0; i < n; i++) {
      items[i] = sixcall_item();
      items[i].key = reinterpret_cast<const uint8_t*>(keys[i].data());
      items[i].key_len = static_cast<uint32_t>(keys[i].size());
    }
    std::vector<uint64_t> took;
    const Deadline end(EffortMs() / 8);
    for (uint64_t i = 0; i < 20000 && !end.passed(); i++) {
      memset(status.data(), SIXCALL_STATUS_UNSET, n);
      sixcall_batch b = {};
      b.struct_size = sizeof(b);
      b.ticket = i;
      b.n = n;
      b.item_stride = sizeof(sixcall_item);
      b.items = items.data();
      b.status = status.data();
      const uint64_t before = NowNs();
      const int32_t rc = s.api()->submit_batch_exists(s.conn(), &b);
      took.push_back(NowNs() - before);
      if (rc != 0) Fail("submit was refused with %s", CodeText(rc).c_str());
      sixcall_completion done;
      const Deadline patience(PatienceMs());
      while (s.api()->drain_completions(s.conn(), &done, 1, sizeof(done)) == 0) {
        if (patience.passed()) Fail("a ticket never completed");
        s.Readable(100);
      }
    }
    const auto p99 = static_cast<double>(Percentile(took, 0.99)) / 1000;
    Figure(Format("p50_us_batch_%u", n).c_str(), static_cast<double>(Percentile(took, 0.5)) / 1000);
    Figure(Format("p99_us_batch_%u", n).c_str(), p99);
    if (p99 > 200) Note("the p99 of submit with %u keys is above 200 us", n);
  }
}

PROBE_CHECK(Q02) {
  Session s(Load());
  const struct {
    uint32_t op;
    const char* name;
  } ops[] = {{SIXCALL_OP_GET, "get"}, {SIXCALL_OP_SET, "set"}, {SIXCALL_OP_EXISTS, "exists"}};
  for (const uint64_t len : {uint64_t{4096}, uint64_t{65536}, uint64_t{1} << 20, uint64_t{16} << 20}) {
    if (len > s.ValueLen(len)) break;
    for (const uint32_t window : {1u, 4u, 16u}) {
      if (window * len > (8 << 20) && window > 1) continue;
      for (const auto& op : ops) {
        if (op.op == SIXCALL_OP_EXISTS && len != 4096) continue;
        std::vector<uint64_t> took = Measure(s, op.op, len, window, EffortMs() / 20);
        Figure(Format("%s_%lluk_x%u_p50_us", op.name, static_cast<unsigned long long>(len / 1024), window).c_str(), static_cast<double>(Percentile(took, 0.5)));
        Figure(Format("%s_%lluk_x%u_p99_us", op.name, static_cast<unsigned long long>(len / 1024), window).c_str(), static_cast<double>(Percentile(took, 0.99)));
      }
    }
  }
}

PROBE_CHECK(Q03) {
  Session s(Load());
  std::vector<uint64_t> wake;
  uint64_t drains = 0;
  const Deadline end(EffortMs() / 4);
  for (int i = 0; i < 20000 && !end.passed(); i++) {
    const uint64_t ticket = s.Submit(Spec::Exists({Key("wake")}));
    while (!s.Finished(ticket)) {
      if (s.Readable(1000)) s.Drain(64), drains++;
    }
    const Result r = s.Wait(ticket);
    if (r.done_ns != 0) wake.push_back((r.drained_ns - std::min(r.done_ns, r.drained_ns)) / 1000);
  }
  if (wake.empty()) Skip("done_ns is 0: the connector does not measure it");
  Figure("p50_us", static_cast<double>(Percentile(wake, 0.5)));
  Figure("p99_us", static_cast<double>(Percentile(wake, 0.99)));
  Figure("drains_per_completion", static_cast<double>(drains) / static_cast<double>(wake.size()));
}

PROBE_CHECK(Q04) {
  Session s(Load());
  for (const uint64_t len : {uint64_t{4096}, uint64_t{1} << 20}) {
    for (const uint32_t op : {SIXCALL_OP_SET, SIXCALL_OP_GET}) {
      const uint64_t start = NowNs();
      const std::vector<uint64_t> took = Measure(s, op, s.ValueLen(len), 16, EffortMs() / 8);
      const double seconds = static_cast<double>(NowNs() - start) / 1e9;
      const std::string name = Format("%s_%lluk", op == SIXCALL_OP_SET ? "set" : "get", static_cast<unsigned long long>(len / 1024));
      Figure((name + "_ops_per_s").c_str(), static_cast<double>(took.size()) / seconds);
      Figure((name + "_gb_per_s").c_str(), static_cast<double>(took.size()) * static_cast<double>(s.ValueLen(len)) / seconds / 1e9);
    }
  }
  Note("the probe guards its memory, which costs more than a host would");
}

PROBE_CHECK(Q05) {
  Session s(Load());
  rusage before, after;
  getrusage(RUSAGE_SELF, &before);
  const uint64_t cpu = CpuNs();
  const std::vector<uint64_t> took = Measure(s, SIXCALL_OP_GET, s.ValueLen(1 << 20), 4, EffortMs() / 4);
  getrusage(RUSAGE_SELF, &after);
  const auto n = static_cast<double>(took.size());
  Figure("cpu_us_per_op", static_cast<double>(CpuNs() - cpu) / 1000 / n);
  Figure("switches_per_op", static_cast<double>(after.ru_nvcsw + after.ru_nivcsw - before.ru_nvcsw - before.ru_nivcsw) / n);
  Figure("faults_per_op", static_cast<double>(after.ru_minflt - before.ru_minflt) / n);
  Note("of GETs of 1 MiB, with what the probe itself costs");
}

PROBE_CHECK(Q06) {
  const sixcall_api* api = Load();
  std::vector<uint64_t> open, first, close;
  for (int i = 0; i < 10; i++) {
    uint64_t t = NowNs();
    Session s(api);
    open.push_back((NowNs() - t) / 1000);
    t = NowNs();
    s.Exists(Key("first"));
    first.push_back((NowNs() - t) / 1000);
    t = NowNs();
    s.Close(5000);
    close.push_back((NowNs() - t) / 1000);
  }
  Figure("open_us", static_cast<double>(Percentile(open, 0.5)));
  Figure("first_us", static_cast<double>(Percentile(first, 0.5)));
  Figure("close_us", static_cast<double>(Percentile(close, 0.5)));
}

PROBE_CHECK(Q07) {
  Session s(Load());
  std::vector<uint64_t> alone = Measure(s, SIXCALL_OP_GET, s.ValueLen(4096), 1, EffortMs() / 8);
  std::vector<uint64_t> many = Measure(s, SIXCALL_OP_GET, s.ValueLen(4096), 64, EffortMs() / 8);
  const uint64_t p50 = Percentile(many, 0.5), slowest = many.empty() ? 0 : *std::max_element(many.begin(), many.end());
  Figure("alone_p50_us", static_cast<double>(Percentile(alone, 0.5)));
  Figure("x64_p50_us", static_cast<double>(p50));
  Figure("x64_slowest_us", static_cast<double>(slowest));
  // GETs while a flood of SETs is in the queue.
  const std::string value(s.ValueLen(1 << 20), 'f');
  std::vector<uint64_t> during;
  const Deadline end(EffortMs() / 4);
  while (!end.passed()) {
    std::vector<uint64_t> sets;
    for (int i = 0; i < 8; i++) sets.push_back(s.Submit(Spec::Set({Key("flood/%d", i)}, {value})));
    const Result r = s.Run(Spec::Get({Key("latency/4096/0")}, {4096}));
    during.push_back((r.drained_ns - r.submitted_ns) / 1000);
    for (const uint64_t t : sets) s.Wait(t);
  }
  Figure("get_behind_sets_p50_us", static_cast<double>(Percentile(during, 0.5)));
  if (slowest > 20 * std::max<uint64_t>(p50, 50)) Note("the slowest of 64 tickets took more than 20 times the median");
}

}  // namespace probe
