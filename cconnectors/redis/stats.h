// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_REDIS_STATS_H
#define SIXCALL_REDIS_STATS_H

#include <atomic>
#include <cstdint>
#include <string>

namespace redis {

/// Counters of a connection, for Prometheus. Safe for concurrent use.
struct Stats {
  std::atomic<uint64_t> connects{0};          // that succeeded, of data connections
  std::atomic<uint64_t> connect_failures{0};
  std::atomic<uint64_t> drops{0};             // connections that were up and are lost
  std::atomic<uint64_t> protocol_errors{0};
  std::atomic<uint64_t> timeouts{0};
  std::atomic<uint64_t> retries{0};           // requests sent again after a loss
  std::atomic<uint64_t> redirects{0};         // MOVED and ASK followed
  std::atomic<uint64_t> searches{0};          // for the servers
  std::atomic<uint64_t> size_mismatches{0};
  std::atomic<uint64_t> foreign_keys{0};      // keys that hold no string

  void Append(std::string& out) const {
    const auto counter = [&](const char* name, const char* help, const std::atomic<uint64_t>& n) {
      const std::string full = std::string("sixcall_redis_") + name + "_total";
      out += "# HELP " + full + " " + help + "\n# TYPE " + full + " counter\n" + full + " " + std::to_string(n.load(std::memory_order_relaxed)) + "\n";
    };
    counter("connects", "Connections made.", connects);
    counter("connect_failures", "Attempts to connect that failed.", connect_failures);
    counter("drops", "Connections that were lost.", drops);
    counter("protocol_errors", "Connections dropped because the server was out of step.", protocol_errors);
    counter("timeouts", "Connections dropped because the server did not answer in time.", timeouts);
    counter("retries", "Requests sent again after a lost connection.", retries);
    counter("redirects", "Requests that a cluster sent to another node.", redirects);
    counter("searches", "Searches for the servers.", searches);
    counter("size_mismatches", "Values stored with another size than asked for.", size_mismatches);
    counter("foreign_keys", "Keys that hold something else than a string.", foreign_keys);
  }
};

inline void Count(std::atomic<uint64_t>& n) { n.fetch_add(1, std::memory_order_relaxed); }

}  // namespace redis

#endif  // SIXCALL_REDIS_STATS_H
