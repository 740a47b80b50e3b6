// SPDX-License-Identifier: Apache-2.0
#include "topology.h"

#include <algorithm>

#include "reply_error.h"

namespace redis {
namespace {

constexpr std::array<uint16_t, 256> MakeCrcTable() {
  std::array<uint16_t, 256> table = {};
  for (unsigned i = 0; i < 256; i++) {
    unsigned crc = i << 8;
    for (int bit = 0; bit < 8; bit++) crc = (crc & 0x8000u) != 0 ? (crc << 1) ^ 0x1021u : crc << 1;
    table[i] = static_cast<uint16_t>(crc);
  }
  return table;
}
constexpr std::array<uint16_t, 256> kCrc = MakeCrcTable();

[[noreturn]] void Strange(const Address& answered, const char* what) {
  throw sixcall::Error(SIXCALL_E_IO, answered.Text() + ": CLUSTER SLOTS has " + what);
}

/// [host, port, id, ...]
Address ReadNode(const Value& node, const Address& answered) {
  if (!node.is_list() || node.items.size() < 2 || node.items[1].type != ':') Strange(answered, "a node without a port");
  Address a;
  a.host = node.items[0].is_text() ? node.items[0].text : "";
  if (a.host.empty() || a.host == "?") a.host = answered.host;
  if (node.items[1].number < 1 || node.items[1].number > 65535) Strange(answered, "a port out of range");
  a.port = static_cast<uint16_t>(node.items[1].number);
  return a;
}

}  // namespace

uint16_t SlotOf(std::string_view key) {
  const size_t open = key.find('{');
  if (open != std::string_view::npos) {
    const size_t close = key.find('}', open + 1);
    if (close != std::string_view::npos && close > open + 1) key = key.substr(open + 1, close - open - 1);
  }
  unsigned crc = 0;
  for (const char c : key) crc = ((crc << 8) & 0xFFFF) ^ kCrc[(crc >> 8) ^ static_cast<unsigned char>(c)];
  return static_cast<uint16_t>(crc % kSlots);
}

uint64_t Topology::Signature() const {
  uint64_t hash = 14695981039346656037u;
  const auto add = [&](const void* data, size_t n) {
    for (size_t i = 0; i < n; i++) hash = (hash ^ static_cast<const uint8_t*>(data)[i]) * 1099511628211u;
  };
  for (const Node& node : nodes) {
    const std::string text = node.address.Text();
    add(text.data(), text.size() + 1);
  }
  add(slots.data(), slots.size() * sizeof(slots[0]));
  return hash;
}

Topology ReadClusterSlots(const Value& reply, const Address& answered) {
  if (reply.is_error()) {
    const bool off = reply.text.find("cluster support disabled") != std::string::npos;
    if (off) throw sixcall::Error(SIXCALL_E_CONFIG, answered.Text() + ": " + reply.text + "; config key \"cluster\" is true and the server is no cluster");
    throw ToError(reply.text, answered.Text());
  }
  if (!reply.is_list()) Strange(answered, "no list");
  Topology t;
  t.slots.assign(kSlots, Topology::kNobody);
  for (const Value& range : reply.items) {
    if (!range.is_list() || range.items.size() < 3 || range.items[0].type != ':' || range.items[1].type != ':') Strange(answered, "a strange range");
    const int64_t first = range.items[0].number, last = range.items[1].number;
    if (first < 0 || last < first || last >= kSlots) Strange(answered, "slots out of range");
    const Address master = ReadNode(range.items[2], answered);
    const auto same = [&](const Node& n) { return n.address == master; };
    const auto at = std::find_if(t.nodes.begin(), t.nodes.end(), same);
    const auto index = static_cast<uint16_t>(at - t.nodes.begin());
    if (at == t.nodes.end()) t.nodes.push_back({master, {}});
    for (int64_t s = first; s <= last; s++) t.slots[static_cast<size_t>(s)] = index;
    for (size_t i = 3; i < range.items.size(); i++) {
      const Address other = ReadNode(range.items[i], answered);
      if (std::find(t.others.begin(), t.others.end(), other) == t.others.end()) t.others.push_back(other);
    }
  }
  if (t.nodes.empty()) throw sixcall::Error(SIXCALL_E_CONNECT, answered.Text() + ": the cluster serves no slot; is it set up?");
  if (t.nodes.size() >= Topology::kNobody) Strange(answered, "too many nodes");
  // Everybody shall see the same order, whoever was asked.
  std::vector<uint16_t> order(t.nodes.size()), place(t.nodes.size());
  for (size_t i = 0; i < order.size(); i++) order[i] = static_cast<uint16_t>(i);
  std::sort(order.begin(), order.end(), [&](uint16_t a, uint16_t b) { return t.nodes[a].address.Text() < t.nodes[b].address.Text(); });
  std::vector<Node> sorted;
  for (size_t i = 0; i < order.size(); i++) {
    place[order[i]] = static_cast<uint16_t>(i);
    sorted.push_back(std::move(t.nodes[order[i]]));
  }
  t.nodes = std::move(sorted);
  for (uint16_t& s : t.slots) {
    if (s != Topology::kNobody) s = place[s];
  }
  return t;
}

}  // namespace redis
