// SPDX-License-Identifier: Apache-2.0
#include "counters.h"

#include <initializer_list>
#include <utility>

namespace fs {

namespace {

using Labelled = std::pair<const char*, const Counter*>;

void Family(std::string& out, const char* name, const char* help, std::initializer_list<Labelled> lines) {
  const std::string full = std::string("sixcall_fs_") + name;
  out += "# HELP " + full + " " + help + "\n# TYPE " + full + " counter\n";
  for (const auto& [label, counter] : lines) out += full + label + " " + std::to_string(counter->load(std::memory_order_relaxed)) + "\n";
}

}  // namespace

void Counters::Text(std::string& out) const {
  Family(out, "direct_total", "Values moved with O_DIRECT.", {{"", &direct_ops}});
  Family(out, "direct_fallbacks_total", "Values moved through the page cache although O_DIRECT was asked for.",
         {{"{reason=\"unaligned\"}", &fallback_unaligned}, {"{reason=\"refused\"}", &fallback_refused}});
  Family(out, "io_uring_transfers_total", "Transfers by io_uring.", {{"", &uring_ops}});
  Family(out, "io_uring_unavailable_total", "Workers that use threads because they could not have a ring.", {{"", &uring_unavailable}});
  Family(out, "foreign_files_total", "Lookups and loads that found something else than a file.", {{"", &foreign_files}});
  Family(out, "changed_reads_total", "Files whose size changed while they were read.", {{"", &changed_reads}});
  Family(out, "no_space_total", "Values refused for lack of space.", {{"", &no_space}});
  Family(out, "kept_total", "Stores that kept a value of the same size.", {{"", &kept}});
  Family(out, "replaced_total", "Stores that replaced a file.", {{"", &replaced}});
  Family(out, "syncs_total", "Calls of fdatasync and fsync.", {{"", &syncs}});
  Family(out, "temporary_files_removed_total", "Temporary files of dead writers that were removed.", {{"", &temps_removed}});
  Family(out, "scans_total", "Complete counts of the folder.", {{"", &scans}});
  const uint64_t bytes = free_bytes.load(std::memory_order_relaxed);
  if (bytes == UINT64_MAX) return;
  out += "# HELP sixcall_fs_free_bytes Free bytes of the file system when it was last asked.\n# TYPE sixcall_fs_free_bytes gauge\n";
  out += "sixcall_fs_free_bytes " + std::to_string(bytes) + "\n";
}

}  // namespace fs
