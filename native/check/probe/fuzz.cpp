// SPDX-License-Identifier: Apache-2.0
#include "fuzz.h"

#include <algorithm>

namespace probe {
namespace {

constexpr uint32_t kKeys = 24;

const char* const kNames[] = {"set", "get", "exists", "delete", "get-wrong-size", "duplicates", "mixed", "refused", "cancel", "drain", "wait", "reopen", "optional"};

uint64_t LenOf(const Session& s, uint64_t random) {
  static const uint64_t sizes[] = {1, 7, 64, 100, 511, 4096, 4097, 20000};
  return s.ValueLen(sizes[random % 8]);
}

}  // namespace

Step Step::Make(uint64_t seed, uint64_t number) {
  Random r(seed * 1000003 + number);
  static const Kind common[] = {kSet, kSet, kSet, kGet, kGet, kGet, kExists, kDelete, kWrongSize, kDuplicates, kMixed, kDrain, kDrain, kWait, kCancel, kRefused, kOptional};
  Step s;
  s.kind = r.Chance(150) ? kReopen : common[r.Below(17)];
  s.handle = static_cast<uint32_t>(r.Below(2));
  const uint64_t n = r.Chance(6) ? r.Between(5, 16) : r.Between(1, 4);
  for (uint64_t i = 0; i < n; i++) s.keys.push_back(static_cast<uint32_t>(r.Below(kKeys)));
  s.random = r.Next();
  return s;
}

std::string Step::Text() const {
  std::string text = Format("%s@%u", kNames[kind], handle);
  if (kind <= kMixed) {
    text += "(";
    for (size_t i = 0; i < keys.size(); i++) text += Format("%sk%u", i == 0 ? "" : ",", keys[i]);
    text += ")";
  }
  return text;
}

Walk::Walk(const sixcall_api* api) : api_(api) {
  for (Handle& h : handles_) h.session = std::make_unique<Session>(api);
}

// Each handle has keys of its own, whether or not the backend is shared.
std::string Walk::KeyText(const Handle& h, uint32_t key) const {
  const std::string base = Key("walk/%td/%u", &h - handles_, key);
  return key % 5 == 0 ? base + std::string("\0/../\xff", 6) : base;
}

Walk::Maybe& Walk::May(Handle& h, uint32_t key) {
  Maybe& m = h.model[key];
  if (m.empty()) m.insert(Value());
  return m;
}

void Walk::Submit(Handle& h, const Spec& spec, Pending pending) {
  uint64_t ticket = 0;
  for (const Deadline end(PatienceMs());;) {
    const int32_t rc = h.session->TrySubmit(spec, &ticket);
    if (rc == 0) break;
    if (rc != SIXCALL_E_AGAIN || h.pending.empty() || end.passed()) Fail("step %llu: submit of %s was refused with %s", static_cast<unsigned long long>(pending.step), OpText(spec.op), CodeText(rc).c_str());
    if (h.session->Readable(50)) h.session->Drain(64);
    Collect(h);
  }
  for (const uint32_t key : pending.keys) h.busy.insert(key);
  h.pending[ticket] = std::move(pending);
}

void Walk::Do(const Step& step, uint64_t number) {
  Handle& h = handles_[step.handle];
  Session& s = *h.session;
  Pending p;
  p.step = number;
  const auto text = [&](const std::vector<uint32_t>& keys) {
    std::vector<std::string> out;
    for (const uint32_t key : keys) out.push_back(KeyText(h, key));
    return out;
  };
  for (const uint32_t key : step.keys) {
    const bool there = std::find(p.keys.begin(), p.keys.end(), key) != p.keys.end();
    if (h.busy.count(key) == 0 && !there && p.keys.size() < s.Batch(64)) p.keys.push_back(key);
  }
  const bool needs_keys = step.kind <= Step::kMixed;
  if (needs_keys && p.keys.empty()) return;
  Random r(step.random);
  switch (step.kind) {
    case Step::kSet:
    case Step::kDuplicates: {
      p.op = SIXCALL_OP_SET;
      std::vector<std::string> keys, values;
      std::vector<uint32_t> order = p.keys;
      // Duplicates: the first key several times; any of its values may win.
      if (step.kind == Step::kDuplicates) order.insert(order.end(), 3, p.keys[0]);
      p.keys = order;
      for (const uint32_t key : order) {
        const Value v = {++version_, LenOf(s, r.Next())};
        p.values.push_back(v);
        keys.push_back(KeyText(h, key));
        values.push_back(Content(keys.back(), v.version, v.len));
      }
      return Submit(h, Spec::Set(keys, values), std::move(p));
    }
    case Step::kGet:
    case Step::kMixed:
    case Step::kWrongSize: {
      p.op = SIXCALL_OP_GET;
      if (step.kind == Step::kMixed) p.keys.push_back(kKeys + static_cast<uint32_t>(r.Below(1000)));  // never stored
      std::vector<uint64_t> lens;
      for (const uint32_t key : p.keys) {
        uint64_t len = May(h, key).rbegin()->len;
        if (len == 0) len = 10;
        if (step.kind == Step::kWrongSize) len += 1 + r.Below(5);
        p.values.push_back({0, len});
        lens.push_back(len);
      }
      Spec spec = Spec::Get(text(p.keys), lens);
      spec.value_lens = r.Chance(2);
      spec.edge = r.Chance(2) ? Edge::kStart : Edge::kEnd;
      return Submit(h, spec, std::move(p));
    }
    case Step::kExists: {
      p.op = SIXCALL_OP_EXISTS;
      Spec spec = Spec::Exists(text(p.keys));
      spec.value_lens = r.Chance(2);
      return Submit(h, spec, std::move(p));
    }
    case Step::kDelete:
      if (!HasCap(api_, SIXCALL_CAP_DELETE)) return;
      p.op = SIXCALL_OP_DELETE;
      {
        const Spec spec = Spec::Delete(text(p.keys));
        return Submit(h, spec, std::move(p));
      }
    case Step::kRefused: return Refuse(h, step.random);
    case Step::kCancel:
      if (!HasCap(api_, SIXCALL_CAP_CANCEL) || h.pending.empty()) return;
      {
        auto it = h.pending.begin();
        std::advance(it, static_cast<long>(r.Below(h.pending.size())));
        const int32_t rc = api_->cancel(s.conn(), it->first);
        if (rc != 0 && rc != SIXCALL_E_INVAL) Fail("step %llu: cancel returned %s", static_cast<unsigned long long>(number), CodeText(rc).c_str());
        it->second.cancelled = true;
      }
      return;
    case Step::kDrain:
      if (s.Readable(0)) s.Drain(static_cast<uint32_t>(r.Between(1, 8)));
      return Collect(h);
    case Step::kWait: return WaitAll(h);
    case Step::kReopen: {
      const bool with_work = r.Chance(2);
      if (!with_work) WaitAll(h);
      if (s.Close(5000) != 0) Fail("step %llu: close returned BUSY", static_cast<unsigned long long>(number));
      // What was in flight may or may not have happened.
      for (auto& pending : h.pending) {
        for (size_t i = 0; i < pending.second.keys.size(); i++) {
          Maybe& m = May(h, pending.second.keys[i]);
          if (pending.second.op == SIXCALL_OP_SET) m.insert({Value(), pending.second.values[i]});
          if (pending.second.op == SIXCALL_OP_DELETE) m.insert(Value());
        }
      }
      h.pending.clear();
      h.busy.clear();
      if (!HasCap(api_, SIXCALL_CAP_PERSISTENT)) {
        for (auto& m : h.model) m.second.insert(Value());  // gone, or kept by the backend
      }
      h.session = std::make_unique<Session>(api_);
      return;
    }
    case Step::kOptional: return Optional(h, step.random);
    case Step::kKinds: return;
  }
}

void Walk::Refuse(Handle& h, uint64_t random) {
  uint8_t status = SIXCALL_STATUS_UNSET;
  const std::string key = KeyText(h, 0);
  sixcall_item item = {};
  item.key = reinterpret_cast<const uint8_t*>(key.data());
  item.key_len = random % 5 == 0 ? 0 : static_cast<uint32_t>(key.size());
  sixcall_batch b = {};
  b.struct_size = sizeof(b);
  b.ticket = UINT64_MAX - 7;
  b.n = random % 5 == 1 ? 0 : 1;
  b.item_stride = random % 5 == 2 ? 8 : sizeof(item);
  b.items = random % 5 == 3 ? nullptr : &item;
  b.status = random % 5 == 4 ? nullptr : &status;
  if (api_->submit_batch_exists(h.session->conn(), &b) == 0) Fail("a batch that breaks the contract was accepted");
  if (status != SIXCALL_STATUS_UNSET) Fail("a refused batch has a status byte");
}

void Walk::Optional(Handle& h, uint64_t random) {
  Session& s = *h.session;
  switch (random % 4) {
    case 0:
      if (HasCap(api_, SIXCALL_CAP_USAGE)) {
        sixcall_usage u = {};
        u.struct_size = sizeof(u);
        if (api_->usage(s.conn(), &u) != 0) Fail("usage failed");
      }
      return;
    case 1:
      if (HasCap(api_, SIXCALL_CAP_STATS_TEXT)) {
        char text[256];
        if (api_->stats_text(s.conn(), text, random % 256) < 0) Fail("stats_text failed");
      }
      return;
    case 2:
      if (HasCap(api_, SIXCALL_CAP_PING)) {
        Pending p;
        p.op = SIXCALL_OP_PING;
        p.step = 0;
        Submit(h, Spec::Ping(), p);
      }
      return;
    default:
      if (api_->drain_completions(s.conn(), nullptr, 0, sizeof(sixcall_completion)) != 0) Fail("drain_completions with cap 0 did not return 0");
      if (api_->event_fd(s.conn()) != s.fd()) Fail("event_fd returned another fd");
  }
}

void Walk::Collect(Handle& h) {
  for (auto it = h.pending.begin(); it != h.pending.end();) {
    if (!h.session->Finished(it->first)) {
      ++it;
      continue;
    }
    Check(h, h.session->Wait(it->first), it->second);
    it = h.pending.erase(it);
  }
}

void Walk::WaitAll(Handle& h) {
  const Deadline end(PatienceMs());
  while (!h.pending.empty()) {
    if (h.session->Readable(50)) h.session->Drain(64);
    Collect(h);
    if (end.passed()) Fail("step %llu: %s never completed", static_cast<unsigned long long>(h.pending.begin()->second.step), OpText(h.pending.begin()->second.op));
  }
}

void Walk::Check(Handle& h, const Result& r, const Pending& p) {
  const auto step = static_cast<unsigned long long>(p.step);
  if (p.op == SIXCALL_OP_PING) {
    if (r.rc != 0 && !p.cancelled) Fail("a ping failed with %s", CodeText(r.rc).c_str());
    return;
  }
  std::map<uint32_t, Maybe> stored;
  for (size_t i = 0; i < p.keys.size(); i++) {
    const uint32_t key = p.keys[i];
    Maybe& may = May(h, key);
    const uint8_t status = r.status[i];
    h.busy.erase(key);
    if (p.cancelled && status == SIXCALL_STATUS_CANCELLED) {
      // A store that was cancelled leaves the old value, the new one, or none.
      if (p.op == SIXCALL_OP_SET) stored[key].insert({Value(), p.values[i]}), stored[key].insert(may.begin(), may.end());
      if (p.op == SIXCALL_OP_DELETE) stored[key].insert(Value()), stored[key].insert(may.begin(), may.end());
      continue;
    }
    const bool can_miss = may.begin()->version == 0, can_hit = may.rbegin()->version != 0;
    if (p.op == SIXCALL_OP_SET) {
      if (status != SIXCALL_STATUS_HIT) Fail("step %llu: SET of k%u has status %u, want HIT: %s", step, key, status, r.err_text.c_str());
      stored[key].insert(p.values[i]);
      continue;
    }
    if (p.op == SIXCALL_OP_GET) {
      bool size = false;
      for (const Value& v : may) size = size || (v.version != 0 && v.len != p.values[i].len);
      if (status == SIXCALL_STATUS_HIT) {
        bool right = false;
        for (const Value& v : may) right = right || (v.version != 0 && v.len == p.values[i].len && r.values[i] == Content(KeyText(h, key), v.version, v.len));
        if (!right) Fail("step %llu: GET of k%u is a HIT with bytes that are not under the key", step, key);
      } else if (!(status == SIXCALL_STATUS_MISS && can_miss) && !(status == SIXCALL_STATUS_SIZE && size)) {
        Fail("step %llu: GET of k%u has status %u, which the model does not allow (%s%s%s)", step, key, status, can_miss ? "may be absent " : "", can_hit ? "may be there " : "", size ? "may have another size" : "");
      }
    } else {
      if (!(status == SIXCALL_STATUS_HIT && can_hit) && !(status == SIXCALL_STATUS_MISS && can_miss)) {
        Fail("step %llu: %s of k%u has status %u, but it is %s", step, OpText(p.op), key, status, can_hit ? "stored" : "absent");
      }
      if (p.op == SIXCALL_OP_DELETE) stored[key].insert(Value());
    }
    if (HasCap(api_, SIXCALL_CAP_VALUE_LENS) && !r.value_lens.empty() && status == SIXCALL_STATUS_HIT && r.value_lens[i] != SIXCALL_LEN_UNKNOWN) {
      bool right = false;
      for (const Value& v : may) right = right || v.len == r.value_lens[i];
      if (!right) Fail("step %llu: value_lens of k%u is %llu", step, key, static_cast<unsigned long long>(r.value_lens[i]));
    }
  }
  for (auto& s : stored) h.model[s.first] = s.second;
}

void Walk::Finish() {
  for (Handle& h : handles_) {
    WaitAll(h);
    for (uint32_t key = 0; key < kKeys; key++) {  // everything once more
      Step get;
      get.kind = Step::kGet;
      get.handle = static_cast<uint32_t>(&h - handles_);
      get.keys = {key};
      get.random = key;
      Do(get, 0);
    }
    WaitAll(h);
    h.session.reset();
  }
}

}  // namespace probe
