// SPDX-License-Identifier: Apache-2.0
#include "lookup.h"

namespace nixl {

namespace {

void LookUpLot(Core& core, Lot& lot) {
  const sixcall::AsyncBatch& batch = lot.batch;
  if (batch.deadline_ns() != 0 && sixcall::NowNs() >= batch.deadline_ns()) {
    return core.AnswerAll(lot, sixcall::Error(SIXCALL_E_TIMEOUT, "the deadline passed in the queue"));
  }
  lot.transfers.resize(lot.n);
  for (size_t i = 0; i < lot.n; i++) {
    Transfer& t = lot.transfers[i];
    t.index = lot.from + i;
    try {
      t.Settle(core.files->Exists(PlaceOf(batch.key(t.index), core.settings.files.shards)));
    } catch (...) {
      t.Fail(sixcall::Error::Current(SIXCALL_E_IO));
    }
  }
  core.Answer(lot);
}

void PingFiles(Core& core, Lot& lot) {
  const uint64_t ticket = lot.batch.ticket();
  try {
    core.files->Check();
    if (core.engines_up.load() == 0) throw sixcall::Error(SIXCALL_E_CONNECT, "no worker has a NIXL agent");
    core.WithHost([&](auto& host) { host.Complete(ticket, 0, sixcall::Status::kHit); });
  } catch (...) {
    const sixcall::Error e = sixcall::Error::Current(SIXCALL_E_IO);
    core.WithHost([&](auto& host) { host.FailRest(ticket, e); });
  }
}

/// Asks NIXL, in a call that may block for long.
void Answer(Core& core, Agent& agent, const AskPtr& ask) {
  std::vector<bool> exists;
  const int status = agent.Query(ask->names, &exists);
  core.suspect.store(status != kDone);
  if (!core.asks.Claim(ask)) return;  // it took too long
  if (status != kDone) {
    return AnswerAsk(core, *ask, sixcall::Error(SIXCALL_E_IO, "ask backend " + core.settings.backend.name + " for objects: " + StatusText(status) + "; NIXL writes the reason to stderr", status));
  }
  core.WithHost([&](auto& host) {
    for (size_t i = 0; i < ask->names.size(); i++) {
      if (ask->why == Ask::Why::kFailed && exists[i]) {
        host.Fail(ask->ticket, ask->index[i], ask->error);
      } else {
        const bool hit = exists[i] || ask->why == Ask::Why::kPing;
        host.Complete(ask->ticket, ask->index[i], hit ? sixcall::Status::kHit : sixcall::Status::kMiss);
      }
    }
  });
}

}  // namespace

void AnswerAsk(Core& core, const Ask& ask, const sixcall::Error& error) {
  core.WithHost([&](auto& host) {
    if (ask.why == Ask::Why::kPing) return host.FailRest(ask.ticket, error);
    for (const size_t i : ask.index) host.Fail(ask.ticket, i, error);
  });
}

void LookUpFiles(Core& core) {
  while (core.lookups.Wait()) {
    const LotPtr lot = core.lookups.TryTake(SIZE_MAX, UINT64_MAX);
    if (lot == nullptr) continue;
    lot->batch.op() == SIXCALL_OP_PING ? PingFiles(core, *lot) : LookUpLot(core, *lot);
  }
}

void LookUpObjects(Core& core) {
  std::unique_ptr<Agent> agent;
  while (const AskPtr ask = core.asks.Take()) {
    try {
      if (agent == nullptr) {
        agent = core.MakeAgent();
      } else if (core.suspect.load()) {
        const std::string away = core.WhyNotReachable();
        if (!away.empty()) throw sixcall::Error(SIXCALL_E_CONNECT, away);
      }
      Answer(core, *agent, ask);
    } catch (...) {
      const sixcall::Error e = sixcall::Error::Current(SIXCALL_E_CONNECT);
      if (core.asks.Claim(ask)) AnswerAsk(core, *ask, e);
    }
  }
}

void WatchAsks(Core& core) {
  while (const AskPtr ask = core.asks.AwaitExpired()) {
    core.suspect.store(true);
    core.counters.timeouts.fetch_add(ask->names.size());
    AnswerAsk(core, *ask, sixcall::Error(SIXCALL_E_TIMEOUT, "no answer from backend " + core.settings.backend.name + " within request_timeout_ms"));
  }
}

}  // namespace nixl
