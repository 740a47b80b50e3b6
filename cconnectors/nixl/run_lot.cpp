// SPDX-License-Identifier: Apache-2.0
//
// Engine: one lot, from the host's batch to its answer.
#include <cstring>

#include "engine.h"

namespace nixl {

namespace {

/// So many requests in a row that the backend failed, and it is replaced.
constexpr uint32_t kMostFaults = 8;

}  // namespace

void Engine::Begin(LotPtr lot) {
  const sixcall::AsyncBatch& batch = lot->batch;
  if (core_->abort.load()) return core_->AnswerAll(*lot, sixcall::Error(SIXCALL_E_CANCELLED, "the connection is closed"));
  lot->began_ns = sixcall::NowNs();
  const bool expired = core_->objects.has_value() && lot->began_ns - lot->born_ns > core_->settings.request_timeout_ns;
  if (expired || (batch.deadline_ns() != 0 && lot->began_ns >= batch.deadline_ns())) {
    return core_->AnswerAll(*lot, sixcall::Error(SIXCALL_E_TIMEOUT, "the deadline passed in the queue"));
  }
  if (batch.op() == SIXCALL_OP_DELETE) return Remove(*lot);
  lot->writes = batch.op() == SIXCALL_OP_SET;
  const Direction direction = lot->writes ? kWrite : kRead;
  Agent& agent = *current_.agent;
  try {
    Load(*lot);
    std::vector<Stored> stored;
    stored.reserve(lot->n);
    Open(agent, *lot, direction, &stored);
    if (!stored.empty()) {
      lot->registered = agent.Register(stored);
      Post(agent, *lot, direction);
    }
  } catch (...) {
    const sixcall::Error e = sixcall::Error::Current(SIXCALL_E_IO);
    if (lot->transfers.size() != lot->n) return core_->AnswerAll(*lot, e);
    for (Transfer& t : lot->transfers) {
      if (!t.settled && t.request == nullptr) t.status = kBackendError, t.error = e;
    }
  }
  if (lot->in_progress == 0) return Conclude(current_, *lot);
  current_.lots.push_back(std::move(lot));
}

void Engine::Load(Lot& lot) const {
  lot.transfers.resize(lot.n);
  for (size_t i = 0; i < lot.n; i++) {
    Transfer& t = lot.transfers[i];
    t.index = lot.from + i;
    t.place = PlaceOf(lot.batch.key(t.index), core_->settings.files.shards);
    const sixcall::MutableBytes buffer = lot.batch.buffer(t.index);
    t.data = buffer.data();
    t.len = buffer.size();
  }
}

/// Opens files, gives out bounce memory, and says what is to be registered.
void Engine::Open(Agent& agent, Lot& lot, Direction direction, std::vector<Stored>* stored) {
  lot.bounced_all = true;
  for (Transfer& t : lot.transfers) {
    try {
      if (core_->files.has_value()) {
        direction == kRead ? core_->files->OpenToRead(t) : core_->files->OpenToWrite(t);
        if (!t.settled && t.len == 0) core_->files->Publish(t);
        if (t.settled) continue;
      }
      const bool object = core_->objects.has_value();
      if (object && core_->objects->Size(t.len) == 0) throw sixcall::Error(SIXCALL_E_UNSUPPORTED, "an empty value needs \"seal\": true");
      if ((object && core_->objects->sealed()) || !agent.Covers(t.data, t.len)) {
        t.bounce = agent.Take(object ? core_->objects->Size(t.len) : t.len);
        t.bounced = true;
        lot.bounced += t.bounce.size;
        if (direction == kWrite && !object) std::memcpy(t.bounce.data, t.data, t.len);
        if (object) direction == kWrite ? core_->objects->Pack(t) : core_->objects->Prepare(t);
      }
      lot.bounced_all = lot.bounced_all && t.bounced;
      if (object) {
        t.device = agent.NextDevice();
        stored->push_back({t.device, core_->objects->Size(t.len), core_->objects->Name(t.place)});
      } else {
        t.device = static_cast<uint64_t>(t.fd);
        stored->push_back({t.device, t.len, ""});
      }
    } catch (...) {
      if (core_->files.has_value()) core_->files->Discard(t);
      t.Fail(sixcall::Error::Current(SIXCALL_E_IO));
    }
  }
}

void Engine::Post(Agent& agent, Lot& lot, Direction direction) {
  uint64_t taken = 0;
  for (Transfer& t : lot.transfers) {
    if (t.settled) continue;
    const uint64_t len = core_->objects.has_value() ? core_->objects->Size(t.len) : t.len;
    t.request = agent.Start(direction, t.bounced ? t.bounce.data : t.data, len, t.device, &t.status);
    if (t.request != nullptr) {
      lot.in_progress++;
    } else if (t.status < 0) {
      core_->counters.refused.fetch_add(1, std::memory_order_relaxed);
    }
    taken += t.status >= 0;
  }
  core_->counters.requests[direction].fetch_add(taken, std::memory_order_relaxed);
}

/// Every request of the lot has ended: ends its transfers and answers the host.
void Engine::Conclude(Shift& shift, Lot& lot) {
  shift.agent->Forget(lot.registered);
  lot.registered = nullptr;
  const Direction direction = lot.writes ? kWrite : kRead;
  std::vector<Transfer*> unclear;
  for (Transfer& t : lot.transfers) {
    if (!t.settled) {
      if (t.status == kDone) Succeeded(shift);
      if (core_->files.has_value()) {
        ConcludeFile(shift, lot, t, direction);
      } else {
        ConcludeObject(lot, t, direction, &unclear);
        if (t.status < 0 && direction == kWrite) AtFault(shift);
      }
    }
    if (core_->files.has_value()) core_->files->Discard(t);
    if (t.bounced) shift.agent->Give(t.bounce);
  }
  if (!unclear.empty()) AskWhy(lot, unclear);
  core_->Answer(lot);
}

void Engine::ConcludeFile(Shift& shift, Lot& lot, Transfer& t, Direction direction) {
  Files& files = *core_->files;
  if (t.status == kDone) {
    if (direction == kWrite) return files.Publish(t);
    // A read that meets a truncation may be told of its whole length, and end in zeros.
    if (!files.StillWhole(t)) return t.Fail(sixcall::Error(SIXCALL_E_IO, t.place.path + " changed its size while it was read"));
    if (t.bounced && !lot.answered) std::memcpy(t.data, t.bounce.data, t.len);
    return t.Settle({sixcall::Status::kHit, t.len});
  }
  const sixcall::Error why = direction == kWrite ? files.WhyNotWritten(t) : files.WhyNotRead(t);
  if (why.code() < 0) return t.Fail(why);
  t.Fail(Failure(t, direction));
  AtFault(shift);
}

void Engine::ConcludeObject(Lot& lot, Transfer& t, Direction direction, std::vector<Transfer*>* unclear) {
  if (t.status != kDone) {
    if (direction == kRead && !lot.answered) return unclear->push_back(&t);
    core_->suspect.store(true);
    return t.Fail(Failure(t, direction));
  }
  core_->suspect.store(false);
  if (direction == kWrite) return t.Settle(sixcall::Status::kHit);
  if (!core_->objects->Check(t)) {
    core_->counters.bad_seals.fetch_add(1);
    return t.Settle(sixcall::Status::kSize);
  }
  if (t.bounced && t.len != 0 && !lot.answered) std::memcpy(t.data, t.bounce.data, t.len);
  t.Settle({sixcall::Status::kHit, t.len});
}

/// A read that failed is a miss if the object is not there. The lookup threads find
/// out and answer, as that blocks.
void Engine::AskWhy(Lot& lot, const std::vector<Transfer*>& unclear) {
  auto ask = std::make_shared<Ask>();
  ask->why = Ask::Why::kFailed;
  ask->ticket = lot.batch.ticket();
  ask->expiry_ns = lot.began_ns + core_->settings.request_timeout_ns;
  ask->error = Failure(*unclear.front(), kRead);
  for (const Transfer* t : unclear) {
    ask->index.push_back(t->index);
    ask->names.push_back(core_->objects->Name(t->place));
  }
  core_->asks.Push(std::move(ask));
}

void Engine::Remove(Lot& lot) const {
  lot.transfers.resize(lot.n);
  for (size_t i = 0; i < lot.n; i++) {
    Transfer& t = lot.transfers[i];
    t.index = lot.from + i;
    try {
      t.Settle(core_->files->Remove(PlaceOf(lot.batch.key(t.index), core_->settings.files.shards)));
    } catch (...) {
      t.Fail(sixcall::Error::Current(SIXCALL_E_IO));
    }
  }
  core_->Answer(lot);
}

sixcall::Error Engine::Failure(const Transfer& t, Direction direction) const {
  if (t.error.code() < 0) return t.error;  // the registration failed
  const bool ours = t.status == kBadParameter;
  return sixcall::Error(ours ? SIXCALL_E_INTERNAL : SIXCALL_E_IO,
                        std::string(direction == kWrite ? "write " : "read ") + t.place.path + " with backend " + core_->settings.backend.name + ": " +
                            StatusText(t.status) + "; NIXL writes the reason to stderr",
                        t.status);
}

void Engine::Succeeded(const Shift& shift) {
  if (shift.retired) return;
  faults_ = 0;
  failures_ = 0;
}

/// The backend failed something that it should have done.
void Engine::AtFault(const Shift& shift) {
  if (shift.retired || ++faults_ < kMostFaults) return;
  faults_ = 0;
  must_retire_ = true;
  last_ = sixcall::Error(SIXCALL_E_CONNECT, "backend " + core_->settings.backend.name + " fails every request");
}

}  // namespace nixl
