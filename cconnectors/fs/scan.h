// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_FS_SCAN_H
#define SIXCALL_FS_SCAN_H

#include <functional>
#include <optional>

#include "counters.h"
#include "folder.h"
#include "usage.h"

namespace fs {

/// Calls visit for every entry of the folder that dir is open on, but "." and
/// "..", until it returns false. Returns whether it never did. Throws Error.
bool EachEntry(int dir, const std::function<bool(const char* name)>& visit);

/// Counts the files of values. Nothing if go_on said no.
std::optional<Usage::Totals> CountFiles(const Folder& folder, const std::function<bool()>& go_on);

/// Removes the temporary files of writers that do not live any more, and their
/// lock files. Those of living writers stay.
void RemoveDeadTemps(const Folder& folder, Counters& counters, const std::function<bool()>& go_on);

}  // namespace fs

#endif  // SIXCALL_FS_SCAN_H
