// SPDX-License-Identifier: Apache-2.0
#include "load.h"

#include <algorithm>

namespace probe {

Workload::Workload(Session& session, const LoadOptions& options) : s_(session), options_(options), random_(InNumber("seed", 1)), model_(options.keys) {
  const uint32_t most = s_.limits().max_inflight;
  if (most != 0 && options_.window > most) options_.window = most;
  options_.most_keys = s_.Batch(options_.most_keys);
}

// Keys of one handle are its own, also where handles share a backend.
std::string Workload::KeyOf(uint32_t i) const { return Key("%s/%u", options_.tag.c_str(), i); }

uint64_t Workload::LenOf(uint64_t version) const {
  Random r(version * 31 + InNumber("seed", 1));
  const uint64_t most = s_.ValueLen(options_.most_bytes);
  return r.Chance(3) ? r.Between(1, std::min<uint64_t>(most, 64)) : r.Between(1, most);
}

bool Workload::Step() {
  if (pending_.size() >= options_.window) return false;
  static const uint32_t kOps[] = {SIXCALL_OP_SET, SIXCALL_OP_SET, SIXCALL_OP_GET, SIXCALL_OP_GET, SIXCALL_OP_GET, SIXCALL_OP_EXISTS, SIXCALL_OP_DELETE};
  Pending p;
  p.op = kOps[random_.Below(7)];
  const bool can_delete = options_.deletes && HasCap(s_.api(), SIXCALL_CAP_DELETE);
  if (p.op == SIXCALL_OP_DELETE && !can_delete) p.op = SIXCALL_OP_GET;
  const auto n = static_cast<uint32_t>(random_.Between(1, options_.most_keys));
  for (uint32_t i = 0; i < n; i++) {
    const auto key = static_cast<uint32_t>(random_.Below(options_.keys));
    if (busy_.insert(key).second) p.keys.push_back(key);
  }
  if (p.keys.empty()) return false;
  Spec spec;
  spec.op = p.op;
  spec.value_lens = random_.Chance(2) && p.op != SIXCALL_OP_SET && p.op != SIXCALL_OP_DELETE;
  spec.edge = random_.Chance(4) ? Edge::kStart : Edge::kEnd;
  for (const uint32_t key : p.keys) {
    spec.keys.push_back(KeyOf(key));
    const Stored& stored = model_[key];
    if (p.op == SIXCALL_OP_SET) {
      p.versions.push_back(++version_);
      spec.values.push_back(Content(spec.keys.back(), version_, LenOf(version_)));
    } else if (p.op == SIXCALL_OP_GET) {
      spec.lens.push_back(stored.version == 0 ? random_.Between(1, s_.ValueLen(200)) : stored.len);
    }
  }
  pending_[s_.Submit(spec)] = p;
  return true;
}

void Workload::Check(const Result& r, const Pending& p) {
  const char* op = OpText(p.op);
  for (size_t i = 0; i < p.keys.size(); i++) {
    Stored& stored = model_[p.keys[i]];
    const std::string key = KeyOf(p.keys[i]);
    const uint8_t want = p.op == SIXCALL_OP_SET || stored.version != 0 ? SIXCALL_STATUS_HIT : SIXCALL_STATUS_MISS;
    if (r.status[i] != want) {
      Fail("%s of key %zu of %zu has status %u, want %u (%s)%s%s; batch %llu of the run", op, i, p.keys.size(), r.status[i], want,
           p.op == SIXCALL_OP_SET ? "a store" : stored.version != 0 ? "it is stored" : "it is absent", r.err_text.empty() ? "" : ": ", r.err_text.c_str(),
           static_cast<unsigned long long>(done_));
    }
    if (p.op == SIXCALL_OP_SET) {
      stored.version = p.versions[i];
      stored.len = LenOf(p.versions[i]);
    } else if (p.op == SIXCALL_OP_GET && stored.version != 0 && r.values[i] != Content(key, stored.version, stored.len)) {
      Fail("GET of key %zu of %zu returned other bytes than the last store put there; batch %llu of the run", i, p.keys.size(), static_cast<unsigned long long>(done_));
    }
    if (HasCap(s_.api(), SIXCALL_CAP_VALUE_LENS) && !r.value_lens.empty() && stored.version != 0 && r.value_lens[i] != stored.len &&
        r.value_lens[i] != SIXCALL_LEN_UNKNOWN) {
      Fail("%s says that key %zu has a value of %llu bytes, want %llu", op, i, static_cast<unsigned long long>(r.value_lens[i]), static_cast<unsigned long long>(stored.len));
    }
    if (p.op == SIXCALL_OP_DELETE) stored = Stored();
    busy_.erase(p.keys[i]);
  }
  keys_done_ += p.keys.size();
  done_++;
}

void Workload::DrainSome(int ms) {
  if (s_.InFlight() != 0 && s_.Readable(ms)) s_.Drain(options_.drain_cap);
  for (auto it = pending_.begin(); it != pending_.end();) {
    if (!s_.Finished(it->first)) {
      ++it;
      continue;
    }
    Check(s_.Wait(it->first), it->second);
    it = pending_.erase(it);
  }
}

void Workload::Run() {
  const Deadline end(options_.ms);
  for (uint64_t i = 0; i < options_.batches && !end.passed();) {
    if (Step()) i++;
    else DrainSome(10);
    if (random_.Chance(3)) DrainSome(0);
  }
  const Deadline patience(PatienceMs());
  while (!pending_.empty()) {
    DrainSome(100);
    if (patience.passed()) {
      const auto ticket = static_cast<unsigned long long>(pending_.begin()->first);
      Fail("%zu tickets have no completion after %llu ms, the first is %s ticket %llu", pending_.size(), static_cast<unsigned long long>(PatienceMs()),
           OpText(pending_.begin()->second.op), ticket);
    }
  }
}

uint64_t RandomLoad(Session& session, const LoadOptions& options) {
  Workload load(session, options);
  load.Run();
  return load.done();
}

}  // namespace probe
