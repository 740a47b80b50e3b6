// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_NIXL_NAME_H
#define SIXCALL_NIXL_NAME_H

#include <string>
#include <string_view>

namespace nixl {

/// Where a key's value is: folders, outermost first, each ending in '/', then a
/// name. No part is empty, "." or "..", has a NUL or is longer than 255 bytes.
struct Place {
  std::string path;
  size_t folders = 0;  ///< bytes of path that are folders
};

/// The name of a key, the same for files and objects. Different keys have
/// different names.
///
/// A key of LMCache has the name that LMCache gives it:
/// model@0xRANK@group@hash[@salt].data, with '/' of the model as -SEP-. '-', '%'
/// and NUL of a model for which that cannot be undone are %2D, %25 and %00. Any
/// other key is %key- and its bytes, with all but letters, digits, '.', '_' and
/// '-' as %XX. A name over 255 bytes is that second form, cut into folders.
///
/// shards puts LMCache's keys two folders deep: the first two pairs of digits of
/// the hash, as LMCache's "shard_dirs" does.
Place PlaceOf(std::string_view key, bool shards);

}  // namespace nixl

#endif  // SIXCALL_NIXL_NAME_H
