// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_MOONCAKE_FIND_H
#define SIXCALL_MOONCAKE_FIND_H

#include <string>
#include <vector>

namespace mooncake {

/// Returns the absolute path of libmooncake_store.so: `configured` if it is not
/// empty, else the environment's SIXCALL_MOONCAKE_LIBRARY, else the first of
/// SearchPatterns that there is. The environment and the home folder do not count
/// in a process with raised privileges.
///
/// Throws SIXCALL_E_CONFIG, which says which package brings the library and where
/// it was looked for, also for a path that is not absolute, not a file, or that
/// everybody may write.
std::string FindLibrary(const std::string& configured);

/// Where the library is looked for, in this order, with shell patterns: the places
/// of Python packages and of `make install`.
std::vector<std::string> SearchPatterns();

/// What to do about the text of a failed dlopen, such as which package has the
/// library that is missing; or "".
std::string LoadHint(const std::string& error);

/// Throws SIXCALL_E_CONFIG unless path is absolute and a file that not everybody
/// may write. what is the key or variable that named it.
void CheckLibraryFile(const std::string& path, const std::string& what);

}  // namespace mooncake

#endif  // SIXCALL_MOONCAKE_FIND_H
