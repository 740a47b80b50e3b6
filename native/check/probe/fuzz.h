// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_PROBE_FUZZ_H
#define SIXCALL_PROBE_FUZZ_H

#include <memory>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "session.h"

namespace probe {

/// One step of a walk. It is a function of the seed and its number alone, so that a
/// walk from which steps were left out still makes the others as before.
struct Step {
  enum Kind { kSet, kGet, kExists, kDelete, kWrongSize, kDuplicates, kMixed, kRefused, kCancel, kDrain, kWait, kReopen, kOptional, kKinds };
  Kind kind;
  uint32_t handle;
  std::vector<uint32_t> keys;
  uint64_t random;

  static Step Make(uint64_t seed, uint64_t number);
  std::string Text() const;
};

/// Carries out steps on two handles and compares every outcome with a model: for
/// each key the set of what it may hold. Keys in flight are left alone.
class Walk {
 public:
  explicit Walk(const sixcall_api* api);
  void Do(const Step& step, uint64_t number);
  void Finish();

 private:
  struct Value {
    uint64_t version = 0;  // 0 = absent
    uint64_t len = 0;
    bool operator<(const Value& o) const { return version < o.version; }
  };
  using Maybe = std::set<Value>;
  struct Pending {
    uint32_t op;
    std::vector<uint32_t> keys;
    std::vector<Value> values;     // SET: what is stored; GET: what is asked for
    bool cancelled = false;
    uint64_t step;
  };
  struct Handle {
    std::unique_ptr<Session> session;
    std::map<uint32_t, Maybe> model;
    std::set<uint32_t> busy;
    std::map<uint64_t, Pending> pending;
  };

  Maybe& May(Handle& h, uint32_t key);
  void Submit(Handle& h, const Spec& spec, Pending pending);
  void Collect(Handle& h);
  void Check(Handle& h, const Result& r, const Pending& p);
  void WaitAll(Handle& h);
  void Refuse(Handle& h, uint64_t random);
  void Optional(Handle& h, uint64_t random);
  std::string KeyText(const Handle& h, uint32_t key) const;

  const sixcall_api* api_;
  Handle handles_[2];
  uint64_t version_ = 0;
};

}  // namespace probe

#endif  // SIXCALL_PROBE_FUZZ_H
