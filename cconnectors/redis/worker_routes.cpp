// SPDX-License-Identifier: Apache-2.0
// Where a worker sends requests: its links, and the picture of the servers.
#include <algorithm>

#include "worker.h"

namespace redis {

void Worker::Again(const Request& r) {
  if (r.task->dead) return Release(r.task);
  Route(r);
}

void Worker::Later(const Request& r) {
  constexpr uint64_t kStep = 4000000, kMost = 100000000;  // ns
  parked_.push_back({now_ + Jitter(std::min(kStep * r.redirects, kMost)), r});
}

void Worker::Unpark() {
  std::vector<Parked> all;
  all.swap(parked_);
  for (const Parked& p : all) {
    if (p.until_ns > now_ && !p.request.task->dead) {
      parked_.push_back(p);
    } else {
      Again(p.request);
    }
  }
}

void Worker::Route(const Request& request) {
  Request r = request;
  if (view_.topology == nullptr) {
    if (view_.error == nullptr) return homeless_.push(r);
    Misplaced();
    return Failed(r, *view_.error);
  }
  const Topology& t = *view_.topology;
  if (!t.is_cluster()) return Deliver(*by_node_[0], r);
  if (r.verb == Verb::kPing) return Deliver(*NodeForPing(), r);
  const sixcall::Key key = r.task->batch->key(r.index);
  wire_key_.assign(context_.settings.prefix).append(key.data(), key.size());
  r.slot = SlotOf(wire_key_);
  if (!moved_.empty()) {
    const auto at = moved_.find(r.slot);
    if (at != moved_.end()) return Deliver(*at->second, r);
  }
  if (t.slots[r.slot] == Topology::kNobody) {
    Misplaced();
    return Failed(r, sixcall::Error(SIXCALL_E_CONNECT, "slot " + std::to_string(r.slot) + " of the cluster is served by nobody"));
  }
  Deliver(*by_node_[t.slots[r.slot]], r);
}

/// A sign of life of one node is one of the cluster.
Link* Worker::NodeForPing() {
  const auto up = std::find_if(by_node_.begin(), by_node_.end(), [](const Link* l) { return l->up(); });
  return up != by_node_.end() ? *up : by_node_[0];
}

void Worker::Deliver(Link& link, const Request& r) {
  link.Send(r);
  if (link.dirty) return;
  link.dirty = true;
  dirty_.push_back(&link);
}

void Worker::Redirected(const Request& r, int slot, const Address& where) {
  if (r.task->dead) return Release(r.task);
  if (slot >= 0) Misplaced();
  Node node{where, std::vector<Endpoint>(1)};
  const auto known = links_.find(where.Text());
  if (known == links_.end() && !NumericEndpoint(where, &node.endpoints[0])) {
    Misplaced();  // a name that the next map will bring, resolved
    return Failed(r, sixcall::Error(SIXCALL_E_CONNECT, "redirected to " + where.Text() + ", which is not known yet"));
  }
  Link* link = known != links_.end() ? known->second.get() : LinkTo(node);
  if (slot >= 0) moved_[static_cast<uint16_t>(slot)] = link;
  Deliver(*link, r);
}

Link* Worker::LinkTo(const Node& node) {
  std::unique_ptr<Link>& link = links_[node.address.Text()];
  if (link == nullptr) link = std::make_unique<Link>(context_, *this, node);
  return link.get();
}

void Worker::TakeView() {
  Directory::View view = directory_.Current();
  const bool other = view.topology != view_.topology;
  view_ = std::move(view);
  if (other) Rebuild();
  if (view_.topology == nullptr && view_.error == nullptr) return;
  Ring<Request> waiting;
  waiting.swap(homeless_);
  for (; !waiting.empty(); waiting.pop()) Again(waiting.front());
}

/// Makes the links fit a new map.
void Worker::Rebuild() {
  moved_.clear();
  std::map<std::string, std::unique_ptr<Link>> old;
  old.swap(links_);
  by_node_.clear();
  for (const Node& node : view_.topology->nodes) {
    const auto at = old.find(node.address.Text());
    if (at != old.end() && at->second->node() == node) links_[at->first] = std::move(at->second);
    by_node_.push_back(LinkTo(node));
  }
  for (auto& [name, link] : old) {
    if (link == nullptr) continue;
    retired_.push_back(std::move(link));
    retired_.back()->Retire();
  }
}

void Worker::Bury() {
  const auto gone = [](const std::unique_ptr<Link>& link) { return link->gone(); };
  retired_.erase(std::remove_if(retired_.begin(), retired_.end(), gone), retired_.end());
}

}  // namespace redis
