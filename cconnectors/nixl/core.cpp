// SPDX-License-Identifier: Apache-2.0
#include "core.h"

#include <unistd.h>

#include <algorithm>

namespace nixl {

std::atomic<uint64_t> Core::next_agent_{0};

void Core::Answer(Lot& lot) {
  if (lot.answered) return;
  const uint64_t ticket = lot.batch.ticket();
  WithHost([&](auto& host) {
    for (const Transfer& t : lot.transfers) {
      if (!t.settled) continue;
      if (t.error.code() < 0) {
        host.Fail(ticket, t.index, t.error);
      } else {
        host.Complete(ticket, t.index, t.result);
      }
    }
  });
  lot.answered = std::all_of(lot.transfers.begin(), lot.transfers.end(), [](const Transfer& t) { return t.settled; });
}

void Core::AnswerAll(Lot& lot, const sixcall::Error& error) {
  if (lot.answered) return;
  lot.answered = true;
  const uint64_t ticket = lot.batch.ticket();
  WithHost([&](auto& host) {
    if (lot.n >= lot.batch.size()) return host.FailRest(ticket, error);
    for (size_t i = lot.from; i < lot.from + lot.n; i++) host.Fail(ticket, i, error);
  });
}

std::string Core::WhyNotReachable() const {
  if (settings.endpoint.empty()) return "";
  return nixl::WhyNotReachable(settings.endpoint, settings.scheme, 250);
}

std::unique_ptr<Agent> Core::MakeAgent() {
  const std::string away = WhyNotReachable();
  if (!away.empty()) throw sixcall::Error(SIXCALL_E_CONNECT, away);
  const std::string name = "sixcall-" + std::to_string(getpid()) + "-" + std::to_string(next_agent_.fetch_add(1));
  auto agent = std::make_unique<Agent>(api, settings.backend, name);
  if (files.has_value() != (agent->kind() == kFile)) {
    throw sixcall::Error(SIXCALL_E_CONFIG, "backend \"" + settings.backend.name + "\" stores " +
                                               (files.has_value() ? "objects; \"base_path\" is for backends that store files" : "files, want \"base_path\""));
  }
  counters.agents.fetch_add(1);
  return agent;
}

void Core::Prove(const sixcall::Error* failed) {
  std::lock_guard<std::mutex> lock(life_mu_);
  if (proof_.has_value()) return;
  proof_ = failed == nullptr ? sixcall::Error(0, "") : *failed;
  life_.notify_all();
}

void Core::AwaitProof(std::chrono::milliseconds limit) {
  std::unique_lock<std::mutex> lock(life_mu_);
  if (!life_.wait_for(lock, limit, [&] { return proof_.has_value(); })) {
    throw sixcall::Error(SIXCALL_E_TIMEOUT, "backend \"" + settings.backend.name + "\" did not answer within " + std::to_string(limit.count()) + " ms");
  }
  if (proof_->code() < 0) throw sixcall::Error(*proof_);
}

void Core::ThreadBegins() {
  std::lock_guard<std::mutex> lock(life_mu_);
  threads_++;
}

void Core::ThreadEnds() {
  std::lock_guard<std::mutex> lock(life_mu_);
  threads_--;
  life_.notify_all();
}

bool Core::AwaitThreads(std::chrono::milliseconds limit) {
  std::unique_lock<std::mutex> lock(life_mu_);
  return life_.wait_for(lock, limit, [&] { return threads_ == 0; });
}

uint64_t Core::AddArena(void* base, uint64_t len) {
  std::lock_guard<std::mutex> lock(arenas_mu_);
  for (const Arena& a : arenas_) {
    const auto* from = static_cast<const char*>(a.base);
    const auto* at = static_cast<const char*>(base);
    if (at < from + a.len && from < at + len) throw sixcall::Error(SIXCALL_E_INVAL, "register_memory: the range overlaps one that is registered");
  }
  size_t done = 0;
  try {
    for (; done < agents_.size(); done++) agents_[done]->RegisterArena(base, len);
  } catch (...) {
    while (done-- > 0) agents_[done]->UnregisterArena(base, len);
    throw;
  }
  arenas_.push_back({++next_arena_, base, len});
  return next_arena_;
}

void Core::RemoveArena(uint64_t handle) {
  std::lock_guard<std::mutex> lock(arenas_mu_);
  const auto it = std::find_if(arenas_.begin(), arenas_.end(), [&](const Arena& a) { return a.handle == handle; });
  if (it == arenas_.end()) return;
  for (Agent* agent : agents_) agent->UnregisterArena(it->base, it->len);
  arenas_.erase(it);
}

void Core::Enroll(Agent* agent) {
  std::lock_guard<std::mutex> lock(arenas_mu_);
  for (const Arena& a : arenas_) agent->RegisterArena(a.base, a.len);
  agents_.push_back(agent);
}

void Core::Dismiss(Agent* agent) {
  std::lock_guard<std::mutex> lock(arenas_mu_);
  agents_.erase(std::remove(agents_.begin(), agents_.end(), agent), agents_.end());
}

void Core::Stats(std::string& out) const {
  const auto head = [&](const char* name, const char* help, const char* type) {
    out += std::string("# HELP sixcall_nixl_") + name + " " + help + "\n# TYPE sixcall_nixl_" + name + " " + type + "\n";
  };
  const auto one = [&](const char* name, const char* help, const char* type, uint64_t value) {
    head(name, help, type);
    out += std::string("sixcall_nixl_") + name + " " + std::to_string(value) + "\n";
  };
  const auto pair = [&](const char* name, const char* help, const std::atomic<uint64_t>* values) {
    head(name, help, "counter");
    out += std::string("sixcall_nixl_") + name + "{direction=\"read\"} " + std::to_string(values[kRead].load()) + "\n";
    out += std::string("sixcall_nixl_") + name + "{direction=\"write\"} " + std::to_string(values[kWrite].load()) + "\n";
  };
  const Counters& c = counters;
  pair("requests_total", "Requests that NIXL took.", c.requests);
  pair("failures_total", "Requests that ended with an error.", c.failures);
  head("errors_total", "Requests that ended with an error, by NIXL's status.", "counter");
  for (int i = 1; i < 7; i++) out += "sixcall_nixl_errors_total{status=\"-" + std::to_string(i) + "\"} " + std::to_string(c.results[i].load()) + "\n";
  one("refused_total", "Requests that NIXL did not take.", "counter", c.refused);
  one("agents_total", "Agents made.", "counter", c.agents);
  one("agent_errors_total", "Agents that could not be made.", "counter", c.agent_errors);
  one("agents_retired_total", "Agents given up, because requests failed or did not end.", "counter", c.retired);
  one("timeouts_total", "Requests over request_timeout_ms.", "counter", c.timeouts);
  one("bad_seals_total", "Objects of another size or without a seal.", "counter", c.bad_seals);
  one("stuck_requests", "Requests of retired agents that have not ended.", "gauge", static_cast<uint64_t>(std::max<int64_t>(c.stuck, 0)));
  one("workers_up", "Workers that have an agent.", "gauge", engines_up);
  one("bounce_bytes", "Bounce memory of all connections of the process.", "gauge", Agent::BounceBytes());
}

}  // namespace nixl
